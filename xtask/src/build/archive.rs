//! What ships of a static library: the one member that a client needs.
//!
//! rustc packs its own support code into the archive. A client whose code calls `memcpy` would pull that in, and
//! with it symbols that no kernel has. The member that defines the library's functions needs nothing but the
//! kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use duct::cmd;
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol};

use crate::command;

/// A function that the library is about.
const DEFINES: &str = "WskRegister";

/// What the library may leave to the client's linker: exports of the kernel, and nothing else.
const KERNEL_FUNCTIONS: &[&str] = &[
    "ExAllocatePoolWithTag",
    "ExFreePoolWithTag",
    "IoAllocateIrp",
    "IoFreeIrp",
    "IoGetRelatedDeviceObject",
    "IofCallDriver",
    "KeInitializeEvent",
    "KeSetEvent",
    "KeWaitForSingleObject",
    "ObReferenceObjectByHandle",
    "ObfDereferenceObject",
    "ZwClose",
    "ZwOpenFile",
    "ZwQueryVolumeInformationFile",
];

/// Writes the library that ships to `destination`.
///
/// # Errors
///
/// If no member, or more than one, defines the library's functions, or it needs something that no kernel has.
pub(crate) fn reduce(source: &Path, destination: &Path) -> Result<()> {
    let bytes = fs::read(source).with_context(|| source.display().to_string())?;
    let member = member(&bytes).with_context(|| source.display().to_string())?;
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let object = folder.path().join("wskrdma.obj");
    fs::write(&object, member).with_context(|| object.display().to_string())?;
    if destination.exists() {
        fs::remove_file(destination).with_context(|| destination.display().to_string())?;
    }
    command::quiet("llvm-ar", &cmd!("llvm-ar", "rcsD", destination, &object))
}

/// The member that defines the library's functions.
fn member(archive: &[u8]) -> Result<&[u8]> {
    let mut found = None;
    for member in ArchiveFile::parse(archive)?.members() {
        let data = member?.data(archive)?;
        // Members that are no object files are none of ours.
        let Ok(object) = object::File::parse(data) else { continue };
        if !object.symbols().any(|symbol| symbol.is_definition() && symbol.name() == Ok(DEFINES)) {
            continue;
        }
        if found.replace(data).is_some() {
            bail!("more than one member defines {DEFINES}");
        }
        check_needs(&object)?;
    }
    found.with_context(|| format!("no member defines {DEFINES}"))
}

fn check_needs(object: &object::File<'_>) -> Result<()> {
    let mut strange = BTreeSet::new();
    for symbol in object.symbols().filter(ObjectSymbol::is_undefined) {
        let name = symbol.name()?;
        if !name.is_empty() && !KERNEL_FUNCTIONS.contains(&name) {
            strange.insert(name.to_owned());
        }
    }
    if !strange.is_empty() {
        let names: Vec<_> = strange.into_iter().collect();
        bail!("the library would make clients need {}", names.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_without_the_function_is_refused() {
        let error = member(b"!<arch>\n").map(<[u8]>::len).unwrap_err();
        assert!(error.to_string().contains("no member defines WskRegister"), "{error}");
    }

    #[test]
    fn garbage_is_refused() {
        assert!(member(b"garbage").is_err());
    }
}
