//! Style as a test: the rules of CONTRIBUTING.md that a machine can check.
//!
//! Reads our own source, and nothing else. A violation names its file and line, and the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Production lines at which a file must be split.
const FILE_LINES_MAX: usize = 600;
/// Lines at which a function must be split.
const FUNCTION_LINES_MAX: usize = 70;
/// Columns of a line.
const COLUMNS_MAX: usize = 100;

/// Rooms without I/O, clocks or entropy.
const SANS_IO: &[&str] = &[
    "bencode/src",
    "metainfo/src",
    "wire/src",
    "swarm/src",
    "nearby/src",
    "dht/src",
    "simulation/src",
    "tracker/src/announce.rs",
    "tracker/src/announcer",
    "tracker/src/http",
    "tracker/src/policy",
    "tracker/src/registry",
];
/// What is forbidden in them.
const SANS_IO_WORDS: &[&str] = &[
    "async ",
    "Instant::now",
    "SystemTime::now",
    "std::fs",
    "std::net::Tcp",
    "TcpStream",
    "unbounded(",
    "HashMap",
    "HashSet",
    "fastrand::u",
    "fastrand::Rng::new",
    "getrandom",
];
/// Path, word, and above each its reason.
const SANS_IO_EXCEPTIONS: &[(&str, &str)] = &[
    // Making a torrent reads files: the one room of metainfo that does.
    ("metainfo/src/create", "std::fs"),
    // What a fuzz target runs counts from one real instant.
    ("dht/src/fuzz.rs", "Instant::now"),
    // The virtual clock counts from one real instant; no decision depends on it.
    ("simulation/src/queue.rs", "Instant::now"),
];

/// Packages that are fenced, and the only places that may name them.
const FENCES: &[(&str, &[&str])] = &[
    ("async_global_executor", &["peer/src/executor.rs"]),
    (
        "async_std",
        &[
            "peer/src",
            "tracker/src/client",
            "tracker/src/server",
            "tracker/src/store.rs",
            "tracker/src/store/link",
            "cli/src",
        ],
    ),
    ("bitvec", &["metainfo/src/bitfield.rs", "storage/src"]),
    ("memmap2", &["storage/src/map.rs"]),
    ("nom", &["bencode/src"]),
    ("redis", &["tracker/src/store"]),
    (
        "serde_json",
        &["cli/src", "tracker/src/admin.rs", "tracker/src/server"],
    ),
    ("sha1", &["hashing/src"]),
    ("structopt", &["cli/src/args", "cli/src/main.rs"]),
    ("surf", &["tracker/src/client"]),
    ("tide", &["tracker/src/server", "cli/src/api"]),
];

/// The crates that do not forbid `unsafe`, and where in them it may stand.
const UNSAFE_CRATES: &[&str] = &["hashing", "storage"];
const UNSAFE_FILES: &[&str] = &[
    "hashing/src/kernel/",
    "storage/src/fault",
    "storage/src/map.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate lies in the workspace")
        .into()
}

/// A source file, its path relative to the root with `/`.
struct Source {
    path: String,
    text: String,
    syntax: syn::File,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a source file is UTF-8");
        let path = path
            .strip_prefix(root)
            .expect("found below the root")
            .display()
            .to_string();
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self {
            path: path.replace('\\', "/"),
            text,
            syntax,
        }
    }

    fn is_production(&self) -> bool {
        let is_test = self.path.contains("/tests/") || self.path.ends_with("/tests.rs");
        self.path.contains("/src/") && !is_test && !self.path.starts_with("integration-tests/")
    }

    /// Lines outside `#[cfg(test)]` modules, with their numbers from 1.
    fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut test_lines = BTreeSet::new();
        for item in self.syntax.items.iter().filter(|item| is_test(item)) {
            test_lines.extend(item.span().start().line..=item.span().end().line);
        }
        let lines = self
            .text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        lines.filter(move |(number, _)| !test_lines.contains(number))
    }

    /// Production lines that are no comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.production()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Where the words stand in the code, as `path:line: word`.
    fn find<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        self.code().flat_map(move |(number, line)| {
            let hits = words.iter().filter(move |word| line.contains(**word));
            hits.map(move |word| format!("{}:{number}: {word}", self.path))
        })
    }
}

fn is_test(item: &syn::Item) -> bool {
    let syn::Item::Mod(module) = item else {
        return false;
    };
    module.attrs.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg") && list.tokens.to_string().contains("test")
    })
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders: Vec<_> = members().iter().map(|member| root.join(member)).collect();
    folders.push(root.join("fuzz"));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "only {} source files found", found.len());
    found.iter().map(|path| Source::read(&root, path)).collect()
}

fn manifest(path: &str) -> toml::Table {
    let text = fs::read_to_string(root().join(path)).expect("a manifest");
    text.parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn members() -> Vec<String> {
    let workspace = manifest("Cargo.toml");
    let members = workspace["workspace"]["members"]
        .as_array()
        .expect("members")
        .iter();
    members
        .map(|member| member.as_str().expect("a folder").to_owned())
        .collect()
}

/// Fails with all violations at once.
fn check(rule: &str, violations: impl IntoIterator<Item = String>) {
    let violations: Vec<_> = violations.into_iter().collect();
    let count = violations.len();
    assert!(
        violations.is_empty(),
        "{rule}: {count} violations\n{}",
        violations.join("\n")
    );
}

fn starts_with_any(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether the word stands in the line on its own: no letter, digit or `_` touches it.
fn word_in(line: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !letter(before) && (!word.ends_with(char::is_alphabetic) || !letter(after))
    })
}

#[test]
fn files_are_small() {
    let all = sources();
    let production = all.iter().filter(|source| source.is_production());
    let long = production.filter_map(|source| {
        let lines = source.production().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
    });
    check("a file stops at 600 production lines", long);
}

struct Functions<'a> {
    path: &'a str,
    long: Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, name: &syn::Ident, block: &syn::Block) {
        let (start, end) = (name.span().start().line, block.span().end().line);
        let lines = end - start + 1;
        if lines > FUNCTION_LINES_MAX {
            self.long.push(format!(
                "{}:{start}: fn {name} has {lines} lines",
                self.path
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig.ident, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn functions_are_short() {
    let production = sources().into_iter().filter(Source::is_production);
    let long = production.flat_map(|source| {
        let mut functions = Functions {
            path: &source.path,
            long: Vec::new(),
        };
        functions.visit_file(&source.syntax);
        functions.long
    });
    check("a function stops at 70 lines", long);
}

#[test]
fn lines_fit_the_page() {
    let long = sources().into_iter().flat_map(|source| {
        let lines = source.text.lines().enumerate();
        let long = lines.filter(|(_, line)| line.chars().count() > COLUMNS_MAX);
        long.map(|(index, _)| format!("{}:{}", source.path, index + 1))
            .collect::<Vec<_>>()
    });
    check("a line stops at 100 columns", long);
}

#[test]
fn modules_say_what_they_are() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"));
    check("a file opens with //!", silent.map(|source| source.path));
}

#[test]
fn sans_io_rooms_do_no_io() {
    let excepted = |hit: &String| {
        let mut exceptions = SANS_IO_EXCEPTIONS.iter();
        exceptions.any(|(path, word)| hit.starts_with(path) && hit.ends_with(word))
    };
    let rooms = sources()
        .into_iter()
        .filter(|source| source.is_production() && starts_with_any(&source.path, SANS_IO));
    let hits = rooms.flat_map(|source| source.find(SANS_IO_WORDS).collect::<Vec<_>>());
    check(
        "no I/O, clock, entropy or unordered iteration in a sans-io room",
        hits.filter(|hit| !excepted(hit)),
    );
}

#[test]
fn fenced_packages_stay_in_their_rooms() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| source.is_production()) {
        for (package, rooms) in FENCES {
            if !starts_with_any(&source.path, rooms) {
                let path = format!("{package}::");
                let named = source.code().filter(|(_, line)| word_in(line, &path));
                violations
                    .extend(named.map(|(line, _)| format!("{}:{line}: {package}", source.path)));
            }
        }
    }
    check("a fenced package is named only in its rooms", violations);
}

struct UnsafeUses(Vec<usize>);

impl<'ast> Visit<'ast> for UnsafeUses {
    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.0.push(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.0
            .extend(item.unsafety.iter().map(|token| token.span.start().line));
        visit::visit_item_impl(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.0.extend(
            signature
                .unsafety
                .iter()
                .map(|token| token.span.start().line),
        );
        visit::visit_signature(self, signature);
    }
}

#[test]
fn unsafe_stands_in_its_files_with_a_reason() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| source.is_production()) {
        let mut uses = UnsafeUses(Vec::new());
        uses.visit_file(&source.syntax);
        if !starts_with_any(&source.path, UNSAFE_FILES) {
            violations.extend(uses.0.iter().map(|line| format!("{}:{line}", source.path)));
            continue;
        }
        let lines: Vec<_> = source.text.lines().collect();
        for line in uses.0 {
            let above = &lines[line.saturating_sub(9)..line - 1];
            if !above.iter().any(|line| line.contains("SAFETY:")) {
                violations.push(format!("{}:{line}: no SAFETY sentence above", source.path));
            }
        }
    }
    let safe = |member: &&String| !UNSAFE_CRATES.contains(&member.as_str());
    for member in members().iter().filter(safe) {
        let lib = fs::read_to_string(root().join(member).join("src/lib.rs"));
        if lib.is_ok_and(|text| !text.contains("#![forbid(unsafe_code)]")) {
            violations.push(format!("{member}/src/lib.rs: no #![forbid(unsafe_code)]"));
        }
    }
    check(
        "unsafe stands only in UNSAFE_FILES, with a SAFETY sentence",
        violations,
    );
}

fn doc_text(attribute: &syn::Attribute) -> String {
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return String::new();
    };
    let syn::Expr::Lit(literal) = &pair.value else {
        return String::new();
    };
    let syn::Lit::Str(text) = &literal.lit else {
        return String::new();
    };
    text.value()
}

#[test]
fn limits_name_their_source() {
    let sources = sources();
    let limits: Vec<_> = sources
        .iter()
        .filter(|s| s.path.ends_with("/src/limits.rs"))
        .collect();
    assert!(limits.len() >= 5, "only {} limits.rs found", limits.len());
    let untold = limits.iter().flat_map(|source| {
        source.syntax.items.iter().filter_map(|item| {
            let syn::Item::Const(constant) = item else {
                return None;
            };
            let docs: String = constant.attrs.iter().map(doc_text).collect();
            let told = ["Source:", "Ours:", "Ours."]
                .iter()
                .any(|word| docs.contains(word));
            (!told).then(|| format!("{}: {}", source.path, constant.ident))
        })
    });
    check("a limit says `Source:` or `Ours:`", untold);
}

#[test]
fn nothing_is_left_half_done() {
    // In two halves each, so that this file does not find itself.
    let words = [
        ["to", "do!"],
        ["unimpl", "emented!"],
        ["db", "g!"],
        ["fix", "me"],
        ["x", "xx"],
        ["#[ign", "ore"],
    ]
    .map(|halves| halves.concat());
    let hits = sources().into_iter().flat_map(|source| {
        let lines = source.text.to_lowercase();
        let hit = |line: &str| words.iter().any(|word| word_in(line, word));
        let hits = lines.lines().enumerate().filter(|(_, line)| hit(line));
        hits.map(|(index, _)| format!("{}:{}", source.path, index + 1))
            .collect::<Vec<_>>()
    });
    check("no unfinished work and no sleeping test", hits);
}

/// The arrows as ARCHITECTURE.md draws them: a line `crate: dependency, dependency` for each.
fn drawn_arrows() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let block = text
        .split("```arrows\n")
        .nth(1)
        .expect("ARCHITECTURE.md has an ```arrows block");
    let block = block
        .split("```")
        .next()
        .expect("split yields one at least");
    let row = |line: &str| {
        let (name, targets) = line.split_once(':').expect("crate: dependencies");
        let targets = targets
            .split(',')
            .map(str::trim)
            .filter(|target| !target.is_empty());
        (name.trim().to_owned(), targets.map(str::to_owned).collect())
    };
    block
        .lines()
        .filter(|line| !line.is_empty())
        .map(row)
        .collect()
}

#[test]
fn arrows_are_as_drawn() {
    let mut real = BTreeMap::new();
    for member in members() {
        let manifest = manifest(&format!("{member}/Cargo.toml"));
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        let names = dependencies.into_iter().flat_map(toml::Table::keys);
        let inside = names
            .filter_map(|name| name.strip_prefix("shoal-"))
            .map(str::to_owned);
        real.insert(member, inside.collect::<BTreeSet<_>>());
    }
    assert_eq!(
        drawn_arrows(),
        real,
        "ARCHITECTURE.md (left) draws other arrows than Cargo.toml"
    );
}

#[test]
fn claimed_beps_have_a_module_and_a_test() {
    let text = fs::read_to_string(root().join("docs/beps.md")).expect("docs/beps.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| BEP"));
    let rows: Vec<Vec<&str>> = rows
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 10, "only {} rows in docs/beps.md", rows.len());
    let mut violations = Vec::new();
    for row in rows {
        let [bep, _, modules, tests, _] = row[..] else {
            panic!("five columns, not {row:?}")
        };
        for module in modules.split(", ").map(|module| module.trim_matches('`')) {
            if !root().join(module).exists() {
                violations.push(format!("BEP {bep}: no module {module}"));
            }
        }
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            if name.is_empty() || !text.contains(&format!("fn {name}(")) {
                violations.push(format!("BEP {bep}: no test {test}"));
            }
        }
    }
    check("a claimed BEP has a module and a test", violations);
}

#[test]
fn every_fuzz_target_has_a_corpus_and_a_replay() {
    let targets = manifest("fuzz/Cargo.toml");
    let bins = targets["bin"].as_array().expect("fuzz targets");
    let names: Vec<_> = bins
        .iter()
        .map(|bin| bin["name"].as_str().expect("a name"))
        .collect();
    assert!(names.len() >= 5, "only {names:?}");
    let replays: String = sources()
        .into_iter()
        .filter(|source| source.path.ends_with("tests/corpus.rs"))
        .map(|source| source.text)
        .collect();
    let bare = names.iter().filter_map(|name| {
        let corpus = fs::read_dir(root().join("fuzz/corpus").join(name));
        let seeds = corpus.map_or(0, Iterator::count);
        let replayed = replays.contains(name);
        (seeds == 0 || !replayed).then(|| format!("{name}: {seeds} seeds, replayed: {replayed}"))
    });
    check("a fuzz target has a corpus that cargo test replays", bare);
}
