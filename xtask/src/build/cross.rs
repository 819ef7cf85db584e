//! Calling cargo for a Windows target.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::Expression;

use super::Action;
use super::artefact::{Artefact, KERNEL_TARGET, Kind};
use crate::command;
use crate::kit::{C_FLAGS, Kit};
use crate::setup::RustLibraries;
use crate::workspace::Workspace;

/// Everything that a call of cargo for a Windows target needs, found once.
#[derive(Debug)]
pub(crate) struct CrossCargo<'a> {
    workspace: &'a Workspace,
    rust: RustLibraries,
    /// Absent on Windows, where the WDK does its work.
    kit: Option<Kit>,
}

impl<'a> CrossCargo<'a> {
    /// Makes the kit if one is needed.
    ///
    /// # Errors
    ///
    /// If there is no usable compiler or the kit cannot be made.
    pub(crate) fn new(workspace: &'a Workspace) -> Result<Self> {
        let rust = RustLibraries::look(workspace)?;
        let kit = if cfg!(windows) { None } else { Some(Kit::ensure(workspace)?) };
        Ok(Self { workspace, rust, kit })
    }

    /// Builds or checks `rows`, which all are for `target`.
    ///
    /// # Errors
    ///
    /// If cargo fails; its messages have gone to the terminal.
    pub(crate) fn run(&self, action: Action, release: bool, target: &str, rows: &[&Artefact]) -> Result<()> {
        let arguments = self.arguments(action, release, target, rows)?;
        let cargo = duct::cmd(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments);
        let names: Vec<_> = rows.iter().map(|row| row.file).collect();
        command::visible(&format!("building {}", names.join(", ")), &self.environment(cargo))
    }

    fn arguments(
        &self,
        action: Action,
        release: bool,
        target: &str,
        rows: &[&Artefact],
    ) -> Result<Vec<String>> {
        let verb = match action {
            Action::Build => "build",
            Action::Clippy => "clippy",
        };
        let mut arguments = vec![verb.to_owned(), format!("--target={target}")];
        arguments.push(format!("--target-dir={}", self.workspace.cross().display()));
        arguments.extend(release.then(|| "--release".to_owned()));
        for row in rows {
            arguments.push(format!("--package={}", row.package));
            arguments
                .extend(row.features.iter().map(|feature| format!("--features={}/{feature}", row.package)));
        }
        arguments.extend(self.standard_library(target));
        if target == KERNEL_TARGET && self.kit.is_some() {
            arguments.extend(self.stand_in()?);
        }
        arguments.push(format!("--config={}", self.rustflags(target, rows)?));
        if action == Action::Clippy {
            arguments.extend(["--keep-going", "--", "-Dwarnings"].map(str::to_owned));
        }
        Ok(arguments)
    }

    /// How the compiler gets its own libraries: built ones where it has them. For programs nobody has them.
    fn standard_library(&self, target: &str) -> Vec<String> {
        let arguments: &[&str] = match target {
            KERNEL_TARGET if self.rust.target => &[],
            // Without optimisation the compiler's own routines refer to C's mathematics, which no kernel has.
            KERNEL_TARGET => {
                &["-Zbuild-std=core,alloc", "--config=profile.dev.package.compiler_builtins.opt-level=2"]
            }
            _ => &["-Zbuild-std=std,panic_abort"],
        };
        arguments.iter().map(|&argument| argument.to_owned()).collect()
    }

    /// Puts the stand-in for `wdk-build` in place of Microsoft's, which compiles only on Windows. The lock file
    /// is a copy: that of the repository must go on naming Microsoft's.
    fn stand_in(&self) -> Result<[String; 3]> {
        let lock = self.lock_file()?;
        let stand_in = self.workspace.root().join("xtask/wdk-build");
        Ok([
            format!("--config=patch.crates-io.wdk-build.path={}", quote(&stand_in)),
            "-Zlockfile-path".to_owned(),
            format!("--config=resolver.lockfile-path={}", quote(&lock)),
        ])
    }

    /// The copy of the lock file, made anew when the original has changed.
    fn lock_file(&self) -> Result<PathBuf> {
        let folder = self.workspace.cross();
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let original = self.workspace.root().join("Cargo.lock");
        let copy = folder.join("Cargo.lock");
        let copied_from = folder.join("Cargo.lock.original");
        let contents = fs::read(&original).with_context(|| original.display().to_string())?;
        let is_current = copy.exists() && fs::read(&copied_from).is_ok_and(|copied| copied == contents);
        if !is_current {
            fs::write(&copy, &contents).with_context(|| copy.display().to_string())?;
            fs::write(&copied_from, &contents).with_context(|| copied_from.display().to_string())?;
        }
        Ok(copy)
    }

    /// Keeps this machine's folders out of the binaries, so that two machines build the same ones. Images have their indirect
    /// calls checked where the kernel has control flow guard; a library must not ask its clients for what that needs.
    fn rustflags(&self, target: &str, rows: &[&Artefact]) -> Result<String> {
        let mut folders = vec![
            (self.workspace.root().to_owned(), "wskrdma".to_owned()),
            (self.workspace.cross(), "target".to_owned()),
            self.rust.source_name(),
        ];
        // One folder per registry that cargo has used, each named after its host.
        let registries = fs::read_dir(cargo_home()?.join("registry/src")).into_iter().flatten().flatten();
        folders.extend(registries.map(|registry| (registry.path(), "registry".to_owned())));
        folders.sort();
        let remap = |(folder, name): (PathBuf, String)| {
            quote(Path::new(&format!("--remap-path-prefix={}={name}", folder.display())))
        };
        let mut flags: Vec<_> = folders.into_iter().map(remap).collect();
        if rows.iter().any(|row| row.kind == Kind::Image) {
            flags.push(quote(Path::new("-Ccontrol-flow-guard")));
        }
        Ok(format!("target.{target}.rustflags=[{}]", flags.join(",")))
    }

    fn environment(&self, cargo: Expression) -> Expression {
        // The stable compiler then takes the -Z options above.
        let cargo = cargo.dir(self.workspace.root()).env("RUSTC_BOOTSTRAP", "1");
        let Some(kit) = &self.kit else { return cargo };
        let tools = [
            // Where an image finds the library that it links.
            ("WSKRDMA_DIST", self.workspace.dist().display().to_string()),
            ("CARGO_TARGET_X86_64_WIN7_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc".to_owned()),
            ("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER", "lld-link".to_owned()),
            ("CC_x86_64_pc_windows_msvc", "clang".to_owned()),
            ("CFLAGS_x86_64_pc_windows_msvc", C_FLAGS.to_owned()),
            ("AR_x86_64_pc_windows_msvc", "llvm-ar".to_owned()),
        ];
        tools.into_iter().chain(kit.environment()).fold(cargo, |cargo, (name, value)| cargo.env(name, value))
    }
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(env::home_dir().context("this user has no home folder")?.join(".cargo"))
}

/// `path` as a string of TOML.
fn quote(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}
