//! Bencode, the encoding of BEP 3: a zero-copy parser into a borrowed tree, a canonical encoder.
//!
//! [`parse()`] turns bytes into a [`Tree`] whose [`Node`]s know their exact span, so that an info
//! hash is taken of the bytes that came and never of a re-encoding. [`Dict`]'s typed getters name
//! the key that is missing or mistyped. [`Value`] is the other direction: what we build and send.
//!
//! Nothing here recurses on input: parsing, reading and dropping a tree take a constant amount of
//! stack, whatever the nesting. [`Options`] bound the depth and the number of values, hence memory.
//! The crate does no I/O and knows no torrent: which keys matter is `metainfo`'s business.
//!
//! ```
//! use shoal_bencode::{Options, Value, parse};
//!
//! let torrent = b"d8:announce14:http://t.test/4:infod6:lengthi7e4:name5:a.txtee";
//! let tree = parse(torrent, Options::lenient())?;
//! let dict = tree.root().as_dict().expect("a dictionary");
//! assert_eq!(dict.text("announce")?, "http://t.test/");
//! assert_eq!(dict.dict("info")?.int("length")?, 7);
//! assert_eq!(dict.get(b"info").unwrap().raw(), b"d6:lengthi7e4:name5:a.txte");
//! assert_eq!(dict.int("size").unwrap_err().to_string(), "key `size` is missing");
//!
//! let reply = Value::dict([("interval", Value::from(1800)), ("complete", Value::from(2))]);
//! assert_eq!(reply.encode(), b"d8:completei2e8:intervali1800ee");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod dict;
mod encode;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod limits;
mod options;
mod parse;
mod scalar;
mod tree;
mod walk;

pub use dict::{Dict, Entries};
pub use encode::Value;
pub use error::{FieldError, ParseError};
pub use options::{Mode, Options};
pub use parse::{parse, parse_prefix};
pub use tree::{Kind, List, Node, Tree};
pub use walk::{Step, Walk};
