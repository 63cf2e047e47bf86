//! Why a tracker's answer did not come or is none. BEP 3 "failure reason", BEP 31 "retry in".
//!
//! Theirs or the network's fault, sorted by cause. Text that came from outside is printable here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shoal_bencode::{FieldError, ParseError};

/// Why an announce or scrape failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// The announce URL is not a URL.
    #[error("the tracker's URL `{url}` cannot be used: {reason}; correct it in the torrent")]
    Url {
        /// As it was given, printable.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A scheme that we do not speak.
    #[error("tracker scheme `{scheme}` is not supported{}", scheme_advice(.scheme))]
    Scheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// The announce URL does not say where to scrape. BEP 48.
    #[error("the tracker has no scrape address: the last part of its URL must begin `announce`")]
    ScrapeUnsupported,
    /// The name has no address.
    #[error("cannot find the tracker `{host}`: {reason}; check its name and the network")]
    Resolve {
        /// The name.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// All addresses of the name are such as a torrent must not make us talk to.
    #[error("the tracker `{host}` is at {address}, and {why}; it was not contacted")]
    Forbidden {
        /// The name.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// Which rule forbids it.
        why: &'static str,
    },
    /// No connection.
    #[error("cannot connect to the tracker at {address}: {reason}; it may be down")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// No connection through the proxy.
    #[cfg(feature = "client")]
    #[error("{0}")]
    Proxy(#[from] crate::client::ProxyError),
    /// The whole exchange took too long.
    #[error("the tracker did not answer within {} s; it may be overloaded", .after.as_secs_f32())]
    Timeout {
        /// The limit that passed.
        after: Duration,
    },
    /// The tracker is not who it must be, or cannot speak TLS as we do.
    #[error("no secure connection to the tracker `{host}`: {reason}")]
    Tls {
        /// The name.
        host: String,
        /// What TLS says.
        reason: String,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the tracker's HTTP answer is broken: {reason}")]
    Http {
        /// How.
        reason: String,
    },
    /// An answer other than 200.
    #[error("the tracker answered with HTTP status {code}{}", status_advice(*.code))]
    Status {
        /// The status.
        code: u16,
    },
    /// A redirect that must not be followed.
    #[error("the tracker redirects to where we do not follow: {reason}")]
    Redirect {
        /// Which rule forbids it.
        reason: String,
    },
    /// More bytes than any answer has.
    #[error("the tracker's answer has more than {max} bytes; it was not read to the end")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// A compressed answer, though we asked for none.
    #[error("the tracker's answer is compressed (`{encoding}`), which we did not ask for")]
    Encoded {
        /// The encoding.
        encoding: String,
    },
    /// A web page.
    #[error("the tracker answered with a web page; is the announce URL right?")]
    Html,
    /// Something else.
    #[error("the tracker's answer is not bencode: {0}")]
    NotBencode(#[from] ParseError),
    /// Bencode, but not what an answer has.
    #[error("the tracker's answer is malformed: {0}")]
    Field(#[from] FieldError),
    /// Bencode of the right types, but of impossible values.
    #[error("the tracker's answer is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// The tracker says no.
    #[error("the tracker refuses: {reason}")]
    Failure {
        /// Its words, printable, at most [`crate::limits::TEXT_BYTES_MAX`] bytes.
        reason: String,
        /// When to come again, if it says. BEP 31.
        retry: Option<Retry>,
    },
}

/// When to come again after a refusal. Source: BEP 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not sooner than after this.
    After(Duration),
    /// Not at all.
    Never,
}

impl TrackerError {
    /// When to ask this tracker again, where that is not ours to choose: for
    /// [`crate::announcer::Input::Failed`]. BEP 31.
    ///
    /// Never with a URL of no use, a scheme that we do not speak, or after HTTP 410.
    #[must_use]
    pub fn retry(&self) -> Option<Retry> {
        match self {
            Self::Url { .. }
            | Self::Scheme { .. }
            | Self::ScrapeUnsupported
            | Self::Status { code: 410 } => Some(Retry::Never),
            #[cfg(feature = "client")]
            Self::Proxy(crate::client::ProxyError::NoDatagrams) => Some(Retry::Never),
            Self::Failure { retry, .. } => *retry,
            _ => None,
        }
    }

    /// Whether asking this tracker again is pointless.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.retry() == Some(Retry::Never)
    }
}

fn scheme_advice(scheme: &str) -> &'static str {
    match scheme {
        "ws" | "wss" => " (it is for browsers); use an http, https or udp tracker",
        _ => "; use an http, https or udp tracker",
    }
}

fn status_advice(code: u16) -> &'static str {
    match code {
        401 | 403 => " (not allowed); does the URL lack its passkey?",
        404 => " (not found); is the announce URL right?",
        410 => " (gone); it will not be asked again",
        500..=599 => "; the fault is on its side, we try again later",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_tells_what_to_do() {
        let scheme = |scheme: &str| TrackerError::Scheme {
            scheme: scheme.to_owned(),
        };
        let check = |error: TrackerError, expect: &str| {
            let text = error.to_string();
            assert!(text.contains(expect), "{text}");
        };
        check(scheme("wss"), "for browsers");
        check(scheme("gopher"), "`gopher` is not supported; use an http");
        check(TrackerError::Status { code: 404 }, "404 (not found)");
        check(TrackerError::Status { code: 522 }, "on its side");
    }

    #[test]
    fn only_hopeless_errors_are_permanent() {
        let failure = |retry| TrackerError::Failure {
            reason: String::new(),
            retry,
        };
        assert!(failure(Some(Retry::Never)).is_permanent());
        assert!(!failure(None).is_permanent());
        assert!(!failure(Some(Retry::After(Duration::ZERO))).is_permanent());
        let hour = Some(Retry::After(Duration::from_secs(3_600)));
        assert_eq!(failure(hour).retry(), hour);
        assert_eq!(TrackerError::Html.retry(), None);
        assert!(TrackerError::Status { code: 410 }.is_permanent());
        assert!(!TrackerError::Status { code: 404 }.is_permanent());
        assert!(!TrackerError::Html.is_permanent());
    }
}
