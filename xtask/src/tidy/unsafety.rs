//! Where unsafe code may be.

use super::Finding;
use super::members::Member;
use super::tree::Tree;

/// What the compiler is told.
const FORBID: &str = "#![forbid(unsafe_code)]";

/// Crates that do without, and whose roots say so to the compiler.
const SAFE: &[&str] = &["driver/abi", "driver/control", "driver/stream", "driver/trace", "user-test/cases"];

/// Crates that may contain unsafe code. Any other one must not.
const UNSAFE: &[&str] = &[
    "driver",
    "driver/client-lib",
    "driver/irp",
    "driver/kernel",
    "driver/ndk",
    "driver/runtime",
    "driver/softndk",
    "driver/wsk",
    "user-test",
    "user-test/bench",
    "user-test/client",
    "user-test/client/driver",
    "user-test/interop",
    "user-test/ksim",
    "user-test/ndkcheck",
    "user-test/sim",
    "user-test/wdfldr",
];

/// Safe crates that do not forbid unsafe code, and unsafe code in crates that are not listed.
pub(crate) fn check(tree: &Tree, members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let folder = member.folder.as_str();
        if SAFE.contains(&folder) {
            let forbids = |root: &&String| tree.file(root).is_some_and(|file| file.text.contains(FORBID));
            let silent = member.roots.iter().filter(|root| !forbids(root));
            findings.extend(silent.map(|root| Finding::new(root, format!("lacks `{FORBID}`"))));
        } else if !UNSAFE.contains(&folder) {
            findings.extend(unsafe_lines(tree, folder));
        }
    }
    findings
}

/// Unsafe code in the sources of `folder`.
fn unsafe_lines(tree: &Tree, folder: &str) -> Vec<Finding> {
    let sources = format!("{folder}/src/");
    let files = tree.files.iter().filter(|file| file.path.starts_with(&sources) && file.has_extension("rs"));
    let lines = files.flat_map(|file| file.lines().map(move |(number, line)| (file, number, line)));
    lines
        .filter(|(_, _, line)| is_unsafe(line))
        .map(|(file, number, _)| Finding::at(&file.path, number, "this crate is not listed for unsafe code"))
        .collect()
}

/// Whether the line opens a block, function, implementation or attribute that is unsafe.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("unsafe") {
        let opens = ["{", "fn ", "impl ", "extern ", "trait "]
            .iter()
            .any(|next| after.trim_start().starts_with(next));
        let is_word = !before.ends_with(|last: char| last.is_alphanumeric() || "_\"(`".contains(last));
        let is_attribute = before.trim_end().ends_with("#[") && after.starts_with('(');
        if is_word && (opens && after.starts_with(' ') || is_attribute) {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::members::made_up;
    use super::*;

    #[test]
    fn a_safe_crate_that_does_not_forbid_is_found() {
        let members = [made_up("driver/stream", &[])];
        let check = |text| check(&Tree::of(&[("driver/stream/src/lib.rs", text)]), &members).len();
        assert_eq!(check("#![no_std]\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(check("#![no_std]\n"), 1);
    }

    #[test]
    fn unsafe_code_in_a_crate_that_is_not_listed_is_found() {
        let members = [made_up("user-test/other", &[])];
        let check = |text: &str| check(&Tree::of(&[("user-test/other/src/x.rs", text)]), &members);
        for text in [
            "let x = DANGER { y() };",
            "DANGER impl Send for X {}",
            "pub DANGER fn x() {}",
            "#[DANGER(no_mangle)]",
        ] {
            let text = text.replace("DANGER", "unsafe");
            assert_eq!(check(&text), [Finding::at("user-test/other/src/x.rs", 1, NOT_LISTED)], "{text}");
        }
    }

    const NOT_LISTED: &str = "this crate is not listed for unsafe code";

    #[test]
    fn words_about_it_are_not_it() {
        for text in ["// unsafe { }", "\"unsafe { }\"", "is_unsafe fn", "let unsafety = 1;"] {
            assert!(!is_unsafe(text), "{text}");
        }
        let members = [made_up("driver/irp", &[])];
        assert_eq!(check(&Tree::of(&[("driver/irp/src/x.rs", "unsafe { y() }")]), &members), []);
    }
}
