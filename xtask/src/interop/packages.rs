//! The Debian packages of the guest, downloaded and unpacked into a folder: nothing of them is installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::command;

/// What the guest runs. Their dependencies come with them.
const PROGRAMS: &[&str] =
    &["busybox", "curl", "ibverbs-providers", "iperf", "iproute2", "netcat-traditional", "rdmacm-utils"];

/// Kernel, headers and sources: packages that name those of a version.
const KERNEL: &str = "linux-image-amd64";
const HEADERS: &str = "linux-headers-amd64";
const SOURCE: &str = "linux-source";

/// Unpacked packages.
#[derive(Debug)]
pub(crate) struct Packages {
    /// The guest's programs and all they need.
    pub(crate) programs: PathBuf,
    /// Kernel, its modules, its headers and sources.
    pub(crate) kernel: PathBuf,
    /// The kernel's version, as its folders are called.
    pub(crate) version: String,
}

/// apt with lists, cache and status of its own: the machine's stay as they are, and every dependency is missing.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> Result<Self> {
        for needed in ["lists/partial", "cache/archives/partial"] {
            let needed = folder.join(needed);
            fs::create_dir_all(&needed).with_context(|| needed.display().to_string())?;
        }
        fs::write(folder.join("status"), "")?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let at = |place: &str| self.folder.join(place).display().to_string();
        let options = [
            format!("-oDir::State::Lists={}", at("lists")),
            format!("-oDir::State::Status={}", at("status")),
            format!("-oDir::Cache={}", at("cache")),
            // The unprivileged user that apt downloads as cannot write into a private folder.
            "-oAPT::Sandbox::User=".to_owned(),
            // The machine's lock guards what is installed, and nothing is.
            "-oDebug::NoLocking=1".to_owned(),
        ];
        let arguments = options.into_iter().chain(arguments.iter().map(|&argument| argument.to_owned()));
        command::output(program, &cmd(program, arguments).dir(&self.folder))
    }

    fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        Ok(dependencies(&self.run("apt-cache", &["depends", package])?))
    }

    /// The package of one version that `package` stands for.
    fn versioned(&self, package: &str) -> Result<String> {
        let prefix = package.trim_end_matches("-amd64");
        let found = self.dependencies(package)?.into_iter().find(|name| name.starts_with(prefix));
        found.with_context(|| format!("{package} names no version"))
    }
}

/// The names in the answer of `apt-cache depends`.
fn dependencies(answer: &str) -> Vec<String> {
    let names = answer.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::to_owned).collect()
}

/// Downloads and unpacks into `folder`.
///
/// # Errors
///
/// If there is no apt, no mirror, or a package is not there.
pub(crate) fn get(folder: &Path) -> Result<Packages> {
    let apt = Apt::new(&folder.join("apt"))?;
    apt.run("apt-get", &["update"])?;
    let programs = folder.join("programs");
    let download = ["install", "--download-only", "--yes", "--no-install-recommends"];
    apt.run("apt-get", &[&download, PROGRAMS].concat())?;
    unpack(&apt.folder.join("cache/archives"), &programs)?;

    let image = apt.versioned(KERNEL)?;
    let headers = apt.versioned(HEADERS)?;
    let mut packages = vec![apt.versioned(SOURCE)?];
    // The compiler is the machine's: `linux-*` are what the build includes and runs.
    packages.extend(apt.dependencies(&headers)?.into_iter().filter(|name| name.starts_with("linux-")));
    packages.extend([image.clone(), headers]);
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    // Into apt's own folder.
    apt.run("apt-get", &[&["download"], names.as_slice()].concat())?;
    let kernel = folder.join("kernel");
    unpack(&apt.folder, &kernel)?;
    let version = image.strip_prefix("linux-image-").context("a kernel with another name")?.to_owned();
    Ok(Packages { programs, kernel, version })
}

fn unpack(packages: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    let mut count = 0;
    for entry in fs::read_dir(packages).with_context(|| packages.display().to_string())? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            command::quiet("dpkg", &cmd!("dpkg", "-x", &package, to))?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("apt downloaded no package into {}", packages.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_depends_on_is_read() {
        let answer = "linux-headers-6.1.0-56-amd64\n  Depends: linux-headers-6.1.0-56-common\n  Depends: linux-kbuild-6.1\n  Recommends: nothing\n";
        assert_eq!(dependencies(answer), ["linux-headers-6.1.0-56-common", "linux-kbuild-6.1"]);
    }
}
