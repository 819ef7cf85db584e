//! The workspace's crates, as `cargo metadata` tells them.

use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// When a dependency is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By the crate itself.
    Normal,
    /// By its build script.
    Build,
    /// By its tests.
    Test,
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Name of the package.
    pub(crate) name: String,
    /// Folder below the repository, for a crate of the workspace.
    pub(crate) folder: Option<String>,
    /// When it is needed.
    pub(crate) kind: Kind,
}

/// One crate of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Folder below the repository.
    pub(crate) folder: String,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
    /// Root files of its library and programs, below the repository.
    pub(crate) roots: Vec<String>,
    /// Whether `cargo test` without further words runs its tests.
    pub(crate) is_default: bool,
    /// Name of the package.
    pub(crate) name: String,
}

impl Member {
    /// Whether it is part of what users install.
    pub(crate) fn ships(&self) -> bool {
        is_shipped(&self.folder)
    }
}

/// Whether the crate in `folder` is part of what users install.
pub(crate) fn is_shipped(folder: &str) -> bool {
    folder == "driver" || folder.starts_with("driver/")
}

/// Asks cargo about the workspace in `root`.
///
/// # Errors
///
/// If cargo cannot be run or refuses a manifest.
pub(crate) fn read(root: &Path) -> Result<Vec<Member>> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let below = |path: &Path| {
        let path = path.strip_prefix(root).ok()?;
        Some(path.to_string_lossy().replace('\\', "/"))
    };
    let member = |package: &Package| {
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.name.clone(),
            folder: dependency.path.as_ref().and_then(|path| below(path.as_std_path())),
            kind: match dependency.kind {
                DependencyKind::Build => Kind::Build,
                DependencyKind::Development => Kind::Test,
                _ => Kind::Normal,
            },
        });
        let shipping = package.targets.iter().filter(|target| {
            !(target.is_test() || target.is_bench() || target.is_example() || target.is_custom_build())
        });
        Ok(Member {
            folder: below(folder.as_std_path()).context("a member lies in the repository")?,
            dependencies: dependencies.collect(),
            roots: shipping.filter_map(|target| below(target.src_path.as_std_path())).collect(),
            is_default: metadata.workspace_default_members.contains(&package.id),
            name: package.name.to_string(),
        })
    };
    metadata.workspace_packages().into_iter().map(member).collect()
}

/// A crate made up for a test.
#[cfg(test)]
pub(crate) fn made_up(folder: &str, uses: &[&str]) -> Member {
    let dependency = |name: &&str| Dependency {
        name: name.rsplit('/').next().unwrap_or_default().to_owned(),
        folder: name.contains('/').then(|| (*name).to_owned()),
        kind: Kind::Normal,
    };
    Member {
        folder: folder.to_owned(),
        dependencies: uses.iter().map(dependency).collect(),
        roots: vec![format!("{folder}/src/lib.rs")],
        is_default: true,
        name: folder.replace('/', "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn this_workspace_is_read() {
        let workspace = Workspace::find().expect("a repository");
        let members = read(workspace.root()).expect("a workspace");
        let irp = members.iter().find(|member| member.folder == "driver/irp").expect("the IRP manager");
        let uses = |folder: &str, kind| {
            irp.dependencies.iter().any(|used| used.folder.as_deref() == Some(folder) && used.kind == kind)
        };
        assert!(uses("driver/kernel", Kind::Normal) && uses("user-test/ksim", Kind::Test));
        assert_eq!(irp.roots, ["driver/irp/src/lib.rs"]);
        assert!(irp.ships() && irp.is_default);
        let tools = members.iter().find(|member| member.folder == "xtask").expect("this crate");
        assert!(!tools.ships());
        let foreign = tools.dependencies.iter().find(|used| used.name == "anyhow").expect("a dependency");
        assert_eq!(foreign.folder, None);
    }
}
