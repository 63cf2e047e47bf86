//! What holds for any value and for any bytes.

use std::borrow::Cow;

use proptest::prelude::*;
use shoal_bencode::{Kind, Node, Options, ParseError, Value, fuzz, parse, parse_prefix};

/// Values five levels deep; wide enough that some dictionaries get an index.
fn value() -> impl Strategy<Value = Value<'static>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..12).prop_map(Cow::Owned);
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        bytes().prop_map(Value::Bytes)
    ];
    leaf.prop_recursive(5, 300, 60, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::btree_map(bytes(), inner, 0..60).prop_map(Value::Dict),
        ]
    })
}

const WORDS: &[&str] = &[
    "i", "e", "l", "d", "0:", "1:a", "1:b", "2:ab", "-", "0", "1", "9", ":", "i1e",
];

/// Bytes that get further than random ones: the grammar's own alphabet.
fn nearly_bencode() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(WORDS), 0..60)
        .prop_map(|words| words.concat().into_bytes())
}

fn owned(node: Node<'_, '_>) -> Value<'static> {
    match node.kind() {
        Kind::Int => Value::Int(node.as_int().unwrap()),
        Kind::Bytes => Value::from(node.as_bytes().unwrap().to_vec()),
        Kind::List => Value::List(node.as_list().unwrap().map(owned).collect()),
        Kind::Dict => Value::Dict(
            node.as_dict()
                .unwrap()
                .iter()
                .map(|(key, value)| (Cow::Owned(key.to_vec()), owned(value)))
                .collect(),
        ),
    }
}

proptest! {
    #[test]
    fn parse_reads_what_encode_writes(value in value()) {
        let bytes = value.encode();
        prop_assert_eq!(bytes.len(), value.encoded_length());
        let tree = parse(&bytes, Options::strict()).unwrap();
        prop_assert_eq!(owned(tree.root()), value);
        fuzz::parse(&bytes);
    }

    #[test]
    fn promises_hold_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::parse(&bytes);
    }

    #[test]
    fn promises_hold_for_bytes_that_look_like_bencode(bytes in nearly_bencode()) {
        fuzz::parse(&bytes);
    }

    #[test]
    fn promises_hold_after_one_byte_is_changed(
        value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = value.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        fuzz::parse(&bytes);
    }

    #[test]
    fn prefix_takes_the_value_and_leaves_the_rest(
        value in value(), rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = value.encode();
        let taken = bytes.len();
        bytes.extend_from_slice(&rest);
        let (tree, found) = parse_prefix(&bytes, Options::strict()).unwrap();
        prop_assert_eq!(found, taken);
        prop_assert_eq!(owned(tree.root()), value);
    }

    #[test]
    fn every_truncation_is_an_error_inside_the_input(
        value in value(), at in any::<prop::sample::Index>(),
    ) {
        let bytes = value.encode();
        let cut = at.index(bytes.len());
        let error = parse(&bytes[..cut], Options::lenient()).unwrap_err();
        let truncated = matches!(
            error,
            ParseError::UnexpectedEnd { .. } | ParseError::StringPastEnd { .. }
        );
        prop_assert!(truncated, "{}", error);
    }

    #[test]
    fn duplicates_are_found_in_any_order(
        keys in prop::collection::vec(prop::collection::vec(b'a'..=b'c', 0..4), 0..80),
    ) {
        let mut bytes = b"d".to_vec();
        for key in &keys {
            Value::from(key.as_slice()).encode_into(&mut bytes);
            bytes.extend_from_slice(b"i0e");
        }
        bytes.push(b'e');
        let mut distinct = keys.clone();
        distinct.sort();
        distinct.dedup();
        let result = parse(&bytes, Options::lenient());
        if distinct.len() == keys.len() {
            let tree = result.unwrap();
            let dict = tree.root().as_dict().unwrap();
            let found: Vec<_> = dict.iter().map(|(key, _)| key.to_vec()).collect();
            prop_assert_eq!(found, keys);
        } else {
            let duplicate = matches!(result, Err(ParseError::KeyDuplicate { .. }));
            prop_assert!(duplicate);
        }
    }
}
