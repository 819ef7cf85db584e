//! The chapters of the documentation.

use super::Finding;
use super::tree::Tree;

const SUMMARY: &str = "docs/SUMMARY.md";

/// Chapters that the summary names and that do not exist, and chapters that it does not name.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(summary) = tree.file(SUMMARY) else { return vec![Finding::new(SUMMARY, "is missing")] };
    let mut findings = Vec::new();
    let mut named = vec![SUMMARY.to_owned()];
    for (number, line) in summary.lines() {
        for target in links(line) {
            let path = format!("docs/{target}");
            if tree.file(&path).is_none() {
                findings.push(Finding::at(SUMMARY, number, format!("{path} does not exist")));
            }
            named.push(path);
        }
    }
    let chapters =
        tree.files.iter().filter(|file| file.path.starts_with("docs/") && file.has_extension("md"));
    let unnamed = chapters.filter(|file| !named.contains(&file.path));
    findings.extend(unnamed.map(|file| Finding::new(&file.path, format!("is not in {SUMMARY}"))));
    findings
}

/// The targets of the links in a line of Markdown.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_that_are_missing_or_not_named_are_found() {
        let tree = Tree::of(&[
            (SUMMARY, "# Summary\n- [A](a.md)\n- [B](sub/b.md)"),
            ("docs/a.md", ""),
            ("docs/forgotten.md", ""),
        ]);
        let missing = Finding::at(SUMMARY, 3, "docs/sub/b.md does not exist");
        assert_eq!(check(&tree), [missing, Finding::new("docs/forgotten.md", "is not in docs/SUMMARY.md")]);
    }

    #[test]
    fn a_complete_book_is_accepted() {
        assert_eq!(check(&Tree::of(&[(SUMMARY, "[A](a.md)"), ("docs/a.md", "")])), []);
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
