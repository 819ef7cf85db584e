//! Running the images under Wine.
//!
//! ```text
//! let prefix = Prefix::create(&workspace, &folder)?;       // a copy of a template; a moment
//! let session = prefix.start(Linger::Seconds(60))?;        // everything is ended when it is dropped
//! session.install_image(&dist.join("wskrdma.sys"))?;
//! session.create_service("wskrdma")?;
//! session.set_parameter("wskrdma", "SoftwareAdapter", 1)?;
//! session.start_service("wskrdma")?;
//! let finished = session.run(&dist.join("wskrdma-test.exe"), &["status"], Duration::from_secs(20))?;
//! assert!(session.debug_output()?.errors().is_empty());
//! ```

pub mod command;
mod debug_output;
mod prefix;
mod service;
mod session;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::find_program;

pub use debug_output::DebugOutput;
pub use prefix::Prefix;
pub use session::{Finished, Linger, Session};

/// Where Debian puts the binaries that take a 64-bit prefix without a 32-bit part.
const FOLDER: &str = "/usr/lib/wine";

/// The programs of an installed Wine.
#[derive(Debug, Clone)]
struct Wine {
    loader: PathBuf,
    server: PathBuf,
}

impl Wine {
    /// Finds them; `setup` has installed them.
    fn find() -> Result<Self> {
        let find = |names: [&str; 2]| {
            let in_folder = |name: &&str| Some(Path::new(FOLDER).join(name)).filter(|path| path.is_file());
            names.iter().find_map(in_folder).or_else(|| names.iter().find_map(|name| find_program(name)))
        };
        Ok(Self {
            loader: find(["wine64", "wine"]).context("Wine is not installed")?,
            server: find(["wineserver64", "wineserver"]).context("Wine's server is not installed")?,
        })
    }
}
