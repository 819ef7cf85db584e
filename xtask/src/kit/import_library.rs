//! Import libraries of the kernel's modules.
//!
//! The names come from mingw-w64's own libraries, which lld-link cannot read; what is newer than those is listed
//! here.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result};
use duct::cmd;
use object::read::archive::ArchiveFile;

use crate::command;

/// One library on the link line of a driver.
#[derive(Debug, Hash)]
pub(crate) struct ImportLibrary {
    /// Name of the library without extension.
    name: &'static str,
    /// Module that is imported from.
    module: &'static str,
    /// mingw-w64's library with most of the names.
    archive: Option<&'static str>,
    /// Further names.
    names: &'static [&'static str],
}

/// The modules that `wdk-sys` puts on the link line, and two that it does not: `netio` and `ndis`.
pub(crate) const LIBRARIES: &[ImportLibrary] = &[
    ImportLibrary {
        name: "ntoskrnl",
        module: "ntoskrnl.exe",
        archive: Some("libntoskrnl.a"),
        names: &["ExAllocatePool2", "ExFreePool2", "__chkstk"],
    },
    ImportLibrary { name: "hal", module: "hal.dll", archive: Some("libhal.a"), names: &[] },
    ImportLibrary { name: "wmilib", module: "wmilib.sys", archive: Some("libwmilib.a"), names: &[] },
    ImportLibrary { name: "netio", module: "netio.sys", archive: Some("libnetio.a"), names: &[] },
    ImportLibrary { name: "ndis", module: "ndis.sys", archive: Some("libndis.a"), names: &[] },
    ImportLibrary {
        name: "WdfLdr",
        module: "WDFLDR.SYS",
        archive: None,
        names: &["WdfVersionBind", "WdfVersionUnbind", "WdfVersionBindClass", "WdfVersionUnbindClass"],
    },
];

/// Adds everything that this module decides to `hasher`.
pub(crate) fn hash(hasher: &mut impl Hasher) {
    LIBRARIES.hash(hasher);
}

impl ImportLibrary {
    /// Writes the library into `folder`; `archives` is where mingw-w64's libraries are.
    ///
    /// # Errors
    ///
    /// If the archive cannot be read or a tool fails.
    pub(crate) fn make(&self, folder: &Path, archives: &Path) -> Result<()> {
        let library = folder.join(format!("{}.lib", self.name));
        let mut exports: BTreeSet<String> = self.names.iter().map(|&name| name.to_owned()).collect();
        if let Some(archive) = self.archive {
            let path = archives.join(archive);
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            exports.extend(exports_of(&bytes).with_context(|| path.display().to_string())?);
        }
        let definition = folder.join(format!("{}.def", self.name));
        fs::write(&definition, module_definition(self.module, &exports))?;
        let dlltool = cmd!("llvm-dlltool", "-m", "i386:x86-64", "-d", &definition, "-l", &library);
        command::quiet("llvm-dlltool", &dlltool)
    }
}

/// The exports that an import archive stands for, data marked as such.
fn exports_of(archive: &[u8]) -> Result<Vec<String>> {
    let archive = ArchiveFile::parse(archive)?;
    let symbols = archive.symbols()?.context("the archive has no symbol table")?;
    let mut names = BTreeSet::new();
    for symbol in symbols {
        names.insert(String::from_utf8_lossy(symbol?.name()).into_owned());
    }
    // Functions have a thunk of their own name; data can be reached through the import pointer only.
    let imports = names.iter().filter_map(|name| name.strip_prefix("__imp_"));
    let describe = |name: &str| if names.contains(name) { name.to_owned() } else { format!("{name} DATA") };
    Ok(imports.map(describe).collect())
}

fn module_definition(module: &str, exports: &BTreeSet<String>) -> String {
    let mut text = format!("LIBRARY {module}\nEXPORTS\n");
    for export in exports {
        text.push_str(export);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_names_the_module_and_sorts_the_exports() {
        let exports = ["B DATA", "A"].map(str::to_owned).into();
        assert_eq!(module_definition("x.sys", &exports), "LIBRARY x.sys\nEXPORTS\nA\nB DATA\n");
    }

    #[test]
    fn every_library_has_a_name_of_its_own() {
        let names: BTreeSet<_> = LIBRARIES.iter().map(|library| library.name).collect();
        assert_eq!(names.len(), LIBRARIES.len());
    }

    #[test]
    fn garbage_is_not_an_archive() {
        assert!(exports_of(b"not an archive").is_err());
    }
}
