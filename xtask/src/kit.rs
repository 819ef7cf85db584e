//! The kit: what stands in for an installed WDK when the Windows images are built on another system.
//!
//! A folder with the mingw-w64 kernel headers, the project's own `wdf.h` and the import libraries of a KMDF
//! driver. It is generated, and generated again when anything that goes into it changes. On Windows the WDK
//! itself is used.

mod import_library;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use crate::command;
use crate::progress::step;
use crate::workspace::{DriverModel, Workspace};

/// Environment variable that says where the kit is; the WDK uses the same.
pub(crate) const ROOT_VARIABLE: &str = "WDKContentRoot";

/// Flags that make clang compile kernel C for the kit's headers.
pub(crate) const C_FLAGS: &str = "--target=x86_64-w64-windows-gnu -ffreestanding -g0 -w";

/// Sources of the kit in `xtask/kit`.
const SOURCES: [&str; 4] = ["wdf.h", "supplement.h", "entry.c", "guard.s"];

/// Libraries that are made of a source.
const MADE: [(&str, &str); 2] = [("entry.c", "WdfDriverEntry"), ("guard.s", "BufferOverflowFastFailK")];

/// Bumped when this module lays the kit out differently.
const LAYOUT: u32 = 2;

/// A complete kit.
#[derive(Debug)]
pub(crate) struct Kit {
    root: PathBuf,
    model: DriverModel,
}

impl Kit {
    /// Generates the kit unless it is up to date.
    ///
    /// # Errors
    ///
    /// If one of the tools that `setup` installs fails.
    pub(crate) fn ensure(workspace: &Workspace) -> Result<Self> {
        let kit = Self { root: workspace.kit(), model: workspace.driver_model()? };
        let sources = workspace.root().join("xtask/kit");
        let mingw = mingw_folder()?;
        let stamp = stamp(&sources, &mingw, kit.model)?;
        let stamp_file = kit.root.join("stamp");
        if fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) {
            return Ok(kit);
        }
        step("lay out headers and import libraries", || {
            if kit.root.exists() {
                fs::remove_dir_all(&kit.root)?;
            }
            kit.lay_out_headers(&sources, &mingw)?;
            kit.make_libraries(&sources, &mingw)?;
            forget_parsed_headers(&workspace.cross())
        })?;
        fs::write(&stamp_file, stamp).with_context(|| stamp_file.display().to_string())?;
        Ok(kit)
    }

    /// The variables from which the stand-in for `wdk-build` learns of the kit.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        [
            (ROOT_VARIABLE, self.root.display().to_string()),
            ("KMDF_VERSION_MAJOR", self.model.major.to_string()),
            ("KMDF_VERSION_MINOR", self.model.target_minor.to_string()),
            ("KMDF_MINIMUM_VERSION_REQUIRED", self.model.minimum_minor.to_string()),
        ]
    }

    fn wdf_folder(&self) -> PathBuf {
        self.root.join("Include/wdf/kmdf").join(format!("{}.{}", self.model.major, self.model.target_minor))
    }

    fn supplement_folder(&self) -> PathBuf {
        self.root.join("Include/supplement")
    }

    fn lay_out_headers(&self, sources: &Path, mingw: &Path) -> Result<()> {
        for (folder, header) in [(self.wdf_folder(), "wdf.h"), (self.supplement_folder(), "supplement.h")] {
            fs::create_dir_all(&folder)?;
            fs::copy(sources.join(header), folder.join(header)).with_context(|| header.to_owned())?;
        }
        link(&mingw.join("include/ddk"), &self.root.join("Include/km"))?;
        link(&mingw.join("include"), &self.root.join("Include/shared"))
    }

    fn make_libraries(&self, sources: &Path, mingw: &Path) -> Result<()> {
        let folder = self.root.join("Lib");
        fs::create_dir_all(&folder)?;
        for library in import_library::LIBRARIES {
            library.make(&folder, &mingw.join("lib"))?;
        }
        for (source, name) in MADE {
            let object = folder.join(format!("{name}.obj"));
            let clang = cmd("clang", self.clang_arguments(&sources.join(source), &object));
            command::quiet("clang", &clang)?;
            let library = folder.join(format!("{name}.lib"));
            command::quiet("llvm-ar", &cmd!("llvm-ar", "crsD", &library, &object))?;
        }
        Ok(())
    }

    fn clang_arguments(&self, source: &Path, object: &Path) -> Vec<String> {
        let include = self.root.join("Include");
        let folders =
            [self.wdf_folder(), self.supplement_folder(), include.join("km"), include.join("shared")];
        let mut arguments: Vec<String> = C_FLAGS.split(' ').map(str::to_owned).collect();
        arguments.extend(["-O2", "-c", "-o"].map(str::to_owned));
        arguments.push(object.display().to_string());
        arguments.push(source.display().to_string());
        arguments.extend(folders.map(|folder| format!("-I{}", folder.display())));
        let macros = ["_WIN64", "_AMD64_", "AMD64", "_KERNEL_MODE", "_WIN32_WINNT=0x0A00"];
        arguments.extend(macros.map(|name| format!("-D{name}")));
        let versions = self.environment().into_iter().filter(|(name, _)| *name != ROOT_VARIABLE);
        arguments.extend(versions.map(|(name, value)| format!("-D{name}={value}")));
        arguments
    }
}

/// The folder with mingw-w64's `include` and `lib`.
fn mingw_folder() -> Result<PathBuf> {
    let library = cmd!("x86_64-w64-mingw32-gcc", "-print-file-name=libntoskrnl.a");
    let library = command::output("the mingw-w64 compiler", &library)?;
    let library = fs::canonicalize(library.trim()).context("mingw-w64 has no libntoskrnl.a")?;
    let folder = library.parent().and_then(Path::parent);
    Ok(folder.context("mingw-w64 has no folder")?.to_owned())
}

/// Changes whenever the kit has to be made anew.
fn stamp(sources: &Path, mingw: &Path, model: DriverModel) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    LAYOUT.hash(&mut hasher);
    for name in SOURCES {
        let path = sources.join(name);
        fs::read(&path).with_context(|| path.display().to_string())?.hash(&mut hasher);
    }
    import_library::hash(&mut hasher);
    let archive = mingw.join("lib/libntoskrnl.a");
    let data = archive.metadata().with_context(|| archive.display().to_string())?;
    (mingw, data.len(), data.modified()?).hash(&mut hasher);
    (model.major, model.target_minor, model.minimum_minor, C_FLAGS).hash(&mut hasher);
    Ok(format!("{:016x}\n", hasher.finish()))
}

fn link(from: &Path, to: &Path) -> Result<()> {
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(from, to);
    #[cfg(windows)]
    let linked = std::os::windows::fs::symlink_dir(from, to);
    linked.with_context(|| to.display().to_string())
}

/// `wdk-macros` keeps what it read from the headers and never reads them again.
fn forget_parsed_headers(cross: &Path) -> Result<()> {
    let Ok(profiles) = fs::read_dir(cross) else { return Ok(()) };
    for profile in profiles.flatten() {
        let Ok(builds) = fs::read_dir(profile.path().join("build")) else { continue };
        for build in builds.flatten() {
            let parsed = build.path().join("out/wdk_macros_ast_fragments");
            if parsed.exists() {
                fs::remove_dir_all(&parsed).with_context(|| parsed.display().to_string())?;
            }
        }
    }
    Ok(())
}
