//! What this machine has.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::tools::{self, Need, Tool};
use crate::build::artefact::KERNEL_TARGET;
use crate::command;
use crate::workspace::Workspace;

/// How packages may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// This process may do it.
    Root,
    /// `sudo` lets it, without asking for a password.
    Sudo,
    /// Not by this program.
    None,
}

/// What is installed, as far as the decisions depend on it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Tools that are not here.
    pub(crate) missing: Vec<&'static Tool>,
    /// Whether packages can be installed; looked up only if one is missing.
    pub(crate) privilege: Privilege,
    /// Whether `apt-get` exists.
    pub(crate) apt: bool,
    /// Whether `rustup` exists.
    pub(crate) rustup: bool,
    /// Whether Rust's libraries are asked for at all.
    pub(crate) wants_rust: bool,
    /// Rust's libraries for Windows.
    pub(crate) rust: RustLibraries,
}

/// Which forms of Rust's own libraries the compiler can use for a Windows target.
#[derive(Debug, Clone)]
pub(crate) struct RustLibraries {
    sysroot: PathBuf,
    /// The compiler's own commit.
    commit: String,
    /// Built for [`KERNEL_TARGET`].
    pub(crate) target: bool,
    /// As source, for `-Zbuild-std`.
    pub(crate) sources: bool,
}

impl RustLibraries {
    /// Looks into the compiler's folder.
    ///
    /// # Errors
    ///
    /// If there is no compiler, or it is not the pinned one.
    pub(crate) fn look(workspace: &Workspace) -> Result<Self> {
        let rustc = |argument: &str| command::output("rustc", &cmd!("rustc", argument).dir(workspace.root()));
        let pinned = workspace.rust_version()?;
        let about = rustc("-vV")?;
        let line =
            |key: &str| about.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim();
        if line("release:") != pinned {
            let found = line("release:");
            bail!(
                "Rust {pinned} is needed, this is {found}; install it with: rustup toolchain install {pinned}"
            );
        }
        let sysroot = PathBuf::from(rustc("--print=sysroot")?.trim());
        Ok(Self { commit: line("commit-hash:").to_owned(), ..Self::in_sysroot(sysroot) })
    }

    /// Looks into `sysroot`.
    pub(crate) fn in_sysroot(sysroot: PathBuf) -> Self {
        let libraries = sysroot.join("lib/rustlib");
        let target = has_core(&libraries.join(KERNEL_TARGET).join("lib"));
        let sources = libraries.join("src/rust/library/std/Cargo.toml").is_file();
        Self { sysroot, commit: String::new(), target, sources }
    }

    /// The folder that holds the sources, and the name that the compiler's makers gave it in the built libraries.
    pub(crate) fn source_name(&self) -> (PathBuf, String) {
        (self.sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{}", self.commit))
    }

    /// Where the compiler looks for the sources.
    pub(crate) fn source_folder(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }
}

/// Looks at the machine; the expensive questions are asked only if their answer matters.
///
/// # Errors
///
/// If there is no usable Rust compiler.
pub(crate) fn look(workspace: &Workspace, needs: &[Need]) -> Result<Machine> {
    let missing = tools::missing(needs);
    let privilege = if missing.is_empty() { Privilege::None } else { privilege() };
    Ok(Machine {
        privilege,
        missing,
        apt: command::find_program("apt-get").is_some(),
        rustup: command::find_program("rustup").is_some(),
        wants_rust: needs.contains(&Need::Build),
        rust: RustLibraries::look(workspace).context("looking for Rust's libraries")?,
    })
}

fn privilege() -> Privilege {
    let is_root = command::output("id", &cmd!("id", "-u")).is_ok_and(|id| id.trim() == "0");
    if is_root {
        return Privilege::Root;
    }
    let has_sudo = command::find_program("sudo").is_some();
    if has_sudo && command::quiet("sudo", &cmd!("sudo", "-n", "true")).is_ok() {
        return Privilege::Sudo;
    }
    Privilege::None
}

fn has_core(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}
