//! Inputs that other decoders have stumbled over, with the verdict that BEP 3 gives, as data.
//!
//! The inputs go back to the tests of libtorrent, Transmission, anacrolix/torrent, fastbencode and
//! bencode-py, and to the limits of this crate; the verdicts are ours.

use shoal_bencode::{Options, ParseError, Tree, parse};

const TABLE: &str = include_str!("torture.txt");

/// Hex groups, each perhaps repeated: `6c*3 65*3`.
fn input(text: &str) -> Vec<u8> {
    let group = |group: &str| {
        let (hex, times) = group.split_once('*').unwrap_or((group, "1"));
        assert!(hex.len().is_multiple_of(2), "{hex}");
        let pairs = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
        let bytes: Vec<_> = pairs
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect();
        bytes.repeat(times.parse().unwrap())
    };
    text.split_whitespace().flat_map(group).collect()
}

fn verdict(result: Result<Tree<'_>, ParseError>) -> String {
    match result {
        Ok(tree) => format!("ok {}", tree.root().span().end),
        Err(error) => {
            let debug = format!("{error:?}");
            let name = debug.split(' ').next().unwrap();
            format!("{name}@{}", error.at())
        }
    }
}

#[test]
fn every_case_gets_its_verdict_in_both_modes() {
    let mut cases = 0;
    for line in TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let [text, strict, lenient] = columns[..] else {
            panic!("three columns: {line}")
        };
        let input = input(text);
        let shown = input[..input.len().min(60)].escape_ascii();
        assert_eq!(
            verdict(parse(&input, Options::strict())),
            strict,
            "strict: {shown}"
        );
        assert_eq!(
            verdict(parse(&input, Options::lenient())),
            lenient,
            "lenient: {shown}"
        );
        cases += 1;
    }
    assert_eq!(cases, 180);
}
