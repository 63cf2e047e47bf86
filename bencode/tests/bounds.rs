//! Input made to exhaust: the stack, the memory, the clock.

use std::thread;

use shoal_bencode::{Options, ParseError, Step, Value, parse};

/// Runs on a stack on which a recursion of some hundred levels would end the process.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(test)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn nesting_bombs_are_refused_at_the_bound() {
    on_a_small_stack(|| {
        for levels in [101, 10_000, 10_000_000] {
            let error = parse(&b"l".repeat(levels), Options::lenient()).unwrap_err();
            assert_eq!(error, ParseError::TooDeep { at: 100, max: 100 });
            let error = parse(&b"d1:a".repeat(levels), Options::lenient()).unwrap_err();
            assert_eq!(error, ParseError::TooDeep { at: 400, max: 100 });
        }
    });
}

/// The bound is one of memory, not of the stack: without it the deepest tree is only large.
#[test]
fn deep_trees_are_parsed_read_and_dropped_without_recursion() {
    on_a_small_stack(|| {
        let levels = 300_000;
        let options = Options {
            depth_max: usize::MAX,
            ..Options::strict()
        };
        for head in ["l", "d1:a"] {
            let mut input = head.repeat(levels).into_bytes();
            input.extend_from_slice(b"le");
            input.resize(input.len() + levels, b'e');
            let tree = parse(&input, options).unwrap();
            let (mut depth, mut deepest) = (0, 0);
            for step in tree.clone().root().walk() {
                match step {
                    Step::Enter(node) if node.as_bytes().is_some() => {}
                    Step::Enter(_) => depth += 1,
                    Step::Leave(_) => depth -= 1,
                }
                deepest = deepest.max(depth);
            }
            assert_eq!((depth, deepest), (0, levels + 1));
            assert_eq!(shoal_bencode::fuzz::encode(tree.root()), input);
        }
        let unclosed = b"l".repeat(2_999_999);
        let at = unclosed.len();
        assert_eq!(
            parse(&unclosed, options).unwrap_err(),
            ParseError::UnexpectedEnd { at }
        );
    });
}

#[test]
fn tokens_end_at_the_bound() {
    let list = |items| [b"l".as_slice(), &b"0:".repeat(items), b"e"].concat();
    let input = list(1_000_000);
    let tree = parse(&input, Options::lenient()).unwrap();
    assert_eq!(tree.root().as_list().unwrap().len(), 1_000_000);

    let error = parse(&list(5_000_000), Options::lenient()).unwrap_err();
    assert_eq!(
        error,
        ParseError::TooManyTokens {
            at: 5_999_999,
            max: 3_000_000
        }
    );

    let exact = Options {
        tokens_max: 11,
        ..Options::wire()
    };
    assert!(parse(&list(10), exact).is_ok());
    let error = parse(&list(11), exact).unwrap_err();
    assert_eq!(error, ParseError::TooManyTokens { at: 21, max: 11 });
    assert!(parse(&list(9_999), Options::wire()).is_ok());
    assert!(parse(&list(10_000), Options::wire()).is_err());
}

#[test]
fn depth_ends_at_the_bound_of_the_wire() {
    let nested = |levels| [b"l".repeat(levels), b"e".repeat(levels)].concat();
    assert!(parse(&nested(16), Options::wire()).is_ok());
    let error = parse(&nested(17), Options::wire()).unwrap_err();
    assert_eq!(error, ParseError::TooDeep { at: 16, max: 16 });
}

/// Every key is looked up: with a scan for each this would be 10^10 comparisons.
#[test]
fn large_dictionaries_are_searched_by_halves() {
    let keys: Vec<_> = (0..100_000_i64).map(|n| format!("{n:06}")).collect();
    let entries = keys.iter().map(|key| (key, Value::from(key.as_str())));
    let sorted = Value::dict(entries).encode();
    let mut unsorted = b"d".to_vec();
    for n in 0..keys.len() {
        // 7919 is prime to 100,000: each key once, in no order.
        let key = &keys[n * 7919 % keys.len()];
        Value::from(key.as_str()).encode_into(&mut unsorted);
        Value::from(key.as_str()).encode_into(&mut unsorted);
    }
    unsorted.push(b'e');
    for input in [sorted, unsorted] {
        let tree = parse(&input, Options::lenient()).unwrap();
        let dict = tree.root().as_dict().unwrap();
        assert_eq!(dict.len(), keys.len());
        for key in &keys {
            let value = dict.get(key.as_bytes()).and_then(|node| node.as_bytes());
            assert_eq!(value, Some(key.as_bytes()));
        }
        assert!(dict.get(b"").is_none());
        assert!(dict.get(b"0999999").is_none());
        assert!(dict.get(b"999999").is_none());
    }
}

/// A duplicate at the two ends of 100,000 unsorted keys.
#[test]
fn far_duplicates_are_found_in_large_unsorted_dictionaries() {
    let mut input = b"d6:777777i0e".to_vec();
    for n in (0..100_000).rev() {
        input.extend_from_slice(format!("6:{n:06}i0e").as_bytes());
    }
    let at = input.len();
    input.extend_from_slice(b"6:777777i0ee");
    let error = parse(&input, Options::lenient()).unwrap_err();
    assert_eq!(error, ParseError::KeyDuplicate { at });
}
