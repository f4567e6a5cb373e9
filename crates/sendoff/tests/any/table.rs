//! The table of bad addresses and settings in the documentation, row by row.

use sendoff::{MemoryTransport, Options, Transports};
use std::io;

const PAGE: &str = include_str!("../../../../docs/transports.md");

const HEADING: &str = "## Bad addresses and settings";

/// Who uses the address, the address, and what the error says.
fn rows() -> Vec<[String; 3]> {
    let (_, section) = PAGE.split_once(HEADING).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| listen") || line.starts_with("| connect"));
    rows.map(|row| {
        // `\|` doesn't end a cell.
        let row = row.replace("\\|", "\0");
        let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`'));
        [(); 3].map(|()| match cells.next() {
            Some(cell) => cell.replace('\0', "|"),
            None => panic!("{row}: a cell is missing"),
        })
    })
    .collect()
}

#[tokio::test]
async fn each_bad_address_is_answered_as_the_documentation_says() {
    let transports = Transports::new(Options::new()).with(MemoryTransport::new());
    let rows = rows();
    assert!(rows.len() >= 50, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for [who, address, expected] in rows {
        let result = match who.as_str() {
            "listen" => transports.bind(address.as_str()).await.map(drop),
            _ => transports.connect(address.as_str()).await.map(drop),
        };
        let error = result.expect_err(&address);
        let text = error.to_string();
        let fits = match expected.strip_suffix('…') {
            Some(beginning) => text.starts_with(beginning),
            None => text == expected,
        };
        if !fits || error.kind() != io::ErrorKind::InvalidInput {
            wrong.push(format!("| {who} | `{address}` | `{text}` | ({:?})", error.kind()));
        }
    }
    assert!(wrong.is_empty(), "the table should say:\n{}", wrong.join("\n"));
}
