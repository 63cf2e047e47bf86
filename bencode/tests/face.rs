//! What users of the crate lean on: lifetimes, getters, messages, the encoder's forms.

use std::borrow::Cow;

use shoal_bencode::{FieldError, Kind, Options, ParseError, Value, parse, parse_prefix};

const INPUT: &[u8] =
    b"d4:dictd1:xi-7ee3:inti42e4:listli1e1:ae6:nottxt2:\xff\xfe4:text5:h\xc3\xa9y!e";

#[test]
fn what_comes_out_of_a_node_outlives_the_tree() {
    let input = INPUT.to_vec();
    let (text, raw) = {
        let tree = parse(&input, Options::strict()).unwrap();
        let dict = tree.root().as_dict().unwrap();
        (dict.text("text").unwrap(), dict.node("dict").unwrap().raw())
    };
    assert_eq!(text, "héy!");
    assert_eq!(raw, b"d1:xi-7ee");
}

#[test]
fn getters_read_what_is_there() {
    let tree = parse(INPUT, Options::strict()).unwrap();
    let dict = tree.root().as_dict().unwrap();
    assert_eq!(dict.int("int"), Ok(42));
    assert_eq!(dict.opt_int("int"), Ok(Some(42)));
    assert_eq!(dict.bytes("nottxt"), Ok(b"\xff\xfe".as_slice()));
    assert_eq!(dict.opt_text("text"), Ok(Some("héy!")));
    assert_eq!(dict.dict("dict").unwrap().int("x"), Ok(-7));
    let list = dict.list("list").unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(
        list.map(|node| node.kind()).collect::<Vec<_>>(),
        [Kind::Int, Kind::Bytes]
    );
    let keys: Vec<_> = dict.iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [b"dict".as_slice(), b"int", b"list", b"nottxt", b"text"]
    );
}

#[test]
fn getters_name_the_key_at_fault() {
    let tree = parse(INPUT, Options::strict()).unwrap();
    let dict = tree.root().as_dict().unwrap();
    let key = "none";
    assert_eq!(dict.int(key), Err(FieldError::Missing { key }));
    assert_eq!(dict.bytes(key), Err(FieldError::Missing { key }));
    assert_eq!(dict.text(key), Err(FieldError::Missing { key }));
    assert_eq!(dict.list(key).unwrap_err(), FieldError::Missing { key });
    assert_eq!(dict.dict(key).unwrap_err(), FieldError::Missing { key });
    assert_eq!(dict.node(key).unwrap_err(), FieldError::Missing { key });
    assert_eq!(dict.opt_int(key), Ok(None));
    assert_eq!(dict.opt_bytes(key), Ok(None));
    assert_eq!(dict.opt_text(key), Ok(None));
    assert!(dict.opt_list(key).unwrap().is_none());
    assert!(dict.opt_dict(key).unwrap().is_none());

    let wrong = |key, expected, found| FieldError::WrongType {
        key,
        expected,
        found,
    };
    assert_eq!(
        dict.opt_int("text"),
        Err(wrong("text", Kind::Int, Kind::Bytes))
    );
    assert_eq!(dict.text("int"), Err(wrong("int", Kind::Bytes, Kind::Int)));
    assert_eq!(
        dict.list("dict").unwrap_err(),
        wrong("dict", Kind::List, Kind::Dict)
    );
    assert_eq!(
        dict.dict("list").unwrap_err(),
        wrong("list", Kind::Dict, Kind::List)
    );
    assert_eq!(
        dict.text("nottxt"),
        Err(FieldError::NotUtf8 { key: "nottxt" })
    );
}

#[test]
fn messages_say_what_and_where() {
    let says = |input: &[u8], expect| {
        assert_eq!(
            parse(input, Options::strict()).unwrap_err().to_string(),
            expect
        );
    };
    says(
        b"",
        "byte 0: the input ends before the value does; it may be truncated",
    );
    says(
        b"<html>",
        "byte 0: expected a value (`i`, `l`, `d` or a digit), found `<`",
    );
    says(
        b"l\xffe",
        "byte 1: expected a value (`i`, `l`, `d` or a digit), found byte 0xff",
    );
    says(
        b"d1:a9:xyze",
        "byte 6: a string of 9 bytes, but only 4 are left; it may be truncated",
    );
    says(
        b"d1:bi1e1:ai1ee",
        "byte 7: the keys of the dictionary are not sorted",
    );
    says(
        b"i1e\n",
        "byte 3: the value ends here, but the input does not (bytes left: 1)",
    );
    let error = FieldError::WrongType {
        key: "pieces",
        expected: Kind::Bytes,
        found: Kind::Int,
    };
    assert_eq!(
        error.to_string(),
        "key `pieces` must be a string, but is an integer"
    );
}

#[test]
fn prefix_says_where_the_rest_begins() {
    let message = b"d8:msg_typei1e5:piecei0eeDATA";
    let (tree, taken) = parse_prefix(message, Options::wire()).unwrap();
    assert_eq!(&message[taken..], b"DATA");
    assert_eq!(tree.root().span(), 0..taken);
    let error = parse(message, Options::wire()).unwrap_err();
    assert_eq!(
        error,
        ParseError::TrailingBytes {
            at: taken,
            count: 4
        }
    );
}

#[test]
fn encoder_sorts_keys_by_their_bytes() {
    let value = Value::dict([
        ("b", 1.into()),
        ("a", 2.into()),
        ("B", 3.into()),
        ("ab", 4.into()),
    ]);
    assert_eq!(value.encode(), b"d1:Bi3e1:ai2e2:abi4e1:bi1ee");
}

#[test]
fn encoder_takes_every_form() {
    let tree = parse(INPUT, Options::strict()).unwrap();
    let value = Value::list([
        Value::from("text"),
        Value::from(String::from("owned")),
        Value::from(&b"\x00\xff"[..]),
        Value::from(b"ab"),
        Value::from(vec![b'v']),
        Value::from(i64::MIN),
        Value::from(i64::MAX),
        Value::from(0),
        Value::Raw(Cow::Borrowed(b"i00e")),
        Value::from(tree.root().as_dict().unwrap().node("dict").unwrap()),
        Value::dict::<str>([]),
        Value::list::<Value<'_>>([]),
    ]);
    let expect = b"l4:text5:owned2:\x00\xff2:ab1:vi-9223372036854775808ei9223372036854775807e\
        i0ei00ed1:xi-7eedelee";
    assert_eq!(value.encode(), expect);
    assert_eq!(value.encoded_length(), expect.len());
    let mut out = b"before".to_vec();
    value.encode_into(&mut out);
    assert_eq!(out[6..], *expect);
}
