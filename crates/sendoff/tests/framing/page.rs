//! The tables of `docs/framing.md`, as values.

use std::{fs, io::ErrorKind};

/// A stream, and what comes out of it.
pub struct Incoming {
    pub framing: String,
    pub stream: Vec<u8>,
    pub messages: Vec<Vec<u8>>,
    /// The end, or an error of this kind and text.
    pub end: Option<(ErrorKind, String)>,
}

/// A message, and what is written.
pub struct Outgoing {
    pub framing: String,
    pub message: Vec<u8>,
    pub written: Result<Vec<u8>, (ErrorKind, String)>,
}

pub fn incoming() -> Vec<Incoming> {
    let row = |cells: &[&str]| Incoming {
        framing: quoted(cells[0])[0].to_owned(),
        stream: bytes(cells[1]),
        messages: quoted(cells[2]).into_iter().map(literal).collect(),
        end: match cells[3] {
            "the end" => None,
            error => Some(failure(error)),
        },
    };
    rows("What comes")
        .iter()
        .map(|cells| row(&cells.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect()
}

pub fn outgoing() -> Vec<Outgoing> {
    let row = |cells: &[String]| Outgoing {
        framing: quoted(&cells[0])[0].to_owned(),
        message: bytes(&cells[1]),
        written: if cells[2].starts_with("`Inv") { Err(failure(&cells[2])) } else { Ok(bytes(&cells[2])) },
    };
    rows("What is sent").iter().map(|cells| row(cells)).collect()
}

/// The cells of the table in a section, without its head.
fn rows(section: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/framing.md")).unwrap();
    let start = page.find(&format!("\n## {section}\n")).unwrap() + 4;
    let section = &page[start..];
    let section = &section[..section.find("\n## ").unwrap_or(section.len())];
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        let inner = line.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn bytes(cell: &str) -> Vec<u8> {
    quoted(cell).into_iter().flat_map(literal).collect()
}

/// `05 00 "text"` as bytes.
fn literal(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (n, part) in text.split('"').enumerate() {
        if n % 2 == 1 {
            bytes.extend(part.bytes());
        } else {
            bytes.extend(part.split_whitespace().map(|hex| u8::from_str_radix(hex, 16).unwrap()));
        }
    }
    bytes
}

/// `` `InvalidData`: text ``
fn failure(cell: &str) -> (ErrorKind, String) {
    let (kind, text) = cell.split_once(": ").unwrap();
    let kind = match kind.trim_matches('`') {
        "InvalidData" => ErrorKind::InvalidData,
        "InvalidInput" => ErrorKind::InvalidInput,
        "UnexpectedEof" => ErrorKind::UnexpectedEof,
        other => panic!("{other}"),
    };
    (kind, text.to_owned())
}
