//! What must hold of any bytes. BEP 3. The fuzz target and the corpus test call it.

use crate::encode::{put_bytes, put_int};
use crate::{Kind, Node, Options, ParseError, Step, Tree, parse_prefix};

/// Parses `data` in every mode and asserts what the crate promises.
pub fn parse(data: &[u8]) {
    let strict = crate::parse(data, Options::strict());
    let lenient = crate::parse(data, Options::lenient());
    if let Ok(tree) = &strict {
        check(tree, data);
        let again = encode(tree.root());
        assert_eq!(again, data, "strict input is canonical");
        assert!(lenient.is_ok(), "lenient takes all that strict takes");
    }
    if let Ok(tree) = &lenient {
        check(tree, data);
    }
    for error in [strict.err(), lenient.err()].into_iter().flatten() {
        assert!(error.at() <= data.len(), "{error} is within the input");
        assert!(!error.to_string().is_empty());
    }
    match parse_prefix(data, Options::wire()) {
        Ok((tree, taken)) => {
            assert_eq!(tree.root().span(), 0..taken);
            assert!(crate::parse(&data[..taken], Options::strict()).is_ok());
        }
        Err(error) => assert!(!matches!(error, ParseError::TrailingBytes { .. })),
    }
}

/// Spans nest, counts are right, every key is found again.
fn check(tree: &Tree<'_>, data: &[u8]) {
    for step in tree.root().walk() {
        let Step::Enter(node) = step else { continue };
        assert_eq!(node.raw(), &data[node.span()]);
        assert_eq!(node.kind() == Kind::Int, node.as_int().is_some());
        assert_eq!(node.kind() == Kind::Bytes, node.as_bytes().is_some());
        if let Some(list) = node.as_list() {
            assert_eq!(list.len(), list.count());
        }
        if let Some(dict) = node.as_dict() {
            assert_eq!(dict.len(), dict.iter().count());
            for (key, value) in dict {
                let found = dict.get(key).expect("a key that is there");
                assert_eq!(found.span(), value.span());
            }
        }
    }
}

/// The canonical bytes of what a tree says, not of what it came from.
pub fn encode(node: Node<'_, '_>) -> Vec<u8> {
    let mut out = Vec::new();
    for step in node.walk() {
        match step {
            Step::Leave(_) => out.push(b'e'),
            Step::Enter(node) => match (node.as_int(), node.as_bytes()) {
                (Some(value), _) => put_int(&mut out, value),
                (_, Some(bytes)) => put_bytes(&mut out, bytes),
                _ => out.push(if node.kind() == Kind::List {
                    b'l'
                } else {
                    b'd'
                }),
            },
        }
    }
    out
}
