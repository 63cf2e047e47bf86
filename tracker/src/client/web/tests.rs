//! A server of few words asked for ranges: framing, refusals, redirects, rules of addresses.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use async_std::task;

use super::*;

fn web() -> Web {
    super::super::Client::new().web()
}

/// A server that gives each of these answers when it has read one more question; then it closes.
/// Gives the questions.
fn serve(answers: &[&[u8]]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut bytes = Vec::new();
        for answer in answers {
            while head::end(&bytes).is_none() {
                let mut chunk = [0; 512];
                let count = stream.read(&mut chunk).unwrap();
                assert!(count > 0, "fewer questions than answers");
                bytes.extend_from_slice(&chunk[..count]);
            }
            let end = head::end(&bytes).unwrap();
            let question = bytes.drain(..end).collect();
            asked.push(String::from_utf8(question).unwrap());
            stream.write_all(&answer).unwrap();
        }
        asked
    });
    (url, serving)
}

/// Asks for bytes 2 to 5 of what gives this answer; the head, and the body to its end.
fn asked(answer: &[u8]) -> Result<(Answer, Vec<u8>), WebError> {
    let (url, serving) = serve(&[answer]);
    let found = task::block_on(async {
        let mut line = web().open(&url, None).await?;
        line.ask(&url, Some(&(2..6))).await?;
        let answer = line.answer().await?;
        let body = body(&mut line).await?;
        Ok((answer, body))
    });
    serving.join().unwrap();
    found
}

async fn body(line: &mut Line) -> Result<Vec<u8>, WebError> {
    let (mut body, mut chunk) = (Vec::new(), [0; 3]);
    loop {
        match line.read(&mut chunk).await? {
            0 => return Ok(body),
            count => body.extend_from_slice(&chunk[..count]),
        }
    }
}

#[test]
fn range_is_asked_for_and_read() {
    let head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-5/9\r\n\
        Content-Length: 4\r\n\r\nabcd";
    let (range, total) = (2..6, Some(9));
    let expect = (Answer::Part { range, total }, b"abcd".to_vec());
    assert_eq!(asked(head).unwrap(), expect);
}

#[test]
fn questions_are_written_ahead_of_their_answers() {
    let part = |first: u64, text: &str| {
        let last = first + text.len() as u64 - 1;
        let length = text.len();
        format!(
            "HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/*\r\n\
             Content-Length: {length}\r\n\r\n{text}"
        )
    };
    let (first, second) = (part(0, "one"), part(3, "second"));
    let (url, serving) = serve(&[first.as_bytes(), second.as_bytes()]);
    task::block_on(async {
        let mut line = web().open(&url, None).await.unwrap();
        line.ask(&url, Some(&(0..3))).await.unwrap();
        line.ask(&url, Some(&(3..9))).await.unwrap();
        for (range, text) in [(0..3, "one"), (3..9, "second")] {
            let total = None;
            let part = Answer::Part { range, total };
            assert_eq!(line.answer().await.unwrap(), part);
            assert_eq!(body(&mut line).await.unwrap(), text.as_bytes());
        }
        line.ask(&url, None).await.unwrap();
        let closed = line.answer().await.unwrap_err();
        assert!(matches!(closed, WebError::Closed | WebError::Http { .. }));
    });
    let asked = serving.join().unwrap();
    assert!(asked[0].starts_with("GET /file HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert!(asked[1].contains("\r\nRange: bytes=3-8\r\n"), "{asked:?}");
}

#[test]
fn body_ends_where_its_head_says() {
    let whole = |length| Answer::Whole { length };
    let check = |fields: &str, body: &str, expect: Answer| {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
        let found = asked(answer.as_bytes()).unwrap();
        assert_eq!(found, (expect, b"0123456789".to_vec()), "{fields}");
    };
    let chunks = "4;x=y\r\n0123\r\n6\r\n456789\r\n0\r\nTrailer: x\r\n\r\n";
    check(
        "Content-Length: 10\r\n",
        "0123456789 and more",
        whole(Some(10)),
    );
    check("Transfer-Encoding: chunked\r\n", chunks, whole(None));
    check("", "0123456789", whole(None));
}

#[test]
fn answer_that_is_of_no_use_is_refused_by_its_cause() {
    let status = |code| WebError::Status { code };
    let busy = |after: Option<u64>| WebError::Busy {
        after: after.map(Duration::from_secs),
    };
    let check = |answer: &str, expect: WebError| {
        let found = asked(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
        assert_eq!(found.unwrap_err(), expect, "{answer}");
    };
    check("404 Not Found", status(404));
    check("302 Found", status(302));
    check("416 Range Not Satisfiable", WebError::NotThere);
    check("503 Busy", busy(None));
    check("503 Busy\r\nRetry-After: 7", busy(Some(7)));
    check(
        "429 Slow\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT",
        busy(None),
    );
    for broken in [
        "206 P\r\nContent-Length: 4",
        "206 P\r\nContent-Range: bytes 5-2/9",
        "206 P\r\nContent-Range: bytes 2-5/5",
        "206 P\r\nContent-Range: 2-5/9",
        "206 P\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 5",
        "200 OK\r\nContent-Length: -1",
        "200 OK\r\nContent-Length: 5",
        "200 OK\r\nContent-Encoding: gzip",
        "200 OK\r\nTransfer-Encoding: gzip",
        "200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "20x",
    ] {
        let found = asked(format!("HTTP/1.1 {broken}\r\n\r\n").as_bytes());
        let error = found.unwrap_err();
        assert!(matches!(error, WebError::Http { .. }), "{broken}: {error}");
    }
    assert_eq!(asked(b""), Err(WebError::Closed));
    assert!(matches!(asked(b"SSH-2.0\r\n"), Err(WebError::Http { .. })));
}

#[test]
fn redirect_is_told_and_never_leads_to_plain_text_or_elsewhere() {
    let check = |to: &str| asked(format!("HTTP/1.1 302 F\r\nLocation: {to}\r\n\r\n").as_bytes());
    let moved = |to: &str| Answer::Moved(to.to_owned());
    let (found, body) = check("http://other.test/x").unwrap();
    assert_eq!((found, body), (moved("http://other.test/x"), Vec::new()));
    let (Answer::Moved(near), _) = check("near?q").unwrap() else {
        panic!("it is moved")
    };
    assert!(near.ends_with("/near?q") && near.starts_with("http://127.0.0.1:"));
    for elsewhere in ["file:///etc/passwd", "ftp://h/", "http://h:0/"] {
        assert!(
            matches!(check(elsewhere), Err(WebError::Line(_))),
            "{elsewhere}"
        );
    }
}

#[test]
fn private_network_is_asked_without_a_query_only() {
    let open = |url: &str| task::block_on(web().open(url, None)).map(drop);
    let refused = open("http://127.0.0.1:1/a?b=c").unwrap_err().to_string();
    assert!(refused.contains("not asked with a query"), "{refused}");
    assert!(refused.starts_with("the web seed `127.0.0.1`"), "{refused}");
    let never = open("http://169.254.169.254/latest")
        .unwrap_err()
        .to_string();
    assert!(never.contains("it was not contacted"), "{never}");
    assert!(matches!(open("ftp://h/"), Err(WebError::Line(_))));
}

#[test]
fn line_serves_its_own_server_only() {
    let (url, serving) = serve(&[]);
    let line = task::block_on(web().open(&url, None)).unwrap();
    assert!(line.serves(&url) && line.serves(&format!("{url}/other")));
    for other in ["http://127.0.0.1:1/file", "https://127.0.0.1/", "nonsense"] {
        assert!(!line.serves(other), "{other}");
    }
    serving.join().unwrap();
}
