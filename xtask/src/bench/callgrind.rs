//! Instructions by part of the tree, from what valgrind's callgrind writes.
//!
//! The format is that of valgrind's manual, "Callgrind Format Specification": lines that name the file and the function that what
//! follows belongs to, each name given once and then by its number; lines of costs; and behind `calls=` one line that counts what
//! a call has cost altogether, which the called function has told already.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};

/// Instructions by the part of the tree that they are in.
pub(super) type Parts = BTreeMap<String, u64>;

/// A name, or the number of one.
fn name<'a>(text: &'a str, known: &mut HashMap<&'a str, &'a str>) -> Result<&'a str> {
    let Some((number, rest)) = text.strip_prefix('(').and_then(|text| text.split_once(')')) else {
        return Ok(text);
    };
    if !rest.is_empty() {
        known.insert(number, rest.trim_start());
    }
    known.get(number).copied().with_context(|| format!("number {number} has no name"))
}

/// Which part code belongs to: the crate whose source it is; of a library's, the crate that has it inlined.
fn part(file: &str, function: &str) -> String {
    for top in ["driver/", "user-test/"] {
        if let Some((path, _)) = file.split_once("/src/")
            && let Some(at) = path.rfind(top)
            && let Some(path) = path.get(at..)
        {
            return path.to_owned();
        }
    }
    let crates = function.split("wskrdma_").nth(1).map(|rest| rest.split("::").next().unwrap_or_default());
    match crates {
        Some("ksim") => "user-test/ksim".to_owned(),
        Some("bench") => "user-test/bench".to_owned(),
        Some(name) => format!("driver/{name}"),
        // The simulated kernel's routines have the kernel's names.
        None if ["Ke", "Io", "Ex", "Mm"].iter().any(|start| function.starts_with(start)) => {
            "user-test/ksim".to_owned()
        }
        None if function.contains("mem") => "memcpy".to_owned(),
        None => "libraries".to_owned(),
    }
}

/// Reads a file of callgrind's.
///
/// # Errors
///
/// If it is none.
pub(super) fn parts(text: &str) -> Result<Parts> {
    let (mut files, mut functions) = (HashMap::new(), HashMap::new());
    let (mut file, mut function) = ("", "");
    let mut parts = Parts::new();
    let mut is_call = false;
    for line in text.lines() {
        match line.split_once('=') {
            Some(("fl" | "fi" | "fe", rest)) => file = name(rest, &mut files)?,
            Some(("fn", rest)) => function = name(rest, &mut functions)?,
            Some(("cfi" | "cfl", rest)) => drop(name(rest, &mut files)?),
            Some(("cfn", rest)) => drop(name(rest, &mut functions)?),
            Some(("calls", _)) => is_call = true,
            Some(_) => {}
            None => {
                let mut words = line.split(' ');
                let is_position =
                    |word: &str| word.starts_with(|c: char| "+-*".contains(c) || c.is_ascii_digit());
                if !words.next().is_some_and(is_position) {
                    continue;
                }
                if std::mem::take(&mut is_call) {
                    continue;
                }
                let cost: u64 = words.next().unwrap_or("0").parse().context(line.to_owned())?;
                *parts.entry(part(file, function)).or_default() += cost;
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# callgrind format\nversion: 1\nevents: Ir\n\nob=(1) /x/wskrdma-bench\n\
        fl=(1) /there/driver/wsk/src/connection/send.rs\nfn=(1) wskrdma_wsk::send\n+3 10\n* 5\n\
        fi=(2) /rust/library/core/src/ptr/mod.rs\n-2 7\nfe=(1)\n\
        cfi=(3) /there/user-test/ksim/src/spinlock.rs\ncfn=(2) KeAcquireSpinLockRaiseToDpc\ncalls=4 20\n+1 400\n+1 1\n\n\
        fl=(3)\nfn=(2)\n20 30\n\nfl=(4) ???\nfn=(3) __memcpy_avx_unaligned_erms\n0 8\n\nfn=(4) main\n0 2\n\ntotals: 63\n";

    #[test]
    fn costs_go_to_the_crate_whose_source_they_are_in() {
        let parts = parts(FILE).expect("a file of callgrind's");
        let expected = [("driver/wsk", 23), ("user-test/ksim", 30), ("memcpy", 8), ("libraries", 2)];
        assert_eq!(parts, expected.map(|(part, cost)| (part.to_owned(), cost)).into());
        assert_eq!(parts.values().sum::<u64>(), 63, "the file's own total");
    }

    #[test]
    fn a_number_without_a_name_is_an_error() {
        let error = parts("fn=(7)\n0 1\n").expect_err("no name");
        assert!(error.to_string().contains("number 7"), "{error}");
    }
}
