//! The reference is what the code would write.

use super::Finding;
use super::tree::Tree;
use crate::reference::{PATH, page};

/// The first line that differs.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(PATH) else {
        return vec![Finding::new(PATH, "is missing; run cargo xtask reference")];
    };
    let (there, wanted) = (file.text.trim_end(), page());
    if there == wanted.trim_end() {
        return Vec::new();
    }
    let same = there.lines().zip(wanted.lines()).take_while(|(there, wanted)| there == wanted).count();
    vec![Finding::at(PATH, same + 1, "is not what the code says; run cargo xtask reference")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_compared_line_by_line() {
        let page = page();
        assert_eq!(check(&Tree::of(&[(PATH, &page)])), []);
        let other = page.replacen("METHOD_BUFFERED", "METHOD_NEITHER", 1);
        assert_eq!(check(&Tree::of(&[(PATH, &other)])).len(), 1);
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
