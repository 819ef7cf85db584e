//! The table of what is built.

/// Target of everything in kernel mode.
pub(crate) const KERNEL_TARGET: &str = "x86_64-pc-windows-msvc";

/// Target of programs: the same as the GNU target, but without functions that came after Windows 7 and that Wine
/// lacks.
pub(crate) const PROGRAM_TARGET: &str = "x86_64-win7-windows-gnu";

/// How an artefact comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A kernel image: a cdylib whose own build script makes the linker write a driver.
    Image,
    /// A static library for the drivers of others.
    Archive,
    /// A program for user mode.
    Program,
    /// A file that is copied as it is.
    File,
}

/// What has to be built before what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// What others link.
    Libraries,
    /// What is linked.
    Images,
}

impl Kind {
    /// Target that cargo compiles for; `None` for a file that is only copied.
    pub(crate) fn target(self) -> Option<&'static str> {
        match self {
            Self::Image | Self::Archive => Some(KERNEL_TARGET),
            Self::Program => Some(PROGRAM_TARGET),
            Self::File => None,
        }
    }

    /// When it is built.
    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::Archive | Self::File => Stage::Libraries,
            Self::Image | Self::Program => Stage::Images,
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
    /// What cargo calls the result; for a file that is only copied, its place in the repository.
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
        file: "wskrdma.lib",
        kind: Kind::Archive,
        package: "wskrdma-client-lib",
        features: &[],
        source: "wskrdma_client_lib.lib",
    },
    Artefact {
        file: "wskrdma.h",
        kind: Kind::File,
        package: "wskrdma-client-lib",
        features: &[],
        source: "driver/client-lib/include/wskrdma.h",
    },
    Artefact {
        file: "wskrdma-client.sys",
        kind: Kind::Image,
        package: "wskrdma-client-driver",
        features: &[],
        source: "wskrdma_client.dll",
    },
    Artefact {
        file: "wskrdma-test.exe",
        kind: Kind::Program,
        package: "wskrdma-test",
        features: &[],
        source: "wskrdma-test.exe",
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
    fn libraries_are_there_before_what_links_them() {
        let stage = |file| ARTEFACTS.iter().find(|row| row.file == file).map(|row| row.kind.stage());
        assert_eq!(stage("wskrdma.lib"), Some(Stage::Libraries));
        assert_eq!(stage("wskrdma.sys"), Some(Stage::Images));
    }

    #[test]
    fn each_target_is_compiled_for_once() {
        let rows: Vec<_> = ARTEFACTS.iter().chain(ARTEFACTS).collect();
        let targets = targets(&rows);
        assert!(targets.iter().all(|target| targets.iter().filter(|other| *other == target).count() == 1));
    }
}
