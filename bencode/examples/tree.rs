//! Prints the tree of a .torrent, or of any bencoded file, one value a line:
//!
//! `cargo run -p shoal-bencode --example tree -- FILE`
//!
//! Safe for any file: nesting is a loop, bytes that are not printable ASCII are escaped, and long
//! strings are cut.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use shoal_bencode::{Kind, Node, Options, Step, parse};

/// Bytes of a string that are shown.
const SHOWN_MAX: usize = 60;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: tree FILE");
        return ExitCode::from(2);
    };
    let input = std::fs::read(&path);
    let path = path.display();
    let input = match input {
        Ok(input) => input,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let tree = match parse(&input, Options::lenient()) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("{path}: not bencode: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match print(tree.root(), &mut out).and_then(|()| out.flush()) {
        // The reader has seen enough: `tree FILE | head`.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn print(root: Node<'_, '_>, out: &mut impl Write) -> io::Result<()> {
    let mut depth = 0;
    for step in root.walk() {
        let node = match step {
            Step::Enter(node) => node,
            Step::Leave(_) => {
                depth -= 1;
                continue;
            }
        };
        write!(
            out,
            "{:>8}  {:indent$}",
            node.span().start,
            "",
            indent = 2 * depth
        )?;
        match node.kind() {
            Kind::Int => writeln!(out, "{}", node.as_int().unwrap_or_default())?,
            Kind::Bytes => writeln!(out, "{}", show(node.as_bytes().unwrap_or_default()))?,
            Kind::List => writeln!(
                out,
                "list of {}",
                node.as_list().map_or(0, |list| list.len())
            )?,
            Kind::Dict => writeln!(
                out,
                "dictionary of {}",
                node.as_dict().map_or(0, |d| d.len())
            )?,
        }
        depth += usize::from(matches!(node.kind(), Kind::List | Kind::Dict));
    }
    Ok(())
}

fn show(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
    let more = bytes.len() - shown.len();
    let rest = if more > 0 {
        format!(" and {more} bytes more")
    } else {
        String::new()
    };
    format!("\"{}\"{rest}", shown.escape_ascii())
}
