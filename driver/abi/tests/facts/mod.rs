//! Reads the facts that this crate states about foreign types out of its own source: the very text that `layout!`
//! turns into compile-time assertions. So what is compared with C headers cannot differ from what the crate promises.

mod compare;
mod complete;

use std::fs;
use std::path::{Path, PathBuf};

/// One `layout!`: size, alignment and offsets in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) align: u64,
    pub(crate) fields: Vec<(String, u64)>,
}

/// One `pub struct` or `pub union` with named members.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
}

/// One `pub const` whose type is an integer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Text of every source file below these paths of `src`, tests excepted.
pub(crate) fn sources(paths: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut pending: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
    let mut texts = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("tests.rs") && !path.ends_with("layout.rs") {
            texts.push(fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

fn number(text: &str) -> u64 {
    let digits = text.trim().replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => digits.parse().unwrap(),
    }
}

/// Comments out, so that words in them are not taken for facts.
fn code(source: &str) -> String {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every `layout!` in a source text.
pub(crate) fn proofs(source: &str) -> Vec<Proof> {
    let source = code(source);
    let texts = source.split("layout!(").skip(1).map(|text| text.split_once(");").unwrap().0);
    texts
        .map(|text| {
            let (name, rest) = text.split_once(':').unwrap();
            let (head, fields) = rest.split_once(';').unwrap();
            let (size, align) = head.split_once(',').unwrap();
            let fields = fields.split(',').map(str::trim).filter(|field| !field.is_empty());
            Proof {
                name: name.to_owned(),
                size: number(size),
                align: number(align),
                fields: fields
                    .map(|field| field.split_once(char::is_whitespace).unwrap())
                    .map(|(field, offset)| (field.to_owned(), number(offset)))
                    .collect(),
            }
        })
        .collect()
}

/// Every structure and union in a source text that has members and is not inside a macro.
pub(crate) fn structures(source: &str) -> Vec<Structure> {
    let source = format!("\n{}", code(source));
    let bodies = source.split("\npub ").skip(1).filter_map(|text| {
        let text = text.strip_prefix("struct ").or_else(|| text.strip_prefix("union "))?;
        let (name, rest) = text.split_once(" {\n")?;
        let (body, _) = rest.split_once("\n}")?;
        Some((name, body))
    });
    bodies
        .map(|(name, body)| Structure {
            name: name.to_owned(),
            fields: body
                .lines()
                .map(|line| line.trim().strip_prefix("pub ").unwrap_or(line.trim()))
                .filter_map(|line| line.split_once(": "))
                .map(|(field, _)| field.to_owned())
                .collect(),
        })
        .collect()
}

/// Every integer constant in a source text, and every status; its value still an expression.
pub(crate) fn constants(source: &str) -> Vec<Constant> {
    let source = code(source);
    let plain = source.lines().filter_map(|line| line.strip_prefix("pub const ")).filter_map(|line| {
        let (name, rest) = line.split_once(": ")?;
        let (_, value) = rest.split_once(" = ")?;
        let aggregate = value.starts_with('[') || value.starts_with("GUID {");
        (!aggregate).then(|| (name, value.trim_end_matches(';')))
    });
    let statuses = source
        .lines()
        .filter_map(|line| line.strip_prefix("    STATUS_")?.split_once(" 0x"))
        .map(|(name, value)| (format!("STATUS_{name}"), format!("0x{value}")));
    plain
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(statuses)
        .map(|(name, value)| Constant { name, value })
        .collect()
}
