//! Where things are in this repository and in its target folder.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository and the folder that builds go to.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The repository that holds this program's source.
    pub fn find() -> Result<Self> {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest.parent().context("the xtask crate has no parent folder")?.to_owned();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = std::path::absolute(target).context("CARGO_TARGET_DIR")?;
        Ok(Self { root, target })
    }

    /// The repository's top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that builds go to.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What a user takes away: images, library, header, program.
    pub fn dist(&self) -> PathBuf {
        self.target.join("dist")
    }

    /// The stand-in for an installed WDK.
    pub fn kit(&self) -> PathBuf {
        self.target.join("kit")
    }

    /// Target folder of the cross builds: they differ from a host build in lock file and environment, and would
    /// rebuild it.
    pub fn cross(&self) -> PathBuf {
        self.target.join("cross")
    }

    /// Programs that cargo builds for this machine.
    pub fn native(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// Downloads and stamps of `setup`, templates of Wine prefixes.
    pub fn state(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }

    /// The compiler version pinned in `rust-toolchain.toml`.
    pub fn rust_version(&self) -> Result<String> {
        let file = self.read_toml("rust-toolchain.toml")?;
        let channel = file.get("toolchain").and_then(|toolchain| toolchain.get("channel"));
        let channel =
            channel.and_then(toml::Value::as_str).context("rust-toolchain.toml names no channel")?;
        Ok(channel.to_owned())
    }

    /// The driver model set in the workspace manifest for `wdk-build`.
    pub fn driver_model(&self) -> Result<DriverModel> {
        let manifest = self.read_toml("Cargo.toml")?;
        let model = ["workspace", "metadata", "wdk", "driver-model"]
            .iter()
            .try_fold(&manifest, |table, key| table.get(key))
            .context("Cargo.toml has no [workspace.metadata.wdk.driver-model]")?;
        let number = |key: &str| {
            let value = model.get(key).and_then(toml::Value::as_integer);
            value.with_context(|| format!("[workspace.metadata.wdk.driver-model] has no number {key}"))
        };
        Ok(DriverModel {
            major: number("kmdf-version-major")?,
            target_minor: number("target-kmdf-version-minor")?,
            minimum_minor: number("minimum-kmdf-version-minor")?,
        })
    }

    fn read_toml(&self, name: &str) -> Result<toml::Value> {
        let path = self.root.join(name);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// Versions of KMDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverModel {
    /// Major version of headers and framework.
    pub major: i64,
    /// Minor version whose headers are used.
    pub target_minor: i64,
    /// Oldest minor version at run time.
    pub minimum_minor: i64,
}
