//! What has no place in a file of this repository.

use super::Finding;
use super::tree::{SourceFile, Tree};

/// A file with more lines says more than one thing.
const LONGEST: usize = 600;

/// Marks of unfinished work. They are put together here so that this file does not contain them.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
const UNFINISHED_CODE: [&str; 2] = [concat!("to", "do!"), concat!("unimple", "mented!")];

/// Switching a lint off without saying why, which is what `expect` with a reason is for.
const ALLOW: [&str; 2] = [concat!("#[al", "low("), concat!("#![al", "low(")];

/// Folders that exist on somebody's machine.
pub(crate) const MACHINE_FOLDERS: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/"),
    concat!("/ho", "me/"),
    concat!(":\\Us", "ers\\"),
];

/// Hosts that packages come from: a machine's configuration names them, not a repository.
const REGISTRIES: [&str; 8] = [
    concat!("index.cra", "tes.io"),
    concat!("static.cra", "tes.io"),
    concat!("static.ru", "st-lang.org"),
    concat!("deb.deb", "ian.org"),
    concat!("security.deb", "ian.org"),
    concat!("registry.np", "mjs.org"),
    concat!("py", "pi.org"),
    concat!("pythonhos", "ted.org"),
];

/// Source files that are too long.
pub(crate) fn length(tree: &Tree) -> Vec<Finding> {
    let lines = |file: &SourceFile| file.text.lines().count();
    let long = tree.files.iter().filter(|file| file.has_extension("rs") && lines(file) > LONGEST);
    long.map(|file| Finding::new(&file.path, format!("{} lines, at most {LONGEST}", lines(file)))).collect()
}

/// Marks of unfinished work.
pub(crate) fn words(tree: &Tree) -> Vec<Finding> {
    let mut findings = find(tree, &UNFINISHED, |_| true);
    findings.extend(find(tree, &UNFINISHED_CODE, |file| file.has_extension("rs")));
    findings
}

/// Lints that are switched off.
pub(crate) fn allowed_lints(tree: &Tree) -> Vec<Finding> {
    find(tree, &ALLOW, |file| file.has_extension("rs"))
}

/// Folders of a machine, and hosts of registries.
pub(crate) fn places(tree: &Tree) -> Vec<Finding> {
    // A reader of the documentation has machines too.
    let mut findings = find(tree, &MACHINE_FOLDERS, |file| !file.has_extension("md"));
    // cargo itself names the registry in the lock file.
    findings.extend(find(tree, &REGISTRIES, |file| file.path != "Cargo.lock"));
    findings
}

/// Lines with one of the `needles`, as a word of its own where it begins or ends like one.
fn find(tree: &Tree, needles: &[&str], concerns: fn(&SourceFile) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| concerns(file)) {
        for (number, line) in file.lines() {
            let found = needles.iter().filter(|needle| has_word(line, needle));
            findings
                .extend(found.map(|needle| Finding::at(&file.path, number, format!("contains {needle}"))));
        }
    }
    findings
}

fn has_word(line: &str, needle: &str) -> bool {
    let is_letter = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(needle).any(|(start, _)| {
        let (before, rest) = line.split_at(start);
        let after = rest.strip_prefix(needle).unwrap_or_default();
        let joined_before = needle.starts_with(is_letter) && before.ends_with(is_letter);
        let joined_after = needle.ends_with(is_letter) && after.starts_with(is_letter);
        !joined_before && !joined_after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let tree =
            |lines| Tree::of(&[("a.rs", "x\n".repeat(lines).as_str()), ("b.md", &"x\n".repeat(lines))]);
        assert_eq!(length(&tree(LONGEST)), []);
        assert_eq!(length(&tree(LONGEST + 1)), [Finding::new("a.rs", "601 lines, at most 600")]);
    }

    #[test]
    fn each_mark_of_unfinished_work_is_found() {
        for word in UNFINISHED {
            assert_eq!(words(&Tree::of(&[("a.c", &format!("x\n/* {word}: later */"))])).len(), 1, "{word}");
            assert_eq!(words(&Tree::of(&[("a.c", &format!("a{word}B"))])).len(), 0, "{word}");
        }
        for word in UNFINISHED_CODE {
            let finding = Finding::at("a.rs", 1, format!("contains {word}"));
            assert_eq!(words(&Tree::of(&[("a.rs", &format!("{word}(\"later\")"))])), [finding]);
        }
    }

    #[test]
    fn each_form_of_switching_a_lint_off_is_found() {
        for form in ALLOW {
            assert_eq!(
                allowed_lints(&Tree::of(&[("a.rs", &format!("{form}dead_code)]"))])).len(),
                1,
                "{form}"
            );
        }
        assert_eq!(allowed_lints(&Tree::of(&[("a.rs", "#[expect(dead_code, reason = \"x\")]")])), []);
    }

    #[test]
    fn each_place_is_found() {
        for place in MACHINE_FOLDERS {
            assert_eq!(places(&Tree::of(&[("a.rs", &format!("\"{place}x\""))])).len(), 1, "{place}");
            assert_eq!(places(&Tree::of(&[("a.md", &format!("`{place}x`"))])), [], "{place}");
        }
        for host in REGISTRIES {
            assert_eq!(places(&Tree::of(&[("a.md", &format!("from {host}."))])).len(), 1, "{host}");
            assert_eq!(places(&Tree::of(&[("Cargo.lock", host)])), [], "{host}");
        }
    }
}
