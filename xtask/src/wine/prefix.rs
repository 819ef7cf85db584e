//! Wine prefixes. Making one from nothing takes Wine several seconds, so one is kept as a template and linked
//! from then on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use duct::{Expression, cmd};

use super::Wine;
use super::session::{Linger, Session};
use crate::command;
use crate::progress::step;
use crate::workspace::Workspace;

/// Raised when the template is made differently.
const TEMPLATE_VERSION: u32 = 1;

/// A Wine prefix: one Windows machine.
#[derive(Debug, Clone)]
pub struct Prefix {
    wine: Wine,
    root: PathBuf,
}

impl Prefix {
    /// The prefix in `root`, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// If Wine fails, or `root` holds something else.
    pub fn create(workspace: &Workspace, root: &Path) -> Result<Self> {
        let root = std::path::absolute(root)?;
        let prefix = Self { wine: Wine::find()?, root };
        if prefix.root.join("system.reg").is_file() {
            return Ok(prefix);
        }
        if fs::read_dir(&prefix.root).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is neither empty nor a Wine prefix", prefix.root.display());
        }
        let template = Self::template(workspace, &prefix.wine)?;
        prefix.copy_from(&template.root)?;
        Ok(prefix)
    }

    /// Starts the prefix's services; `linger` says how long they stay without a program.
    ///
    /// # Errors
    ///
    /// If Wine does not come up.
    pub fn start(&self, linger: Linger) -> Result<Session> {
        Session::start(self.clone(), linger)
    }

    /// Ends whatever runs in the prefix.
    ///
    /// # Errors
    ///
    /// If Wine's server cannot be run.
    pub fn stop(&self) -> Result<()> {
        // It fails where nothing runs, which is what is wanted.
        self.server(["-k"]).unchecked().stdout_null().stderr_null().run()?;
        self.server(["-w"]).unchecked().run()?;
        Ok(())
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The program that runs Windows programs.
    pub fn loader(&self) -> &Path {
        &self.wine.loader
    }

    /// Where Windows has drivers.
    pub fn drivers(&self) -> PathBuf {
        self.root.join("drive_c/windows/system32/drivers")
    }

    /// The program that ends whatever runs in the prefix, when called with `-k`.
    pub fn server_program(&self) -> &Path {
        &self.wine.server
    }

    /// A command that runs a Windows program.
    pub(super) fn wine<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Expression {
        self.environment(cmd(&self.wine.loader, arguments)).env("WINEDEBUG", "-all")
    }

    /// The same, with Wine's own messages about crashes and everything that drivers print.
    pub(super) fn talking_wine<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Expression {
        self.environment(cmd(&self.wine.loader, arguments)).env("WINEDEBUG", "-all,err+all,warn+debugstr")
    }

    /// A command for Wine's server.
    pub(super) fn server<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Expression {
        self.environment(cmd(&self.wine.server, arguments))
    }

    fn environment(&self, command: Expression) -> Expression {
        command
            .env("WINEPREFIX", &self.root)
            .env("WINEARCH", "win64")
            // No questions about Mono and Gecko, no menu entries.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml,winemenubuilder.exe=")
            .env_remove("DISPLAY")
    }

    /// The template, made when there is none or Wine has been replaced.
    fn template(workspace: &Workspace, wine: &Wine) -> Result<Self> {
        let template = Self { wine: wine.clone(), root: workspace.state("wine-template") };
        let stamp_file = workspace.state("wine-template.stamp");
        let stamp = stamp(wine)?;
        if fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) {
            return Ok(template);
        }
        step("make a Wine prefix to copy from", || template.boot_template())?;
        fs::write(&stamp_file, stamp).with_context(|| stamp_file.display().to_string())?;
        Ok(template)
    }

    fn boot_template(&self) -> Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        fs::create_dir_all(&self.root)?;
        let quiet = |what: &str, command: Expression| {
            let command = command.stdout_null().stderr_null().stdin_null().unchecked();
            let status = command.run().with_context(|| what.to_owned())?.status;
            if status.success() { Ok(()) } else { bail!("{what} failed") }
        };
        quiet("wineboot", self.wine(["wineboot", "--init"]))?;
        // Nobody is there to close the window of a crash report.
        let no_dialog = ["/v", "ShowCrashDialog", "/t", "REG_DWORD", "/d", "0", "/f"];
        let key = ["reg", "add", "HKCU\\Software\\Wine\\WineDbg"];
        quiet("reg add", self.wine(key.into_iter().chain(no_dialog)))?;
        // The registry is written when the server ends.
        self.stop()
    }

    /// Files below `drive_c` are shared with the template where the file system allows it: Wine replaces what it
    /// changes.
    fn copy_from(&self, template: &Path) -> Result<()> {
        fs::create_dir_all(&self.root).with_context(|| self.root.display().to_string())?;
        let (from, to) = (template.join("drive_c"), self.root.join("drive_c"));
        let linked = cmd!("cp", "-a", "--link", &from, &to).stderr_null().unchecked().run()?;
        if !linked.status.success() {
            command::quiet("cp", &cmd!("cp", "-a", "-T", &from, &to))?;
        }
        for entry in fs::read_dir(template)? {
            let entry = entry?;
            if entry.file_name() != "drive_c" {
                command::quiet("cp", &cmd!("cp", "-a", entry.path(), &self.root))?;
            }
        }
        Ok(())
    }
}

/// Changes when Wine does.
fn stamp(wine: &Wine) -> Result<String> {
    let path = fs::canonicalize(&wine.loader)?;
    let data = path.metadata()?;
    let modified = data.modified()?.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    Ok(format!("{TEMPLATE_VERSION} {} {} {modified}\n", path.display(), data.len()))
}
