//! Where a body ends, and the bytes until there. RFC 9112, sections 6 and 7.

use async_std::future::timeout;
use futures_lite::AsyncReadExt as _;

use super::super::connector::Stream;
use super::{WebError, broken, http};
use crate::http::head::{self, Head};
use crate::limits;

/// A connection, with what was read of it too early.
pub(super) struct Source {
    stream: Box<dyn Stream>,
    ahead: Vec<u8>,
    /// So many of them have been used.
    used: usize,
}

impl Source {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
            used: 0,
        }
    }

    pub(super) fn stream(&mut self) -> &mut dyn Stream {
        &mut *self.stream
    }

    /// Reads a head to its end.
    pub(super) async fn head(&mut self) -> Result<Vec<u8>, WebError> {
        loop {
            let ahead = &self.ahead[self.used..];
            if let Some(end) = head::end(ahead) {
                let bytes = ahead[..end].to_vec();
                self.used += end;
                return Ok(bytes);
            }
            let start = ahead.len().min(5);
            if ahead[..start] != b"HTTP/"[..start] {
                return Err(http("it is not HTTP; is the port right?"));
            }
            if ahead.len() >= limits::HEAD_BYTES_MAX {
                return Err(http("its head is too long"));
            }
            let begun = !ahead.is_empty();
            if self.more().await? == 0 {
                return Err(match begun {
                    true => http("the connection was closed in the middle of it"),
                    false => WebError::Closed,
                });
            }
        }
    }

    /// Reads a line without its end: one of those between chunks.
    async fn line(&mut self) -> Result<Vec<u8>, WebError> {
        loop {
            let ahead = &self.ahead[self.used..];
            if let Some(end) = ahead.iter().position(|&byte| byte == b'\n') {
                let line = ahead[..end].trim_ascii_end().to_vec();
                self.used += end + 1;
                return Ok(line);
            }
            if ahead.len() > limits::CHUNK_LINE_BYTES_MAX {
                return Err(http("a line between its chunks is too long"));
            }
            if self.more().await? == 0 {
                return Err(http("the connection was closed in the middle of it"));
            }
        }
    }

    /// Reads behind what is there ahead.
    async fn more(&mut self) -> Result<usize, WebError> {
        self.ahead.drain(..self.used);
        self.used = 0;
        let mut chunk = [0; 4_096];
        let count = read(&mut *self.stream, &mut chunk).await?;
        self.ahead.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    async fn read(&mut self, out: &mut [u8]) -> Result<usize, WebError> {
        let ahead = &self.ahead[self.used..];
        if ahead.is_empty() {
            return read(&mut *self.stream, out).await;
        }
        let count = ahead.len().min(out.len());
        out[..count].copy_from_slice(&ahead[..count]);
        self.used += count;
        Ok(count)
    }
}

async fn read(stream: &mut dyn Stream, out: &mut [u8]) -> Result<usize, WebError> {
    let read = timeout(limits::WEB_SILENCE_MAX, stream.read(out)).await;
    read.map_err(|_| WebError::Silent)?.map_err(broken)
}

/// What of a body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// So many bytes of this chunk, then others.
    Chunks(u64),
    /// As many as come.
    ToTheEnd,
}

impl Body {
    pub(super) const NONE: Self = Self::Length(0);

    pub(super) fn of(head: &Head<'_>) -> Result<Self, WebError> {
        let encoding = head.field("content-encoding").unwrap_or(b"identity");
        if !encoding.eq_ignore_ascii_case(b"identity") {
            return Err(http("it is compressed, which we did not ask for"));
        }
        if let Some(coding) = head.field("transfer-encoding") {
            return match coding.eq_ignore_ascii_case(b"chunked") {
                true => Ok(Self::Chunks(0)),
                false => Err(http("its transfer coding is unknown")),
            };
        }
        let Some(length) = head.field("content-length") else {
            return Ok(Self::ToTheEnd);
        };
        let length = std::str::from_utf8(length).ok();
        let length = length.and_then(|length| length.parse().ok());
        length
            .map(Self::Length)
            .ok_or_else(|| http("its length is no number"))
    }

    /// How long it is, if that is known before it has come.
    pub(super) fn length(self) -> Option<u64> {
        match self {
            Self::Length(length) => Some(length),
            Self::Chunks(_) | Self::ToTheEnd => None,
        }
    }

    pub(super) fn is_read(self) -> bool {
        self == Self::NONE
    }

    pub(super) async fn read(
        &mut self,
        source: &mut Source,
        out: &mut [u8],
    ) -> Result<usize, WebError> {
        let fits = |left: u64| usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        match *self {
            Self::Length(0) => Ok(0),
            Self::Length(left) => {
                let room = fits(left);
                let count = source.read(&mut out[..room]).await?;
                if count == 0 && room > 0 {
                    return Err(http("the connection was closed in the middle of it"));
                }
                *self = Self::Length(left - count as u64);
                Ok(count)
            }
            Self::ToTheEnd => {
                let count = source.read(out).await?;
                if count == 0 && !out.is_empty() {
                    *self = Self::NONE;
                }
                Ok(count)
            }
            Self::Chunks(mut left) => {
                if left == 0 {
                    left = next_chunk(source).await?;
                }
                if left == 0 {
                    // Fields behind the last chunk, then an empty line.
                    while !source.line().await?.is_empty() {}
                    *self = Self::NONE;
                    return Ok(0);
                }
                let room = fits(left);
                let count = source.read(&mut out[..room]).await?;
                if count == 0 && room > 0 {
                    return Err(http("the connection was closed in the middle of it"));
                }
                left -= count as u64;
                if left == 0 && !source.line().await?.is_empty() {
                    return Err(http("a chunk is longer than it says"));
                }
                *self = Self::Chunks(left);
                Ok(count)
            }
        }
    }
}

/// The length of the next chunk; 0 for the last.
async fn next_chunk(source: &mut Source) -> Result<u64, WebError> {
    let line = source.line().await?;
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits.trim_ascii()).ok();
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| http("the length of a chunk is no number"))
}
