//! `cargo xtask reference`: writes the pages that say what the code says.
//!
//! The text around the tables is a template; tables of requests, records and events come from the crates that define them.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};
use control::reference::{CLIENT, CLIENT_RECORDS, DRIVER, DRIVER_RECORDS, Ioctl, VALUES};
use control::{FieldLayout, Layout};
use trace::{Kind, Level, keyword};

use crate::workspace::Workspace;

/// The page, below the repository.
pub(crate) const PATH: &str = "docs/ioctl-reference.md";

const TEMPLATE: &str = include_str!("reference/ioctl-reference.md");

/// The command.
///
/// # Errors
///
/// If the page cannot be written.
pub fn run(workspace: &Workspace) -> Result<()> {
    let path = workspace.root().join(PATH);
    fs::write(&path, page()).with_context(|| format!("cannot write {}", path.display()))
}

/// The whole page.
pub(crate) fn page() -> String {
    let parts = [
        ("@contract@", control::driver::CONTRACT_VERSION.to_string()),
        ("@cases@", control::client::cases::VERSION.to_string()),
        ("@driver@", requests(DRIVER)),
        ("@driver-records@", records(DRIVER_RECORDS)),
        ("@values@", values()),
        ("@client@", requests(CLIENT)),
        ("@client-records@", records(CLIENT_RECORDS)),
        ("@functions@", control::client::FUNCTIONS.join(", ")),
        ("@events@", events()),
    ];
    parts.iter().fold(TEMPLATE.to_owned(), |page, (mark, text)| page.replace(mark, text.trim_end()))
}

fn requests(ioctls: &[Ioctl]) -> String {
    let mut table = "| code | value | access | in | out | does |\n|---|---|---|---|---|---|\n".to_owned();
    for ioctl in ioctls {
        let Ioctl { name, code, input, output, text } = ioctl;
        // Writing to a string cannot fail.
        let _ =
            writeln!(table, "| {name} | {code:#010x} | {} | {input} | {output} | {text} |", ioctl.access());
    }
    table
}

fn records(layouts: &[Layout]) -> String {
    layouts.iter().map(record).collect::<Vec<_>>().join("\n")
}

fn record(layout: &Layout) -> String {
    let mut text =
        format!("### {}, {}\n\n| offset | type | field | |\n|---|---|---|---|\n", layout.name, layout.size);
    let mut offset = 0;
    for field in layout.fields {
        let FieldLayout { name, size, .. } = field;
        let _ = writeln!(text, "| {offset} | {} | {name} | {} |", kind(field.kind), sentence(field.text));
        offset += size;
    }
    text
}

fn values() -> String {
    let mut table = "| name | value | meaning |\n|---|---|---|\n".to_owned();
    for (name, value, text) in VALUES {
        let value = if *value == u32::MAX { format!("{value:#x}") } else { value.to_string() };
        let _ = writeln!(table, "| {name} | {value} | {text} |");
    }
    table
}

/// A type as the page writes it.
fn kind(rust: &str) -> String {
    match rust.strip_prefix("[u8") {
        None => rust.to_owned(),
        Some(_) => "octets".to_owned(),
    }
}

/// The lines of a description as one, without what only the code's own pages can follow.
fn sentence(lines: &[&str]) -> String {
    let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    text.replace("[`", "`").replace("`]", "`").replace("super::", "").replace('|', "\\|")
}

fn events() -> String {
    let mut table =
        "| number | name | level | keyword | value | meaning |\n|---|---|---|---|---|---|\n".to_owned();
    for kind in Kind::ALL {
        let level = match kind.level() {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Information => "information",
        };
        let keyword = match kind.keyword() {
            keyword::DRIVER => "driver",
            keyword::CONNECTION => "connection",
            _ => "performance",
        };
        let value = if kind.value().is_empty() { "\u{2013}" } else { kind.value() };
        let (number, name, meaning) = (kind.code(), kind.name(), kind.explanation());
        let _ = writeln!(table, "| {number} | {name} | {level} | {keyword} | {value} | {meaning} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_request_record_and_event_and_no_mark_is_left() {
        let page = page();
        for ioctl in DRIVER.iter().chain(CLIENT) {
            assert!(page.contains(&format!("| {} | {:#010x} |", ioctl.name, ioctl.code)));
        }
        for layout in DRIVER_RECORDS.iter().chain(CLIENT_RECORDS) {
            assert!(page.contains(&format!("### {}, {}\n", layout.name, layout.size)));
        }
        assert!(Kind::ALL.iter().all(|kind| page.contains(kind.name())));
        assert!(!page.contains('@'), "a mark is left");
    }
}
