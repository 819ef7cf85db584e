//! The page with the results of the conformance cases has each case of the table once, and no other.

use super::Finding;
use super::tree::Tree;
use crate::conformance::page;

/// Where the cases are.
const CASES: &str = "user-test/cases/src/cases/";

/// Cases that the page does not have, and cases that there are not.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(results) = tree.file(page::PATH) else {
        return vec![Finding::new(page::PATH, "is missing; run cargo xtask conformance")];
    };
    let written: Vec<_> = page::names(&results.text).collect();
    let sources = tree.files.iter().filter(|file| file.path.starts_with(CASES));
    let there: Vec<_> = sources.flat_map(|file| names(&file.text)).collect();
    let missing = there.iter().filter(|name| !written.contains(name));
    let missing = missing.map(|name| format!("the case {name} is not there; run cargo xtask conformance"));
    let surplus = written.iter().filter(|name| !there.contains(name));
    let surplus = surplus.map(|name| format!("there is no case {name}; run cargo xtask conformance"));
    let mut findings: Vec<_> = missing.chain(surplus).map(|text| Finding::new(page::PATH, text)).collect();
    let mut sorted = written.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != written.len() {
        findings.push(Finding::new(page::PATH, "a case is there twice; run cargo xtask conformance"));
    }
    findings
}

/// The names that a source file gives to cases.
fn names(source: &str) -> impl Iterator<Item = &str> {
    let parts = source.split("name: \"").skip(1);
    parts.filter_map(|part| part.split_once('"')).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "const A: Case =\n    Case { name: \"a-b\", section: \"x\", run: a };\nconst B: Case = Case { name: \"c\", \
                          section: \"y\", run: b };";

    fn findings(page: &str) -> Vec<Finding> {
        check(&Tree::of(&[("user-test/cases/src/cases/x.rs", SOURCE), (page::PATH, page)]))
    }

    #[test]
    fn the_page_has_every_case_once_and_no_other() {
        assert_eq!(findings("| `a-b` | x |\n| `c` | y |"), []);
        assert_eq!(findings("| `a-b` | x |").len(), 1);
        assert_eq!(findings("| `a-b` | x |\n| `c` | y |\n| `d` | z |").len(), 1);
        assert_eq!(findings("| `a-b` | x |\n| `c` | y |\n| `c` | y |").len(), 1);
        assert_eq!(check(&Tree::of(&[("user-test/cases/src/cases/x.rs", SOURCE)])).len(), 1);
    }
}
