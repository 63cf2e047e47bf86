//! Every way in which a .torrent can be wrong, with the message that a person gets; and what is
//! forgiven.
#![forbid(unsafe_code)]

use shoal_hashing::sha1;
use shoal_metainfo::limits::{DUPLICATES_MAX, FILES_MAX, TORRENT_BYTES_MAX, TRACKERS_MAX};
use shoal_metainfo::{Geometry, Info, Torrent, TorrentError, Version};

/// A bencoded string.
fn s(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// A bencoded dictionary of keys and bencoded values, in the order given.
fn d(entries: &[(&str, &str)]) -> String {
    let entries: String = entries.iter().map(|(key, value)| s(key) + value).collect();
    format!("d{entries}e")
}

fn path(components: &[&str]) -> String {
    let components: String = components.iter().map(|component| s(component)).collect();
    format!("l{components}e")
}

fn file(length: i64, components: &[&str]) -> String {
    d(&[
        ("length", &format!("i{length}e")),
        ("path", &path(components)),
    ])
}

/// `info` of one file of 100,000 bytes in two pieces, with these entries instead or in addition; an
/// empty value takes the entry away.
fn info(changes: &[(&str, &str)]) -> String {
    let (name, pieces) = (s("file"), s(&"h".repeat(40)));
    let mut entries = vec![
        ("length", "i100000e"),
        ("name", &*name),
        ("piece length", "i65536e"),
        ("pieces", &*pieces),
    ];
    for change in changes {
        entries.retain(|(key, _)| *key != change.0);
        entries.push(*change);
    }
    entries.retain(|(_, value)| !value.is_empty());
    entries.sort_by_key(|(key, _)| *key);
    d(&entries)
}

fn torrent(info: &str) -> Vec<u8> {
    format!("d8:announce9:http://t/4:info{info}e").into_bytes()
}

/// A torrent of several files that have the 100,000 bytes of [`info`] between them.
fn folder(files: &[String]) -> Vec<u8> {
    let files = format!("l{}e", files.concat());
    torrent(&info(&[("length", ""), ("files", &files)]))
}

/// What the fuzz target asserts; of what is large, once is enough for a test.
fn hold_promises(data: &[u8]) {
    if data.len() < 100_000 {
        shoal_metainfo::fuzz::torrent(data);
    }
}

fn parsed(data: &[u8]) -> Torrent {
    hold_promises(data);
    Torrent::parse(data).unwrap()
}

fn names(torrent: &Torrent) -> Vec<&str> {
    torrent
        .info
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect()
}

/// The message must say what is wrong, where it is, and what to do.
fn check(data: &[u8], is_expected: fn(&TorrentError) -> bool, parts: [&str; 3]) {
    hold_promises(data);
    let error = Torrent::parse(data).expect_err("a bad torrent");
    let message = error.to_string();
    assert!(is_expected(&error), "{error:?}");
    for part in parts {
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    }
}

macro_rules! is {
    ($($pattern:tt)*) => {
        |error| matches!(error, TorrentError::$($pattern)*)
    };
}

use TorrentError as E;

#[test]
fn good_torrent_is_read() {
    let info = info(&[]);
    let torrent = parsed(&torrent(&info));
    assert_eq!(torrent.info_hash.0, sha1(info.as_bytes()));
    assert_eq!(torrent.info_bytes(), info.as_bytes());
    assert_eq!(torrent.tiers, [["http://t/"]]);
    assert_eq!(
        torrent.info.geometry,
        Geometry::new(100_000, 65_536).unwrap()
    );
    assert_eq!(torrent.info.version, Version::V1);
    assert_eq!(
        torrent
            .info
            .piece_hash(torrent.info.geometry.piece(1).unwrap()),
        [b'h'; 20]
    );
    assert_eq!(names(&torrent), ["file"]);
    assert!(!torrent.info.private && !torrent.info.multi_file);
    assert_eq!((torrent.comment, torrent.creation_date), (None, None));
}

#[test]
fn files_that_are_no_torrents_are_told_apart() {
    check(b"", is!(Empty), ["empty", "0 bytes", "download it again"]);
    for page in [
        "<!DOCTYPE html><p>",
        "  \n<html>",
        "\u{feff}<?xml version='1.0'?>",
        "<",
    ] {
        check(
            page.as_bytes(),
            is!(WebPage),
            ["web page", "not a .torrent", "save the .torrent"],
        );
    }
    check(
        b"magnet:?xt=urn:btih:",
        is!(MagnetLink),
        ["magnet link", ".torrent", "get the"],
    );
    check(b"\x1f\x8b\x08\0", is!(Gzip), ["gzip", ".torrent", "unpack"]);
    for other in [
        &b"hello"[..],
        b"\x7fELF",
        b"PK\x03\x04",
        b"\0",
        b"e",
        b"i1",
        b"5:a",
        b"l",
    ] {
        check(
            other,
            is!(NotBencode(_)),
            ["not a .torrent", "byte", "check the file"],
        );
    }
    check(
        b"d1:a1:b1:a1:ce",
        is!(NotBencode(_)),
        ["twice", "byte 7", "download"],
    );
    check(
        b"d8:announcei01ee",
        is!(NotBencode(_)),
        ["leading zeros", "byte 12", "download"],
    );
    for (data, kind) in [
        ("le", "a list"),
        ("i1e", "an integer"),
        ("3:abc", "a string"),
    ] {
        check(
            data.as_bytes(),
            is!(NotDictionary(_)),
            ["dictionary", kind, "check"],
        );
    }
    let large = vec![b'd'; TORRENT_BYTES_MAX + 1];
    check(
        &large,
        is!(TooLarge { .. }),
        ["67108865 bytes", "67108864", "check"],
    );
}

#[test]
fn torrent_cut_anywhere_is_refused() {
    let whole = torrent(&info(&[]));
    for end in 1..whole.len() {
        check(
            &whole[..end],
            is!(Truncated(_)),
            ["cut off", "byte", "download it again"],
        );
    }
}

#[test]
fn deep_nesting_and_token_floods_are_refused() {
    for level in ["l", "d1:a"] {
        let deep = torrent(&info(&[("x", &level.repeat(10_000))]));
        check(
            &deep,
            is!(TooComplex(_)),
            ["100 levels", "byte", "do not use"],
        );
        let bare = level.repeat(1_000_000);
        assert!(Torrent::parse(bare.as_bytes()).is_err());
    }
    let closed = format!("{}{}", "l".repeat(10_000), "e".repeat(10_000));
    let deep = torrent(&info(&[("x", &closed)]));
    check(
        &deep,
        is!(TooComplex(_)),
        ["100 levels", "byte", "do not use"],
    );
    // A million are borne where they mean nothing, and refused where they are files.
    let flood = format!("l{}e", "0:".repeat(1_000_000));
    assert_eq!(names(&parsed(&torrent(&info(&[("x", &flood)])))), ["file"]);
    let files = torrent(&info(&[("length", ""), ("files", &flood)]));
    check(
        &files,
        is!(TooManyFiles(1_000_000)),
        ["1000000 entries", "files", "archives"],
    );
    let trackers = format!("d13:announce-list{flood}4:info{}e", info(&[]));
    assert!(parsed(trackers.as_bytes()).tiers.is_empty());
    let path = folder(&[d(&[("length", "i100000e"), ("path", &flood)])]);
    check(&path, is!(Path { .. }), ["empty", "path", "not safe"]);
    let flood = format!("l{}e", "0:".repeat(3_000_001));
    let many = torrent(&info(&[("x", &flood)]));
    check(
        &many,
        is!(TooComplex(_)),
        ["3000000 values", "byte", "do not use"],
    );
}

#[test]
fn missing_keys_are_named_with_their_place() {
    check(
        b"de",
        is!(Field { .. }),
        ["`info` is missing", "top level", "get it from"],
    );
    for key in ["name", "piece length", "pieces"] {
        let missing = format!("`{key}` is missing");
        check(
            &torrent(&info(&[(key, "")])),
            is!(Field { .. }),
            [&missing, "in `info`", "get it"],
        );
    }
    check(
        &torrent("de"),
        is!(Field { .. }),
        ["`name` is missing", "in `info`", "get it from"],
    );
    check(
        &torrent(&info(&[("length", "")])),
        is!(NeitherLengthNorFiles),
        [
            "`length` and `files` are missing",
            "in `info`",
            "get it from",
        ],
    );
    let bare = d(&[("path", &path(&["a"]))]);
    check(
        &folder(&[file(1, &["a"]), bare]),
        is!(Field { .. }),
        ["`length`", "entry 1", "get it"],
    );
    let bare = d(&[("length", "i1e")]);
    check(
        &folder(&[bare]),
        is!(Field { .. }),
        ["`path`", "entry 0", "get it from"],
    );
}

#[test]
fn mistyped_keys_are_named_with_what_they_are() {
    check(
        b"d4:infoi1ee",
        is!(Field { .. }),
        ["`info` must be a dict", "is an integer", "get it"],
    );
    check(
        b"d4:info2:dee",
        is!(Field { .. }),
        ["`info` must be a dict", "is a string", "get it"],
    );
    for (key, value, message) in [
        ("name", "i1e", "`name` must be a string, but is an integer"),
        ("name", "le", "`name` must be a string, but is a list"),
        (
            "piece length",
            "5:65536",
            "`piece length` must be an integer, but is a string",
        ),
        ("pieces", "le", "`pieces` must be a string, but is a list"),
        (
            "pieces",
            "i0e",
            "`pieces` must be a string, but is an integer",
        ),
        (
            "length",
            "6:100000",
            "`length` must be an integer, but is a string",
        ),
        (
            "length",
            "de",
            "`length` must be an integer, but is a dictionary",
        ),
        (
            "private",
            "1:1",
            "`private` must be an integer, but is a string",
        ),
        ("files", "i1e", "`files` must be a list, but is an integer"),
        ("files", "de", "`files` must be a list, but is a dictionary"),
    ] {
        let data = torrent(&info(&[(key, value)]));
        check(
            &data,
            is!(Field { .. }),
            [message, "in `info`", "get it from"],
        );
    }
    for (file, message) in [
        (
            "i1e".to_owned(),
            "`files` must be a dictionary, but is an integer",
        ),
        (
            d(&[("length", "1:1"), ("path", "l1:ae")]),
            "`length` must be an integer",
        ),
        (
            d(&[("length", "i1e"), ("path", "1:a")]),
            "`path` must be a list, but is a string",
        ),
    ] {
        check(
            &folder(&[file]),
            is!(Field { .. }),
            [message, "in `info`", "get it from"],
        );
    }
    let file = d(&[("length", "i1e"), ("path", "l1:ai2ee")]);
    check(
        &folder(&[file]),
        is!(PathItem { .. }),
        ["holds an integer", "entry 0", "get it from"],
    );
}

#[test]
fn pieces_that_do_not_fit_are_refused() {
    for length in [1, 19, 21, 39, 41] {
        let pieces = s(&"h".repeat(length));
        let bytes = format!("{length} bytes");
        let data = torrent(&info(&[("pieces", &pieces)]));
        check(
            &data,
            is!(PiecesLength { .. }),
            [&bytes, "`pieces`", "get it from"],
        );
    }
    for count in [0, 1, 3, 1000] {
        let pieces = s(&"h".repeat(20 * count));
        let hashes = format!("{count} hashes");
        let data = torrent(&info(&[("pieces", &pieces)]));
        check(
            &data,
            is!(PieceCount { .. }),
            [&hashes, "need 2", "get it from"],
        );
    }
    let size = torrent(&info(&[("length", "i131073e")]));
    check(
        &size,
        is!(PieceCount { .. }),
        ["131073 bytes", "need 3", "get it from"],
    );
}

#[test]
fn piece_lengths_out_of_range_are_refused() {
    for value in [
        "0",
        "-1",
        "-9223372036854775808",
        "268435457",
        "9223372036854775807",
    ] {
        let data = torrent(&info(&[("piece length", &format!("i{value}e"))]));
        let what = format!("`piece length` is {value},");
        check(
            &data,
            is!(PieceLength(_)),
            [&what, "between 1 and 268435456", "get it from"],
        );
    }
    // Not in 64 bits at all.
    let data = torrent(&info(&[("piece length", "i9223372036854775808e")]));
    check(&data, is!(NotBencode(_)), ["64 bits", "byte", "download"]);
    let most = torrent(&info(&[
        ("piece length", "i268435456e"),
        ("pieces", &s(&"h".repeat(20))),
    ]));
    assert_eq!(parsed(&most).info.geometry.pieces(), 1);
}

#[test]
fn more_than_two_million_pieces_are_refused() {
    let data = torrent(&info(&[("piece length", "i1e"), ("length", "i2097153e")]));
    check(
        &data,
        is!(TooManyPieces(2_097_153)),
        ["2097153 pieces", "2097152", "ask for"],
    );
    let data = torrent(&info(&[("length", "i9223372036854775807e")]));
    check(
        &data,
        is!(TooManyPieces(_)),
        ["140737488355328 pieces", "`info`", "ask for"],
    );
    let pieces = s(&"h".repeat(20 << 21));
    let changes = [
        ("piece length", "i1e"),
        ("length", "i2097152e"),
        ("pieces", &*pieces),
    ];
    assert_eq!(
        parsed(&torrent(&info(&changes))).info.geometry.pieces(),
        1 << 21
    );
}

#[test]
fn sizes_below_zero_zero_and_overflowing_are_refused() {
    for value in ["-1", "-100000", "-9223372036854775808"] {
        let what = format!("`length` is {value}");
        let data = torrent(&info(&[("length", &format!("i{value}e"))]));
        check(
            &data,
            is!(Length { .. }),
            [&what, "in `info`", "get it from"],
        );
        let files = [file(100_000, &["a"]), file(value.parse().unwrap(), &["b"])];
        check(
            &folder(&files),
            is!(Length { .. }),
            [&what, "entry 1", "get it from"],
        );
    }
    let files = [
        file(i64::MAX, &["a"]),
        file(i64::MAX, &["b"]),
        file(2, &["c"]),
    ];
    check(
        &folder(&files),
        is!(TotalOverflow { .. }),
        ["2^64", "entry 2", "get it from"],
    );
    let files = [file(i64::MAX, &["a"]), file(i64::MAX, &["b"])];
    check(
        &folder(&files),
        is!(TooManyPieces(_)),
        ["pieces", "`info`", "ask for"],
    );
    let data = torrent(&info(&[("length", "i0e")]));
    check(
        &data,
        is!(NoContent),
        ["0 bytes", "in `info`", "nothing to share"],
    );
    check(
        &folder(&[file(0, &["a"])]),
        is!(NoContent),
        ["0 bytes", "`info`", "nothing to share"],
    );
}

#[test]
fn length_and_files_exclude_each_other() {
    let files = format!("l{}e", file(100_000, &["a"]));
    let data = torrent(&info(&[("files", &files)]));
    check(
        &data,
        is!(LengthAndFiles),
        ["`length` and `files`", "in `info`", "get it from"],
    );
    check(
        &folder(&[]),
        is!(NoFiles),
        ["`files` is empty", "in `info`", "nothing to share"],
    );
    let files = "de".repeat(FILES_MAX + 1);
    check(
        &folder(&[files]),
        is!(TooManyFiles(_)),
        ["400001 entries", "`files`", "archives"],
    );
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (name, what) in [
        ("..", "`..`"),
        (".", "`.`"),
        ("", "empty"),
        ("/etc/passwd", "separator"),
        ("..\\x", "separator"),
        ("a\0", "NUL"),
    ] {
        let data = torrent(&info(&[("name", &s(name))]));
        check(
            &data,
            is!(Path { .. }),
            [what, "in `info`, key `name`", "not safe"],
        );
        check(
            &folder(&[file(1, &["a", name])]),
            is!(Path { .. }),
            [what, "entry 0", "not safe"],
        );
        check(
            &folder(&[file(1, &[name, "a"])]),
            is!(Path { .. }),
            [what, "key `path`", "not safe"],
        );
    }
    check(
        &folder(&[file(1, &[])]),
        is!(Path { .. }),
        ["no components", "entry 0", "not safe"],
    );
    let deep = folder(&[file(1, &["d"; 100])]);
    check(
        &deep,
        is!(Path { .. }),
        ["100 folders", "entry 0", "not safe"],
    );
    let long = folder(&[file(1, &["0123456789012345678901234567890123456789"; 80])]);
    check(
        &long,
        is!(Path { .. }),
        ["3072 bytes", "entry 0", "not safe"],
    );
}

#[test]
fn names_are_mended_and_told_apart() {
    let files = [
        file(1, &["\x1bNUL"]),
        file(1, &["A", "b"]),
        file(1, &["a", "B"]),
        file(1, &["a"]),
        file(99_996, &["_nul"]),
    ];
    let torrent = parsed(&folder(&files));
    let expected = [
        "file/_NUL",
        "file/A/b",
        "file/a/B (2)",
        "file/a (2)",
        "file/_nul (2)",
    ];
    assert_eq!(names(&torrent), expected);
    assert_eq!(torrent.info.files[4].range(), 4..100_000);
}

#[test]
fn too_many_duplicates_are_refused() {
    let mut files = vec![file(0, &["a"]); DUPLICATES_MAX];
    files.push(file(100_000, &["a"]));
    assert_eq!(names(&parsed(&folder(&files)))[500], "file/a (501)");
    files.push(file(0, &["a"]));
    check(
        &folder(&files),
        is!(Collision(_)),
        ["500 files", "file/a", "ask for"],
    );
    let files = vec![file(1, &["same", "name"]); 100_000];
    check(
        &folder(&files),
        is!(Collision(_)),
        ["500 files", "file/same/name", "ask for"],
    );
}

#[test]
fn utf8_names_are_preferred_when_they_are_valid() {
    let latin1 = |utf8: &[u8]| {
        let head = b"d4:infod5:filesld6:lengthi1e4:pathl2:a\xe9e10:path.utf-8l";
        let rest = b"eee4:name2:n\xe910:name.utf-8";
        let tail = b"12:piece lengthi1e6:pieces20:hhhhhhhhhhhhhhhhhhhhee";
        [&head[..], utf8, rest, utf8, tail].concat()
    };
    assert_eq!(names(&parsed(&latin1("3:aé".as_bytes()))), ["aé/aé"]);
    assert_eq!(names(&parsed(&latin1(b"2:a\xe9"))), ["n\u{fffd}/a\u{fffd}"]);
    assert_eq!(names(&parsed(&latin1(b"i1e"))), ["n\u{fffd}/a\u{fffd}"]);
    let refused = Torrent::parse(&latin1(b"2:..")).unwrap_err();
    assert!(matches!(refused, E::Path { key: "name", .. }), "{refused}");
}

#[test]
fn attributes_set_padding_and_links_aside() {
    let attr = |letters: &str, length: &str, name: &str| {
        d(&[
            ("attr", &s(letters)),
            ("length", length),
            ("path", &path(&[name])),
        ])
    };
    let link = d(&[
        ("attr", "1:l"),
        ("path", &path(&["l"])),
        ("symlink path", &path(&["x"])),
    ]);
    let files = [
        attr("x", "i50000e", "x"),
        attr("p", "i10000e", "pad"),
        link,
        attr("l", "i7777e", "x"),
        attr("hx?", "i30000e", "h"),
        attr("p", "i10000e", "pad"),
    ];
    let torrent = parsed(&folder(&files));
    let begins: Vec<u64> = torrent.info.files.iter().map(|file| file.begin).collect();
    assert_eq!(begins, [0, 50_000, 60_000, 60_000, 60_000, 90_000]);
    let on_disk: Vec<bool> = torrent
        .info
        .files
        .iter()
        .map(|file| file.is_on_disk())
        .collect();
    assert_eq!(on_disk, [true, false, false, false, true, false]);
    let links: Vec<&str> = torrent
        .info
        .symlinks()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(links, ["file/l", "file/x"]);
    let last = torrent.info.files[4].attributes;
    assert!(last.hidden && last.executable && !last.padding);
    // What has no file on disk collides with nothing, and padding needs no path.
    assert_eq!(names(&torrent)[5], "file/pad");
    let pad = d(&[("attr", "1:p"), ("length", "i2e")]);
    let files = [file(50_000, &["a"]), pad, file(49_998, &["b"])];
    assert_eq!(
        names(&parsed(&folder(&files))),
        ["file/a", "file", "file/b"]
    );
}

#[test]
fn v2_only_is_not_yet_and_hybrid_is_v1() {
    let v2 = info(&[
        ("pieces", ""),
        ("length", ""),
        ("meta version", "i2e"),
        ("file tree", "de"),
    ]);
    check(
        &torrent(&v2),
        is!(V2Only),
        ["v2-only", "not supported yet", "hybrid"],
    );
    let hybrid = info(&[("meta version", "i2e"), ("file tree", "de")]);
    assert_eq!(parsed(&torrent(&hybrid)).info.version, Version::Hybrid);
}

#[test]
fn hash_is_of_the_bytes_that_came() {
    // Keys out of order inside and outside, a number that needs no such digits, trailing bytes.
    let unordered = d(&[
        ("pieces", &s(&"h".repeat(20))),
        ("piece length", "i65536e"),
        ("x", "li-5ee"),
        ("name", "1:n"),
        ("length", "i1e"),
    ]);
    let data = format!("d4:info{unordered}8:announce1:ae\r\n");
    let torrent = parsed(data.as_bytes());
    assert_eq!(torrent.info_bytes(), unordered.as_bytes());
    assert_eq!(torrent.info_hash.0, sha1(unordered.as_bytes()));
    let trailing = Info::parse(format!("{unordered}x").as_bytes()).unwrap_err();
    assert!(matches!(trailing, E::NotBencode(_)), "{trailing}");
    assert!(matches!(Info::parse(b"le"), Err(E::NotDictionary(_))));
}

/// The tiers and web seeds of a torrent with these entries at the top.
fn check_urls(entries: &[(&str, &str)], tiers: &[&[&str]], web_seeds: &[&str]) {
    let info = info(&[]);
    let mut all = entries.to_vec();
    all.push(("info", &info));
    let torrent = parsed(d(&all).as_bytes());
    assert_eq!(torrent.tiers, tiers, "of {entries:?}");
    assert_eq!(torrent.web_seeds, web_seeds, "of {entries:?}");
}

#[test]
fn announce_list_takes_the_place_of_announce() {
    let announce = ("announce", "3:u:a");
    check_urls(&[], &[], &[]);
    check_urls(&[announce], &[&["u:a"]], &[]);
    check_urls(&[("announce", "0:")], &[], &[]);
    check_urls(&[("announce", "i1e")], &[], &[]);
    check_urls(&[("announce", "6: u:a\r\n")], &[&["u:a"]], &[]);
    check_urls(&[("announce", "5:u:\x1ba\n")], &[], &[]);
    check_urls(
        &[announce, ("announce-list", "ll3:u:bel3:u:c3:u:dee")],
        &[&["u:b"], &["u:c", "u:d"]],
        &[],
    );
    for empty in ["le", "llee", "ll0:ee", "i1e", "de", "lli1eee", "l0:e"] {
        check_urls(&[announce, ("announce-list", empty)], &[&["u:a"]], &[]);
    }
    check_urls(
        &[("announce-list", "ll3:u:b3:u:bel3:u:bel3:u:cee")],
        &[&["u:b"], &["u:c"]],
        &[],
    );
    check_urls(
        &[("announce-list", "l3:u:b3:u:ce")],
        &[&["u:b"], &["u:c"]],
        &[],
    );
    check_urls(&[("announce", &s(&"u".repeat(2049)))], &[], &[]);
}

#[test]
fn what_is_left_out_at_the_top_is_told() {
    let good = ("announce-list", "ll3:u:bee");
    for (entries, said) in [
        (&[][..], &[][..]),
        (&[("announce", "3:u:a")], &[]),
        (&[("announce", "6: u:a\r\n")], &[]),
        (&[("announce", "0:"), good], &[]),
        (&[("url-list", "0:")], &[]),
        (
            &[("announce", "i5e")],
            &["`announce` must be a string, but is an integer"],
        ),
        (
            &[("announce", "i5e"), good],
            &["`announce` must be a string"],
        ),
        (&[("announce", "0:")], &["`announce`: `` is no URL;"]),
        (
            &[("announce", "6:u:\r\nab")],
            &["`announce`: `u:\u{fffd}\u{fffd}ab` is no URL;"],
        ),
        (
            &[("announce", "3:u:a"), ("announce-list", "3:u:b")],
            &["`announce-list` must be a list, but is a string"],
        ),
        (
            &[("announce-list", "li5eli6ee3:u:be")],
            &["`announce-list`: `i5e` is no URL, nor is one more entry;"],
        ),
        (
            &[("announce", "0:"), ("announce-list", "le")],
            &["`announce`: `` is no URL;"],
        ),
        (
            &[("url-list", "i1e")],
            &["`url-list` must be a list, but is an integer"],
        ),
        (&[("url-list", "l0:3:w:ae")], &["`url-list`: `` is no URL;"]),
        (
            &[("comment", "i1e"), ("creation date", "1:x")],
            &[
                "`comment` must be a string",
                "`creation date` must be an integer",
            ],
        ),
    ] {
        let info = info(&[]);
        let mut all = entries.to_vec();
        all.push(("info", &info));
        let torrent = parsed(d(&all).as_bytes());
        let flaws: Vec<_> = torrent.flaws.iter().map(ToString::to_string).collect();
        assert_eq!(flaws.len(), said.len(), "{entries:?}: {flaws:?}");
        for (flaw, said) in flaws.iter().zip(said) {
            assert!(flaw.contains(said), "{flaw}");
            assert!(flaw.contains("another place"), "says what to do: {flaw}");
        }
    }
}

#[test]
fn url_list_is_a_string_or_a_list() {
    check_urls(&[("url-list", "3:w:a")], &[], &["w:a"]);
    check_urls(
        &[("url-list", "l3:w:a3:w:b3:w:a0:i1ee")],
        &[],
        &["w:a", "w:b"],
    );
    check_urls(&[("url-list", "i1e")], &[], &[]);
    check_urls(&[("url-list", "0:")], &[], &[]);
}

#[test]
fn trackers_beyond_the_bound_are_dropped() {
    let tiers: String = (0..10_000)
        .map(|i| format!("l{}e", s(&format!("udp://{i}"))))
        .collect();
    let data = d(&[
        ("announce-list", &format!("l{tiers}e")),
        ("info", &info(&[])),
    ]);
    assert_eq!(parsed(data.as_bytes()).trackers().count(), TRACKERS_MAX);
}

#[test]
fn optional_text_is_kept_cut_or_dropped() {
    let long = s(&"é".repeat(10_000));
    let info = info(&[("source", "3:src"), ("private", "i1e")]);
    let torrent = parsed(
        d(&[
            ("comment", &long),
            ("created by", "i1e"),
            ("creation date", "i-5e"),
            ("encoding", "5:UTF-8"),
            ("info", &info),
        ])
        .as_bytes(),
    );
    assert_eq!(torrent.comment, Some("é".repeat(8192)));
    assert_eq!(
        (torrent.created_by, torrent.creation_date),
        (None, Some(-5))
    );
    assert_eq!(torrent.encoding.as_deref(), Some("UTF-8"));
    assert_eq!(torrent.info.source.as_deref(), Some("src"));
    assert!(torrent.info.private);
    let both = [
        ("comment", "1:a"),
        ("comment.utf-8", "1:b"),
        ("info", &info),
    ];
    assert_eq!(parsed(d(&both).as_bytes()).comment.as_deref(), Some("b"));
}

#[test]
fn torrent_of_a_hundred_thousand_files_is_read() {
    let mut files: Vec<String> = (0..99_999)
        .map(|i| {
            file(
                1,
                &[
                    &format!("folder {}", i / 100),
                    &format!("file number {i}.bin"),
                ],
            )
        })
        .collect();
    files.push(file(1, &["last"]));
    let data = folder(&files);
    shoal_metainfo::fuzz::torrent(&data);
    let torrent = parsed(&data);
    assert_eq!(torrent.info.files.len(), 100_000);
    assert_eq!(torrent.info.files[99_999].begin, 99_999);
    assert_eq!(
        torrent.info.files[101].path.as_str(),
        "file/folder 1/file number 101.bin"
    );
}
