//! A Wine prefix with both drivers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::harness::Harness;
use crate::wine::{Linger, Prefix, Session};
use crate::workspace::Workspace;

/// The driver's service.
pub(crate) const DRIVER: &str = "wskrdma";
/// The test client's service.
pub(crate) const CLIENT: &str = "wskrdma-client";

/// Should this process die, Wine ends by itself after so many seconds without a program.
const LINGER: u32 = 60;

/// How much of what drivers printed is shown with a failure, in lines.
const TAIL: usize = 25;

/// A machine of its own: nothing of it is left when it is dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) session: Session,
    dist: PathBuf,
    // Dropped last: Wine has ended by then.
    _folder: TempDir,
}

/// Lets every program that this thread starts from now on have its memory at fixed addresses.
///
/// Where Wine has no preloader, the kernel sometimes puts the heap of a program to where Wine has to map the data that it shares
/// with every program, and that program does not start. Where the kernel does not let us, it stays at that.
fn fixed_addresses() {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::personality::{self, Persona};
        let _ = personality::get().and_then(|now| personality::set(now | Persona::ADDR_NO_RANDOMIZE));
    }
}

/// A folder that is removed when it is dropped, where prefixes can share files with the template.
///
/// # Errors
///
/// If it cannot be made.
pub(crate) fn folder(workspace: &Workspace) -> Result<TempDir> {
    let parent = workspace.state("machines");
    fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
    tempfile::Builder::new().tempdir_in(&parent).with_context(|| parent.display().to_string())
}

impl Machine {
    /// Starts a machine with the images of `dist` installed and the software adapter on. No driver runs yet.
    ///
    /// # Errors
    ///
    /// If an image is missing or Wine fails.
    pub(crate) fn new(workspace: &Workspace, dist: &Path) -> Result<Self> {
        let machine = Self::empty(workspace, dist)?;
        machine.install(DRIVER, &dist.join("wskrdma.sys"))?;
        machine.session.set_driver_parameters(DRIVER)?;
        machine.install(CLIENT, &dist.join("wskrdma-client.sys"))?;
        Ok(machine)
    }

    /// The same with one rule of policy.
    ///
    /// # Errors
    ///
    /// If an image is missing or Wine fails.
    pub(crate) fn with_policy(workspace: &Workspace, dist: &Path, rule: &str) -> Result<Self> {
        let machine = Self::new(workspace, dist)?;
        machine.session.set_list_parameter(DRIVER, "Policy", rule)?;
        Ok(machine)
    }

    /// Starts a machine on which nothing of ours is installed but the double of KMDF.
    ///
    /// # Errors
    ///
    /// If Wine fails.
    pub(crate) fn empty(workspace: &Workspace, dist: &Path) -> Result<Self> {
        fixed_addresses();
        let folder = folder(workspace)?;
        let prefix = Prefix::create(workspace, &folder.path().join("prefix"))?;
        let session = prefix.start(Linger::Seconds(LINGER))?;
        session.install_image(&dist.join("test/wdfldr.sys"))?;
        Ok(Self { session, dist: dist.to_owned(), _folder: folder })
    }

    /// Makes a service of an image, under the name of the service.
    ///
    /// # Errors
    ///
    /// If the image cannot be read or Wine refuses.
    pub(crate) fn install(&self, service: &str, image: &Path) -> Result<()> {
        let destination = self.session.prefix().drivers().join(format!("{service}.sys"));
        fs::copy(image, destination).with_context(|| image.display().to_string())?;
        self.session.create_service(service)
    }

    /// Starts the driver, then the client.
    ///
    /// # Errors
    ///
    /// If one does not start.
    pub(crate) fn start_drivers(&self) -> Result<()> {
        self.session.start_service(DRIVER)?;
        self.session.start_service(CLIENT)
    }

    /// Stops the client, then the driver.
    ///
    /// # Errors
    ///
    /// If one does not stop.
    pub(crate) fn stop_drivers(&self) -> Result<()> {
        self.session.stop_service(CLIENT)?;
        self.session.stop_service(DRIVER)
    }

    /// The harness program on this machine.
    pub(crate) fn harness(&self) -> Harness {
        let prefix = self.session.prefix();
        Harness::wine(self.dist.join("wskrdma-test.exe"), prefix.loader(), prefix.root())
    }

    /// Fails if a driver has broken a rule of the framework, or something crashed.
    ///
    /// # Errors
    ///
    /// The first thing that happened.
    pub(crate) fn check_quiet(&self) -> Result<()> {
        match self.session.debug_output()?.errors().first() {
            Some(error) => bail!("{error}\n{}", self.last_words()),
            None => Ok(()),
        }
    }

    /// What drivers printed last.
    pub(crate) fn last_words(&self) -> String {
        let printed = self.session.debug_output().map(|output| output.tail(TAIL)).unwrap_or_default();
        if printed.is_empty() {
            "no driver has printed anything".to_owned()
        } else {
            format!("drivers printed last:\n{printed}")
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn programs_started_afterwards_have_their_heap_at_one_place() {
        let heap = || {
            let maps = duct::cmd!("cat", "/proc/self/maps").read().expect("a list of mappings");
            maps.lines().find(|line| line.ends_with("[heap]")).map(str::to_owned)
        };
        fixed_addresses();
        // A container may forbid it.
        if nix::sys::personality::get()
            .is_ok_and(|now| now.contains(nix::sys::personality::Persona::ADDR_NO_RANDOMIZE))
        {
            assert_eq!(heap(), heap());
        }
    }
}
