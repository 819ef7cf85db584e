//! The checks of a kernel image.
//!
//! The rules are those of the PE format, of Microsoft's linker defaults for drivers and of hypervisor-protected code integrity
//! (bug checks 0xC4/0x2003 to 0x2005).

mod checks;
#[cfg(test)]
mod fixture;
mod guard;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use object::LittleEndian;
use object::pe::{ImageOptionalHeader64, ImageSectionHeader};
use object::read::pe::{ImageNtHeaders, PeFile64};

use super::policy::ImagePolicy;

pub(crate) use checks::CHECKS;

/// An image that has been taken apart.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    bytes: &'a [u8],
    pe: PeFile64<'a>,
    policy: &'a ImagePolicy,
    folders: &'a [String],
}

/// A check.
#[derive(Debug)]
pub(crate) struct Check {
    /// What has to be so.
    pub(crate) name: &'static str,
    /// Whether it concerns only what users install.
    pub(crate) only_shipped: bool,
    find: fn(&Image<'_>) -> Result<Vec<String>>,
}

impl Check {
    /// What is wrong with `image`.
    pub(crate) fn findings(&self, image: &Image<'_>) -> Vec<String> {
        (self.find)(image).unwrap_or_else(|error| vec![format!("{error:#}")])
    }
}

impl<'a> Image<'a> {
    /// Takes `bytes` apart. `folders` must not be named in it.
    ///
    /// # Errors
    ///
    /// If it is no 64-bit image.
    pub(crate) fn parse(bytes: &'a [u8], policy: &'a ImagePolicy, folders: &'a [String]) -> Result<Self> {
        let pe = PeFile64::parse(bytes).context("not a 64-bit image")?;
        Ok(Self { bytes, pe, policy, folders })
    }

    fn optional_header(&self) -> &'a ImageOptionalHeader64 {
        self.pe.nt_headers().optional_header()
    }

    fn sections(&self) -> impl Iterator<Item = &'a ImageSectionHeader> {
        self.pe.section_table().iter()
    }

    /// Size of the data that directory `index` describes.
    fn directory_size(&self, index: usize) -> u32 {
        self.pe.data_directory(index).map_or(0, |directory| directory.size.get(LittleEndian))
    }
}

/// A section's name.
fn name_of(section: &ImageSectionHeader) -> String {
    String::from_utf8_lossy(section.raw_name()).into_owned()
}
