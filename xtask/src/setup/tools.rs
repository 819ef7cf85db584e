//! The tools, and the Debian packages they come from.

use std::path::Path;

use crate::command::find_program;

/// What a command is going to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Build the Windows images and programs.
    Build,
    /// Run them under Wine.
    Wine,
    /// Count instructions. Not part of [`ALL`](Self::ALL): only `bench` wants it.
    Bench,
    /// Build and run a Linux guest. Not part of [`ALL`](Self::ALL): only one command wants it.
    Interop,
}

impl Need {
    /// What every command but `bench` and `interop` needs.
    pub const ALL: &[Need] = &[Need::Build, Need::Wine];
}

/// How to see that a tool is there.
#[derive(Debug, Clone, Copy)]
enum Probe {
    /// A program on the search path.
    Program(&'static str),
    /// A file or folder at one of these places.
    File(&'static [&'static str]),
}

/// Something that is installed by a package.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What a person calls it.
    pub(crate) name: &'static str,
    /// Debian package that brings it.
    pub(crate) package: &'static str,
    need: Need,
    probe: Probe,
}

const TOOLS: &[Tool] = &[
    Tool { name: "clang", package: "clang", need: Need::Build, probe: Probe::Program("clang") },
    Tool {
        name: "libclang",
        package: "libclang-dev",
        need: Need::Build,
        probe: Probe::File(&[
            "/usr/lib/llvm-*/lib/libclang.so",
            "/usr/lib/*/libclang.so",
            "/usr/lib/libclang.so",
        ]),
    },
    Tool { name: "lld-link", package: "lld", need: Need::Build, probe: Probe::Program("lld-link") },
    Tool { name: "llvm-dlltool", package: "llvm", need: Need::Build, probe: Probe::Program("llvm-dlltool") },
    Tool { name: "llvm-ar", package: "llvm", need: Need::Build, probe: Probe::Program("llvm-ar") },
    Tool {
        name: "the mingw-w64 kernel headers",
        package: "mingw-w64-x86-64-dev",
        need: Need::Build,
        probe: Probe::File(&["/usr/x86_64-w64-mingw32/include/ddk/ntifs.h"]),
    },
    Tool {
        name: "the mingw-w64 compiler",
        package: "gcc-mingw-w64-x86-64",
        need: Need::Build,
        probe: Probe::Program("x86_64-w64-mingw32-gcc"),
    },
    Tool {
        name: "Wine",
        package: "wine64",
        need: Need::Wine,
        probe: Probe::File(&["/usr/lib/wine/wine64", "/usr/bin/wine64"]),
    },
    Tool { name: "valgrind", package: "valgrind", need: Need::Bench, probe: Probe::Program("valgrind") },
    Tool {
        name: "QEMU",
        package: "qemu-system-x86",
        need: Need::Interop,
        probe: Probe::Program("qemu-system-x86_64"),
    },
    Tool { name: "gcc", package: "gcc", need: Need::Interop, probe: Probe::Program("gcc") },
    Tool { name: "make", package: "make", need: Need::Interop, probe: Probe::Program("make") },
    Tool { name: "xz", package: "xz-utils", need: Need::Interop, probe: Probe::Program("xz") },
];

/// Every tool there is.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter()
}

/// The tools that `needs` ask for and this machine lacks.
pub(crate) fn missing(needs: &[Need]) -> Vec<&'static Tool> {
    TOOLS
        .iter()
        .filter(|tool| needs.iter().any(|&need| tool.serves(need)) && !tool.probe.succeeds())
        .collect()
}

impl Tool {
    /// Whether `need` cannot do without it.
    pub(crate) fn serves(&self, need: Need) -> bool {
        self.need == need
    }
}

impl Probe {
    fn succeeds(self) -> bool {
        match self {
            Self::Program(name) => find_program(name).is_some(),
            Self::File(places) => places.iter().any(|place| exists(place)),
        }
    }
}

/// Whether a file exists; one folder of `place` may contain a star.
fn exists(place: &str) -> bool {
    let Some((before, after)) = place.split_once('*') else { return Path::new(place).exists() };
    let Some((folder, prefix)) = before.rsplit_once('/') else { return false };
    let rest = after.trim_start_matches('/');
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .any(|entry| entry.path().join(rest).exists())
}
