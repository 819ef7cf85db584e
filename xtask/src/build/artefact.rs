//! The table of what is built.

/// How an artefact comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A kernel image: a cdylib whose own build script makes the linker write a driver.
    Image,
}

impl Kind {
    /// Target that cargo compiles for; `None` for a file that is only copied.
    pub fn target(self) -> Option<&'static str> {
        match self {
            Self::Image => Some("x86_64-pc-windows-msvc"),
        }
    }
}

/// One file in `target/dist`.
#[derive(Debug)]
pub struct Artefact {
    /// Where it goes, relative to `target/dist`. What lies in `test` does not ship.
    pub file: &'static str,
    /// How it comes about.
    pub kind: Kind,
    /// Package that it is built from.
    pub package: &'static str,
    /// Features of the package that are switched on.
    pub features: &'static [&'static str],
    /// What cargo calls the result.
    pub source: &'static str,
}

/// Everything that `cargo xtask build` makes.
pub const ARTEFACTS: &[Artefact] = &[
    Artefact {
        file: "wskrdma.sys",
        kind: Kind::Image,
        package: "wskrdma",
        features: &["image"],
        source: "wskrdma.dll",
    },
    Artefact {
        file: "test/wdfldr.sys",
        kind: Kind::Image,
        package: "wskrdma-wdfldr",
        features: &[],
        source: "wskrdma_wdfldr.dll",
    },
];

/// The targets that `rows` are built for, each once.
pub fn targets(rows: &[&Artefact]) -> Vec<&'static str> {
    let mut targets: Vec<_> = rows.iter().filter_map(|row| row.kind.target()).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_artefacts_have_one_name() {
        let mut files: Vec<_> = ARTEFACTS.iter().map(|row| row.file).collect();
        files.sort_unstable();
        files.dedup();
        assert_eq!(files.len(), ARTEFACTS.len());
    }

    #[test]
    fn each_target_is_compiled_for_once() {
        let rows: Vec<_> = ARTEFACTS.iter().chain(ARTEFACTS).collect();
        let targets = targets(&rows);
        assert!(targets.iter().all(|target| targets.iter().filter(|other| *other == target).count() == 1));
    }
}
