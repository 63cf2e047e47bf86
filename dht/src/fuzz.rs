//! What the fuzz target and the replay of its corpus run. Not part of the crate's face.
//!
//! Promises: any bytes are a message or an error; a message says the same when it is encoded and
//! read again; a node takes any bytes from anywhere and answers a stranger with at most three times
//! as many.

use std::net::SocketAddr;
use std::time::Instant;

use crate::krpc::{Body, decode};
use crate::limits::AMPLIFICATION_MAX;
use crate::saved::Saved;
use crate::{Config, Input, Node, Output};

/// Reads `data` as a message, and as what was saved.
///
/// # Panics
/// When a promise of this module is broken.
pub fn krpc(data: &[u8]) {
    if let Ok(message) = decode(data)
        && !matches!(message.body, Body::BadQuery(_))
    {
        let bytes = message.encode();
        assert_eq!(
            decode(&bytes).as_ref(),
            Ok(&message),
            "{}",
            bytes.escape_ascii()
        );
    }
    if let Some(saved) = Saved::decode(data) {
        assert_eq!(Saved::decode(&saved.encode()), Some(saved));
    }
    receive(data);
}

fn receive(data: &[u8]) {
    let now = Instant::now();
    let config = Config {
        v4: true,
        v6: true,
        ..Config::default()
    };
    let mut node = Node::new(config, &[7; 32], now);
    for from in ["203.0.113.1:6881", "[2001:db8::1]:6881"] {
        let from: SocketAddr = from.parse().expect("an address");
        node.handle(now, Input::Received { from, bytes: data });
        let mut sent = 0;
        while let Some(output) = node.poll() {
            if let Output::Send { to, bytes } = output {
                assert_eq!(to, from, "nobody else is sent anything");
                assert!(decode(&bytes).is_ok());
                sent += bytes.len();
            }
        }
        assert!(
            sent <= data.len() * AMPLIFICATION_MAX,
            "{sent} bytes for {}",
            data.len()
        );
    }
}
