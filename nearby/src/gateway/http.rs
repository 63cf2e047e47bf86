//! As much of HTTP/1.1 as a gateway needs: one request, one answer, then the connection ends.
//!
//! Bodies come by length, in chunks or until the end, as RFC 9112, 6 has it. No redirects, for a
//! gateway that sends us elsewhere is not believed.

use super::igd::Call;
use super::ssdp::Location;
use crate::limits::{HTTP_HEAD_LENGTH_MAX, HTTP_LENGTH_MAX, XML_LENGTH_MAX};

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 and the like.
    pub status: u16,
    /// Without chunks.
    pub body: Vec<u8>,
}

/// Why bytes are no answer. More of them change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Head, body or both are longer than a gateway has any need for.
    #[error("the gateway sends too much")]
    TooLong,
    /// No answer of HTTP/1.
    #[error("the gateway sends no HTTP")]
    Malformed,
    /// The connection ended in the middle.
    #[error("the gateway stopped in the middle of its answer")]
    Cut,
}

/// Asks for a document.
#[must_use]
pub fn get(place: &Location) -> Vec<u8> {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Shoal\r\nConnection: close\r\n\r\n",
        place.path, place.address
    )
    .into_bytes()
}

/// Makes a call.
#[must_use]
pub fn post(place: &Location, call: &Call) -> Vec<u8> {
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Shoal\r\nConnection: close\r\nContent-Type: \
         text/xml; charset=\"utf-8\"\r\nContent-Length: {}\r\nSOAPAction: {}\r\n\r\n{}",
        place.path,
        place.address,
        call.body.len(),
        call.soap_action,
        call.body
    )
    .into_bytes()
}

/// How long a body is.
enum Framing {
    Length(usize),
    Chunks,
    UntilEnd,
}

impl Response {
    /// Reads what has come so far; `None` while more is needed. `ended` says that none will come.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn decode(bytes: &[u8], ended: bool) -> Result<Option<Self>, HttpError> {
        if bytes.len() > HTTP_LENGTH_MAX {
            return Err(HttpError::TooLong);
        }
        let more = || match ended {
            true => Err(HttpError::Cut),
            false => Ok(None),
        };
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            return match bytes.len() > HTTP_HEAD_LENGTH_MAX {
                true => Err(HttpError::TooLong),
                false => more(),
            };
        };
        let (status, framing) = head(&bytes[..end])?;
        let rest = &bytes[end + 4..];
        let body = match framing {
            Framing::Length(length) => rest.get(..length).map(<[u8]>::to_vec),
            Framing::Chunks => unchunk(rest)?,
            Framing::UntilEnd => ended.then(|| rest.to_vec()),
        };
        match body {
            Some(body) if body.len() <= XML_LENGTH_MAX => Ok(Some(Self { status, body })),
            Some(_) => Err(HttpError::TooLong),
            None => more(),
        }
    }
}

fn head(bytes: &[u8]) -> Result<(u16, Framing), HttpError> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split_ascii_whitespace();
    let is_http = first.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = first.next().and_then(|status| status.parse().ok());
    let status = status.filter(|_| is_http).ok_or(HttpError::Malformed)?;
    let mut framing = Framing::UntilEnd;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            return Ok((status, Framing::Chunks));
        }
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| HttpError::Malformed)?;
            if length > XML_LENGTH_MAX {
                return Err(HttpError::TooLong);
            }
            framing = Framing::Length(length);
        }
    }
    Ok((status, framing))
}

/// The body of chunks; `None` while the last has not come. Trailers are not waited for.
fn unchunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, HttpError> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let size = bytes[..end].split(|&byte| byte == b';').next();
        let size = size
            .and_then(|size| str::from_utf8(size).ok())
            .map(str::trim);
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or(HttpError::Malformed)?;
        if size > XML_LENGTH_MAX - body.len() {
            return Err(HttpError::TooLong);
        }
        if size == 0 {
            return Ok(Some(body));
        }
        let Some(chunk) = bytes[end + 2..].get(..size + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..size]);
        if !chunk.ends_with(b"\r\n") {
            return Err(HttpError::Malformed);
        }
        bytes = &bytes[end + 2 + size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn whole(bytes: &str) -> Result<Option<Response>, HttpError> {
        Response::decode(bytes.as_bytes(), true)
    }

    fn check(bytes: &str, status: u16, body: &str) {
        let body = body.as_bytes().to_vec();
        assert_eq!(
            whole(bytes),
            Ok(Some(Response { status, body })),
            "{bytes:?}"
        );
    }

    #[test]
    fn body_comes_by_length_in_chunks_or_until_the_end() {
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd",
            200,
            "abc",
        );
        check("HTTP/1.0 500 No\r\nX: y\r\n\r\nabcd", 500, "abcd");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunks = "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        check(&format!("{chunked}{chunks}"), 200, "abcd");
        check("HTTP/1.1 200 \r\nCONTENT-LENGTH:0\r\n\r\n", 200, "");
    }

    #[test]
    fn answer_in_parts_is_waited_for_and_one_cut_short_is_told() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ] {
            for length in 0..text.len() {
                let part = &text.as_bytes()[..length];
                assert_eq!(Response::decode(part, false), Ok(None), "{length}");
                assert_eq!(
                    Response::decode(part, true),
                    Err(HttpError::Cut),
                    "{length}"
                );
            }
            assert!(Response::decode(text.as_bytes(), false).unwrap().is_some());
        }
    }

    #[test]
    fn what_is_too_long_or_no_http_is_refused() {
        let check = |bytes: &str, expect| assert_eq!(whole(bytes), Err(expect), "{bytes:.60}");
        check("SSH-2.0-x\r\n\r\n", HttpError::Malformed);
        check("HTTP/1.1 OK\r\n\r\n", HttpError::Malformed);
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            HttpError::Malformed,
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}zz\r\n"), HttpError::Malformed);
        check(&format!("{chunked}1\r\nabc\r\n"), HttpError::Malformed);
        check(&format!("{chunked}ffffff\r\n"), HttpError::TooLong);
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n",
            HttpError::TooLong,
        );
        let endless = "x".repeat(HTTP_HEAD_LENGTH_MAX + 1);
        check(&endless, HttpError::TooLong);
        let endless = "x".repeat(HTTP_LENGTH_MAX + 1);
        check(
            &format!("HTTP/1.1 200 OK\r\n\r\n{endless}"),
            HttpError::TooLong,
        );
    }

    #[test]
    fn requests_name_the_host_and_end_the_connection() {
        let place = Location::parse("http://192.168.1.1:5/x", [192, 168, 1, 1].into()).unwrap();
        let text = String::from_utf8(get(&place)).unwrap();
        assert!(
            text.starts_with("GET /x HTTP/1.1\r\nHost: 192.168.1.1:5\r\n"),
            "{text}"
        );
        assert!(text.contains("Connection: close\r\n") && text.ends_with("\r\n\r\n"));
        let call = Call {
            soap_action: "\"a#b\"".to_owned(),
            body: "<x/>".to_owned(),
        };
        let text = String::from_utf8(post(&place, &call)).unwrap();
        assert!(
            text.contains("Content-Length: 4\r\nSOAPAction: \"a#b\"\r\n\r\n<x/>"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..300)) {
            crate::fuzz::gateway(&bytes);
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            answer.extend(bytes);
            crate::fuzz::gateway(&answer);
        }
    }
}
