//! What becomes of every kind of name that a torrent can hold.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use shoal_metainfo::limits::{COMPONENT_BYTES_MAX, COMPONENTS_MAX, PATH_BYTES_MAX};
use shoal_metainfo::{NameRules, PathError, SafePath};

/// The stricter rules: whatever they keep, the others keep too.
fn portable<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Result<SafePath, PathError> {
    SafePath::with_rules(NameRules::Windows, names)
}

/// A name, and what it becomes.
type Row<'a> = (&'a [u8], &'a str);

fn check(rows: &[Row<'_>]) {
    for (given, expected) in rows {
        let path = portable([*given])
            .unwrap_or_else(|error| panic!("{:?}: {error}", given.escape_ascii().to_string()));
        assert_eq!(path.as_str(), *expected, "of {}", given.escape_ascii());
        assert!(is_safe(path.as_str()), "{path}");
        // A safe name is stable, alone and below a folder.
        assert_eq!(portable([path.as_str().as_bytes()]).unwrap(), path);
        let below = portable([&b"folder"[..], given]).unwrap();
        assert_eq!(below.file_name(), *expected);
    }
}

fn check_kept(names: &[&str]) {
    let rows: Vec<Row<'_>> = names.iter().map(|name| (name.as_bytes(), *name)).collect();
    check(&rows);
}

fn check_refused(names: &[&[u8]], is_expected: fn(&PathError) -> bool) {
    for name in names {
        for components in [vec![*name], vec![b"a", *name], vec![*name, b"b"]] {
            match portable(components) {
                Err(error) => assert!(is_expected(&error), "{}: {error}", name.escape_ascii()),
                Ok(path) => panic!("{} became {path}", name.escape_ascii()),
            }
        }
    }
}

/// Written apart from the code under test, from what file systems demand.
fn is_safe(component: &str) -> bool {
    let upper = component.to_uppercase();
    let stem = upper.split('.').next().unwrap().trim_end_matches(' ');
    let plain = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];
    let port = |digit: char| stem == format!("COM{digit}") || stem == format!("LPT{digit}");
    let device = plain.contains(&stem) || "0123456789\u{b9}\u{b2}\u{b3}".chars().any(port);
    let bad = |c: char| {
        let code = u32::from(c);
        code < 0x20
            || (0x7f..0xa0).contains(&code)
            || "/\\:<>\"|?*".contains(c)
            || [0x61c, 0x200e, 0x200f].contains(&code)
            || (0x2028..0x202f).contains(&code)
            || (0x2066..0x206a).contains(&code)
    };
    !component.is_empty()
        && component.len() <= 255
        && !component.ends_with(['.', ' '])
        && !component.chars().any(bad)
        && !device
}

#[test]
fn ordinary_names_are_kept() {
    check_kept(&[
        "a",
        "A",
        "0",
        "_",
        "-",
        "~",
        "file.txt",
        "archive.tar.gz",
        "Read Me.md",
        " leading space",
        "two  spaces",
        ".hidden",
        "..hidden",
        "...hidden",
        ".a.b",
        "a..b",
        "a.b.c.d.e",
        "--option",
        "-rf",
        "~root",
        "$HOME",
        "%2e%2e%2f",
        "%00",
        "a%2fb",
        "a;b",
        "a&b",
        "a'b",
        "a`b`",
        "$(reboot)",
        "{a,b}",
        "[a-z]",
        "a!b",
        "a#b",
        "a@b",
        "a+b=c",
        "a^b",
        "a,b",
        "(1)",
        "a (2).txt",
        "name~1.txt",
        "MASSIVE",
        "naïve",
        "ÅÄÖ.txt",
        "日本語.txt",
        "Кириллица",
        "ελληνικά",
        "עברית",
        "العربية",
        "हिन्दी",
        "👩\u{200d}👩\u{200d}👧.jpg",
        "e\u{301}",
        "\u{e9}",
        "\u{a0}",
        "\u{3000}",
        "\u{feff}bom",
        "\u{fffd}",
        "\u{2215}",
        "\u{2044}",
        "\u{29f8}",
        "\u{ff0f}",
        "\u{ff3c}",
        "\u{2024}\u{2024}",
        "\u{ff0e}\u{ff0e}",
        "lost+found",
        "System Volume Information",
        "desktop.ini",
        "$Recycle.Bin",
        ".git",
        ".torrent",
        "Thumbs.db",
        "Icon",
    ]);
}

#[test]
fn names_that_only_resemble_devices_are_kept() {
    check_kept(&[
        "CONSOLE",
        "CON1",
        "icon",
        "con-",
        "con_",
        "conman.txt",
        "a.con",
        "xcon.txt",
        "_CON",
        "NULL",
        "nul1",
        "null.txt",
        "AUXILIARY",
        "PRNT",
        "COM",
        "COM10",
        "COM1a",
        "COMA",
        "COM-1",
        "com.1",
        "LPT",
        "LPT10",
        "LPTx",
        "COM\u{b9}\u{b9}",
        "COM\u{2074}",
        "CONIN",
        "CONOUT",
        "CONIN$x",
        "CLOCK",
        " CON",
        ".CON",
        ".nul.txt",
    ]);
}

#[test]
fn devices_get_an_underscore_before_them() {
    check(&[
        (b"CON", "_CON"),
        (b"con", "_con"),
        (b"Con", "_Con"),
        (b"cOn.txt", "_cOn.txt"),
        (b"CON.tar.gz", "_CON.tar.gz"),
        (b"CON .txt", "_CON .txt"),
        (b"CON   .txt", "_CON   .txt"),
        (b"CON..txt", "_CON..txt"),
        (b"PRN", "_PRN"),
        (b"prn.doc", "_prn.doc"),
        (b"AUX", "_AUX"),
        (b"aux.c", "_aux.c"),
        (b"aux.h", "_aux.h"),
        (b"NUL", "_NUL"),
        (b"nul", "_nul"),
        (b"nul.", "nul_"),
        (b"nul ", "nul_"),
        (b"nul:", "nul_"),
        (b"NUL.mp3", "_NUL.mp3"),
        (b"COM0", "_COM0"),
        (b"COM1", "_COM1"),
        (b"com2", "_com2"),
        (b"Com3.log", "_Com3.log"),
        (b"COM4", "_COM4"),
        (b"COM5", "_COM5"),
        (b"COM6", "_COM6"),
        (b"COM7", "_COM7"),
        (b"COM8", "_COM8"),
        (b"COM9.x.y", "_COM9.x.y"),
        (b"LPT0", "_LPT0"),
        (b"LPT1", "_LPT1"),
        (b"lpt2", "_lpt2"),
        (b"LPT3.txt", "_LPT3.txt"),
        (b"LPT4", "_LPT4"),
        (b"LPT5", "_LPT5"),
        (b"LPT6", "_LPT6"),
        (b"LPT7", "_LPT7"),
        (b"LPT8", "_LPT8"),
        (b"lPt9", "_lPt9"),
        ("COM\u{b9}".as_bytes(), "_COM\u{b9}"),
        ("com\u{b2}.txt".as_bytes(), "_com\u{b2}.txt"),
        ("LPT\u{b3}".as_bytes(), "_LPT\u{b3}"),
        (b"CONIN$", "_CONIN$"),
        (b"conout$", "_conout$"),
        (b"CLOCK$", "_CLOCK$"),
        ("CON\u{202e}.txt".as_bytes(), "CON_.txt"),
    ]);
}

#[test]
fn ends_in_dots_and_spaces_become_underscores() {
    check(&[
        (b" ", "_"),
        (b"  ", "__"),
        (b". ", "__"),
        (b" .", "__"),
        (b"...", "___"),
        (b"....", "____"),
        (b".. ", "___"),
        (b".. .", "____"),
        (b"a.", "a_"),
        (b"a..", "a__"),
        (b"a...", "a___"),
        (b"a ", "a_"),
        (b"a  ", "a__"),
        (b"a. . .", "a_____"),
        (b"a.txt ", "a.txt_"),
        (b"a.txt.", "a.txt_"),
        (b"a .txt .", "a .txt__"),
        (b".a.", ".a_"),
        (b"..a ", "..a_"),
        (b"etc.", "etc_"),
    ]);
}

#[test]
fn characters_that_windows_refuses_become_underscores() {
    check(&[
        (b":", "_"),
        (b"C:", "C_"),
        (b"c:evil.exe", "c_evil.exe"),
        (b"hell:o", "hell_o"),
        (b"file.txt:stream", "file.txt_stream"),
        (b"file.txt::$DATA", "file.txt__$DATA"),
        (b"a<b", "a_b"),
        (b"a>b", "a_b"),
        (b"a\"b\"", "a_b_"),
        (b"a|b", "a_b"),
        (b"what?", "what_"),
        (b"*.*", "_._"),
        (b"*", "_"),
        (b"???", "___"),
        (b"?.", "__"),
        (b".:", "._"),
        (b"..:", ".._"),
    ]);
}

#[test]
fn characters_that_deceive_become_underscores() {
    check(&[
        (b"\x01", "_"),
        (b"a\x07b", "a_b"),
        (b"a\tb", "a_b"),
        (b"a\nb", "a_b"),
        (b"a\r\nb", "a__b"),
        (b"\x1b[31mred\x1b[0m", "_[31mred_[0m"),
        (b"\x1b]0;title\x07", "_]0;title_"),
        (b"a\x1f", "a_"),
        (b"a\x7fb", "a_b"),
        ("a\u{80}b".as_bytes(), "a_b"),
        ("a\u{85}b".as_bytes(), "a_b"),
        ("\u{9b}31m".as_bytes(), "_31m"),
        ("a\u{9f}".as_bytes(), "a_"),
        ("a\u{61c}b".as_bytes(), "a_b"),
        ("a\u{200e}b".as_bytes(), "a_b"),
        ("a\u{200f}b".as_bytes(), "a_b"),
        ("a\u{2028}b".as_bytes(), "a_b"),
        ("a\u{2029}b".as_bytes(), "a_b"),
        ("a\u{202a}b".as_bytes(), "a_b"),
        ("a\u{202b}b".as_bytes(), "a_b"),
        ("a\u{202c}b".as_bytes(), "a_b"),
        ("a\u{202d}b".as_bytes(), "a_b"),
        ("photo\u{202e}gpj.exe".as_bytes(), "photo_gpj.exe"),
        ("a\u{2066}b".as_bytes(), "a_b"),
        ("a\u{2067}b".as_bytes(), "a_b"),
        ("a\u{2068}b".as_bytes(), "a_b"),
        ("a\u{2069}b".as_bytes(), "a_b"),
        ("\u{202e}".as_bytes(), "_"),
        (b".\n", "._"),
        (b"\n.", "__"),
        (b".\x1b.", ".__"),
        (b"CON\n", "CON_"),
    ]);
}

#[test]
fn invalid_utf8_becomes_replacement_characters() {
    check(&[
        (b"\xff", "\u{fffd}"),
        (b"a\xffb", "a\u{fffd}b"),
        (b"\x80", "\u{fffd}"),
        (b"\xbf.txt", "\u{fffd}.txt"),
        (b"caf\xe9.txt", "caf\u{fffd}.txt"),
        // An overlong `/`, `.` and NUL: no decoder of ours sees a separator in them.
        (b"\xc0\xaf", "\u{fffd}\u{fffd}"),
        (b"\xc0\xae\xc0\xae", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xc0\x80", "\u{fffd}\u{fffd}"),
        (b"\xe0\x80\xaf", "\u{fffd}\u{fffd}\u{fffd}"),
        // Surrogates and what lies behind the last code point.
        (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        (
            b"\xf8\x88\x80\x80\x80",
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
        ),
        // Cut off inside a character.
        (b"\xe6\x97", "\u{fffd}"),
        (b"\xe6\x97\xa5\xe6", "\u{65e5}\u{fffd}"),
        (b"\xf0\x9f\x91", "\u{fffd}"),
        (b"\xff.", "\u{fffd}_"),
        (b".\xff", ".\u{fffd}"),
        (b"CON\xff", "CON\u{fffd}"),
        (b"CON.\xff", "_CON.\u{fffd}"),
    ]);
}

#[test]
fn long_names_are_cut_and_keep_their_extension() {
    let x = |count: usize| "x".repeat(count);
    let kanji = "\u{65e5}".repeat(100);
    check_kept(&[
        &x(254),
        &x(255),
        &format!("{}.txt", x(251)),
        &"\u{65e5}".repeat(85),
    ]);
    check(&[
        (x(256).as_bytes(), &x(254)),
        (x(100_000).as_bytes(), &x(254)),
        (
            format!("{}.txt", x(252)).as_bytes(),
            &format!("{}.txt", x(250)),
        ),
        (
            format!("{}.tar.gz", x(300)).as_bytes(),
            &format!("{}.gz", x(251)),
        ),
        // Sixteen bytes with the dot are an extension, seventeen are not.
        (
            format!("{}.{}", x(300), x(15)).as_bytes(),
            &format!("{}.{}", x(238), x(15)),
        ),
        (format!("{}.{}", x(300), x(16)).as_bytes(), &x(254)),
        (format!("a.{}", x(300)).as_bytes(), &format!("a.{}", x(252))),
        (format!(".{}", x(300)).as_bytes(), &format!(".{}", x(253))),
        // Cut between characters: 84 kanji are 252 bytes, 83 and `.txt` are 253.
        (kanji.as_bytes(), &"\u{65e5}".repeat(84)),
        (
            format!("{kanji}.txt").as_bytes(),
            &format!("{}.txt", "\u{65e5}".repeat(83)),
        ),
        (
            format!("a{kanji}").as_bytes(),
            &format!("a{}", "\u{65e5}".repeat(84)),
        ),
        (&[0xff; 256], &"\u{fffd}".repeat(84)),
        (&[0x01; 256], &"_".repeat(254)),
        // What the cut lays bare is mended too.
        (
            format!("{}. {}", x(252), x(20)).as_bytes(),
            &format!("{}__", x(252)),
        ),
        (
            format!("CON{}x.txt", " ".repeat(300)).as_bytes(),
            &format!("_CON{}.txt", " ".repeat(247)),
        ),
        (
            format!("CON{}x", " ".repeat(300)).as_bytes(),
            &format!("CON{}", "_".repeat(251)),
        ),
        (
            format!("CON.{}", x(251)).as_bytes(),
            &format!("_CON.{}", x(249)),
        ),
        (
            format!("CON{}.txt", " ".repeat(248)).as_bytes(),
            &format!("_CON{}.txt", " ".repeat(246)),
        ),
        (
            format!("{}.txt", " ".repeat(300)).as_bytes(),
            &format!("{}.txt", " ".repeat(250)),
        ),
        (".".repeat(300).as_bytes(), &"_".repeat(254)),
        (
            format!("{}.txt", ".".repeat(300)).as_bytes(),
            &format!("{}.txt", ".".repeat(250)),
        ),
    ]);
}

#[test]
fn traversal_is_refused() {
    check_refused(&[b".", b".."], |error| {
        matches!(error, PathError::Traversal(_))
    });
}

#[test]
fn separators_are_refused() {
    check_refused(
        &[
            b"/",
            b"\\",
            b"/etc",
            b"/etc/passwd",
            b"\\Windows",
            b"\\\\server\\share",
            b"\\\\?\\C:\\x",
            b"\\\\.\\COM1",
            b"C:\\Windows\\System32",
            b"C:/x",
            b"../x",
            b"..\\x",
            b"x/..",
            b"x\\..",
            b"a/b",
            b"a\\b",
            b"a/",
            b"a\\",
            b"//",
            b"./a",
            b"../../../../../../etc/cron.d/x",
            b"a/../../b",
            b"..\\..\\..\\Startup\\test3.exe",
            b"\xff/",
            b"/\xff",
            b"\xc0/",
        ],
        |error| matches!(error, PathError::Separator(_)),
    );
}

#[test]
fn nul_bytes_are_refused() {
    check_refused(
        &[
            b"\0",
            b"a\0",
            b"\0a",
            b"a\0b",
            b"..\0",
            b"a.txt\0.exe",
            b"a/\0",
            b"\xff\0",
        ],
        |error| matches!(error, PathError::Nul(_)),
    );
}

#[test]
fn empty_paths_and_components_are_refused() {
    assert_eq!(portable([]), Err(PathError::Empty));
    check_refused(&[b""], |error| *error == PathError::EmptyComponent);
}

#[test]
fn depth_and_total_length_are_bounded() {
    let deep = |count: usize| portable(std::iter::repeat_n(&b"d"[..], count));
    assert_eq!(
        deep(COMPONENTS_MAX).unwrap().components().count(),
        COMPONENTS_MAX
    );
    assert_eq!(deep(COMPONENTS_MAX + 1), Err(PathError::TooDeep));
    assert_eq!(deep(10_000_000), Err(PathError::TooDeep));
    let wide = vec![b'w'; COMPONENT_BYTES_MAX];
    let long = |count: usize| portable(std::iter::repeat_n(&wide[..], count));
    let fit = PATH_BYTES_MAX / (COMPONENT_BYTES_MAX + 1);
    assert_eq!(long(fit).unwrap().as_str().len(), fit * 256 - 1);
    assert_eq!(long(fit + 1), Err(PathError::TooLong));
}

#[test]
fn components_and_path_agree() {
    let path = portable([&b"a"[..], b"b:c", b"d"]).unwrap();
    assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b_c", "d"]);
    assert_eq!(path.as_path(), std::path::Path::new("a/b_c/d"));
    assert!(path.as_path().is_relative());
    assert_eq!(path.file_name(), "d");
    assert_eq!(format!("{path} {path:?}"), "a/b_c/d SafePath(a/b_c/d)");
}

#[test]
fn names_that_only_windows_reserves_are_kept_elsewhere() {
    let ordinary = [
        "aux.c", "CON", "What?", "a:b", "<x>|\"*", "ends. ", "...", "COM1.txt",
    ];
    for name in ordinary {
        let unix = SafePath::with_rules(NameRules::Unix, [name.as_bytes()]).unwrap();
        assert_eq!(unix.as_str(), name);
        assert_ne!(portable([name.as_bytes()]).unwrap().as_str(), name);
    }
    let hostile = SafePath::with_rules(NameRules::Unix, [&b"a\x1b\xff\xe2\x80\xae?"[..]]).unwrap();
    assert_eq!(hostile.as_str(), "a_\u{fffd}_?");
}

#[test]
fn refusals_quote_the_name_safely() {
    let error = portable([&b"\x1b[2J\xe2\x80\xae/x"[..]]).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("[2J") && !message.contains(['\x1b', '\u{202e}']),
        "{message}"
    );
}

/// Bytes in which everything that matters is likely.
fn tricky_bytes() -> impl Strategy<Value = Vec<u8>> {
    let bit = prop_oneof![
        4 => any::<u8>().prop_map(|byte| vec![byte]),
        4 => prop::sample::select(vec![
            ".", "..", " ", "/", "\\", "\0", ":", "CON", "nul", "COM", "1", "LPT9", "$", "_",
            "\u{202e}", "\u{65e5}", "\x1b", ".txt", "x", "\u{b9}",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => (0..300usize, prop::sample::select(b" .xC\xff".to_vec()))
            .prop_map(|(count, byte)| vec![byte; count]),
    ];
    prop::collection::vec(bit, 0..12).prop_map(|bits| bits.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rules_refuse_the_same_and_unix_keeps_what_is_utf8_and_plain(
        components in prop::collection::vec(tricky_bytes(), 0..4)
    ) {
        let names = || components.iter().map(Vec::as_slice);
        let unix = SafePath::with_rules(NameRules::Unix, names());
        prop_assert_eq!(unix.is_ok(), portable(names()).is_ok());
        if let Ok(path) = unix {
            let normal = |c| matches!(c, std::path::Component::Normal(_));
            prop_assert!(path.as_path().components().all(normal));
            prop_assert_eq!(path.as_path().components().count(), components.len());
            prop_assert!(path.components().all(|c| c.len() <= COMPONENT_BYTES_MAX));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_become_safe(
        components in prop::collection::vec(tricky_bytes(), 0..4)
    ) {
        let refs = components.iter().map(Vec::as_slice);
        if let Ok(path) = portable(refs) {
            prop_assert_eq!(path.components().count(), components.len());
            prop_assert!(path.components().all(is_safe), "{}", path);
            prop_assert!(path.as_path().is_relative());
            let normal = |c| matches!(c, std::path::Component::Normal(_));
            prop_assert!(path.as_path().components().all(normal));
            let again = portable(path.components().map(str::as_bytes));
            prop_assert_eq!(again, Ok(path));
        } else {
            let refused = |c: &Vec<u8>| {
                c.is_empty() || c == b"." || c == b".." || c.iter().any(|b| b"/\\\0".contains(b))
            };
            prop_assert!(components.is_empty() || components.iter().any(refused));
        }
    }
}
