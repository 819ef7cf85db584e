//! What lies at the top of the repository.

use super::Finding;
use super::tree::Tree;

/// Folders and files, exactly. Another one needs a reason, and the design's consent.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "docs",
    "driver",
    "inf",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "user-test",
    "xtask",
];

/// What is there and should not be, or should be and is not.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found: Vec<_> = tree.files.iter().filter_map(|file| file.path.split('/').next()).collect();
    found.sort_unstable();
    found.dedup();
    let surplus = found.iter().filter(|name| !TOP.contains(name));
    let surplus = surplus.map(|name| Finding::new(*name, "has no place at the top level"));
    let missing = TOP.iter().filter(|name| !found.contains(name));
    surplus.chain(missing.map(|name| Finding::new(*name, "is missing"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Vec<(&'static str, &'static str)> {
        TOP.iter().map(|&name| (name, "")).collect()
    }

    #[test]
    fn the_designed_top_level_is_accepted() {
        assert_eq!(check(&Tree::of(&complete())), []);
    }

    #[test]
    fn something_more_or_less_is_found() {
        let mut more = complete();
        more.push(("scripts/x.sh", ""));
        assert_eq!(check(&Tree::of(&more)), [Finding::new("scripts", "has no place at the top level")]);
        let less: Vec<_> = complete().into_iter().filter(|(name, _)| *name != "inf").collect();
        assert_eq!(check(&Tree::of(&less)), [Finding::new("inf", "is missing")]);
    }
}
