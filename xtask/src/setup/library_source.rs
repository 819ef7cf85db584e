//! The sources of Rust's standard library from Debian's package `rust-src`.
//!
//! The release that has the pinned version is newer than the one this machine runs, so its list of packages is
//! read into a folder of our own: the machine's configuration and its list of packages stay as they are, and no
//! rights are needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::machine::Machine;
use crate::command;
use crate::workspace::Workspace;

/// Suite of Debian that carries the pinned compiler.
const SUITE: &str = "trixie-backports";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Puts the sources where the pinned compiler looks for them.
///
/// # Errors
///
/// If there is no mirror, the package has another version, or the compiler's folder cannot be written.
pub(crate) fn install(workspace: &Workspace, machine: &Machine) -> Result<()> {
    let version = workspace.rust_version()?;
    let folder = workspace.state("rust-src");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let unpacked = download(&folder, &version)?;
    place(&unpacked, &machine.rust.source_folder())?;
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

/// The mirror that a listing of apt's index targets names first, leaving out the one for security updates.
pub(crate) fn mirror(targets: &str) -> Option<&str> {
    targets.lines().map(str::trim).find(|line| !line.is_empty() && !line.contains("security"))
}

fn download(folder: &Path, version: &str) -> Result<PathBuf> {
    let targets = cmd!("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages");
    let targets = command::output("apt-get indextargets", &targets)?;
    let mirror = mirror(&targets).context("apt has no package mirror configured")?;

    let lists = folder.join("lists");
    let cache = folder.join("cache");
    for needed in [lists.join("partial"), cache.join("archives/partial")] {
        fs::create_dir_all(&needed).with_context(|| needed.display().to_string())?;
    }
    let sources = folder.join("sources.list");
    fs::write(&sources, format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main\n"))?;

    let apt = |arguments: &[&str]| {
        let options = [
            format!("-oDir::Etc::SourceList={}", sources.display()),
            "-oDir::Etc::SourceParts=-".to_owned(),
            format!("-oDir::State::Lists={}", lists.display()),
            format!("-oDir::Cache={}", cache.display()),
            // The unprivileged user that apt downloads as cannot write into a private folder.
            "-oAPT::Sandbox::User=".to_owned(),
        ];
        let arguments = options.into_iter().chain(arguments.iter().map(|&argument| argument.to_owned()));
        command::quiet("apt-get", &cmd("apt-get", arguments).dir(folder))
    };
    apt(&["update"])?;
    apt(&["download", &format!("rust-src={version}*")])?;

    let package = find(folder, |name| name.ends_with(".deb")).context("apt downloaded no package")?;
    let unpacked = folder.join("unpacked");
    command::quiet("dpkg", &cmd!("dpkg", "-x", &package, &unpacked))?;
    let sources = unpacked.join("usr/src");
    let compiler = find(&sources, |name| name.starts_with("rustc-")).context("rust-src has no sources")?;
    Ok(compiler.join("library"))
}

/// Copies first and renames last: an interrupted copy must not look like an installed library.
fn place(library: &Path, destination: &Path) -> Result<()> {
    if !library.join("std/Cargo.toml").is_file() {
        bail!("{} holds no standard library", library.display());
    }
    let parent = destination.parent().context("the compiler's folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot write to {}", parent.display()))?;
    let partial = destination.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
    }
    command::quiet("cp", &cmd!("cp", "-R", library, &partial))?;
    fs::rename(&partial, destination).with_context(|| destination.display().to_string())
}

fn find(folder: &Path, matches: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries.flatten().find(|entry| matches(&entry.file_name().to_string_lossy())).map(|entry| entry.path())
}
