//! What an image and its symbols are known by.
//!
//! The linker takes both the identifier and the time stamp from its symbol file, which holds the names of folders and
//! of temporary files, so two builds of one source would differ by it. Here they are taken from the image's own
//! contents. A debugger goes on matching image and symbols: the new identifier is put into both.

use std::fs;
use std::mem::offset_of;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::LittleEndian;
use object::pe::{
    IMAGE_DEBUG_TYPE_CODEVIEW, IMAGE_DIRECTORY_ENTRY_DEBUG, ImageDebugDirectory, ImageDosHeader,
    ImageFileHeader, ImageNtHeaders64,
};
use object::read::ReadRef;
use object::read::pe::ImageNtHeaders;
use sha2::{Digest, Sha256};

/// Bytes of a GUID.
const GUID: usize = 16;
/// Bytes of a time stamp.
const STAMP: usize = 4;
/// What a reference to a symbol file begins with; the identifier follows.
const SIGNATURE: &[u8] = b"RSDS";

/// Gives `image` an identifier and time stamps that depend on nothing but its contents, and the symbol file at
/// `symbols` the same identifier.
///
/// # Errors
///
/// If this is no 64-bit image, or the symbols are another image's.
pub(crate) fn settle(image: &mut [u8], symbols: Option<&Path>) -> Result<()> {
    let places = Places::find(image)?;
    let old = places.guid.and_then(|at| image.get(at..at + GUID)).map(<[u8]>::to_vec);
    let zeros = [0; GUID];
    places.write(image, &zeros, &zeros)?;
    let digest = Sha256::digest(&*image);
    let (guid, stamp) = digest.split_at(GUID);
    places.write(image, guid, stamp)?;
    if let (Some(old), Some(symbols)) = (old, symbols) {
        let mut bytes = fs::read(symbols).with_context(|| symbols.display().to_string())?;
        replace_once(&mut bytes, &old, guid).with_context(|| symbols.display().to_string())?;
        fs::write(symbols, bytes).with_context(|| symbols.display().to_string())?;
    }
    Ok(())
}

/// Offsets in an image.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    stamps: Vec<usize>,
    guid: Option<usize>,
}

impl Places {
    fn find(image: &[u8]) -> Result<Self> {
        let dos = ImageDosHeader::parse(image)?;
        let mut offset = u64::from(dos.nt_headers_offset());
        let headers = usize::try_from(offset)?;
        let (nt, directories) = ImageNtHeaders64::parse(image, &mut offset)?;
        let file_header = headers + offset_of!(ImageNtHeaders64, file_header);
        let mut places =
            Self { stamps: vec![file_header + offset_of!(ImageFileHeader, time_date_stamp)], guid: None };
        if let Some(debug) = directories.get(IMAGE_DIRECTORY_ENTRY_DEBUG) {
            let (start, length) = debug.file_range(&nt.sections(image, offset)?)?;
            let end = usize::try_from(start + length)?;
            for entry in (usize::try_from(start)?..end).step_by(size_of::<ImageDebugDirectory>()) {
                places.add(image, entry)?;
            }
        }
        Ok(places)
    }

    /// Adds an entry of the debug directory.
    fn add(&mut self, image: &[u8], at: usize) -> Result<()> {
        self.stamps.push(at + offset_of!(ImageDebugDirectory, time_date_stamp));
        let entry = image.read_at::<ImageDebugDirectory>(u64::try_from(at)?).ok();
        let entry = entry.context("the debug directory is cut off")?;
        if entry.typ.get(LittleEndian) == IMAGE_DEBUG_TYPE_CODEVIEW {
            let data = usize::try_from(entry.pointer_to_raw_data.get(LittleEndian))?;
            if image.get(data..data + SIGNATURE.len()) != Some(SIGNATURE) {
                bail!("the reference to the symbols has an unknown form");
            }
            self.guid = Some(data + SIGNATURE.len());
        }
        Ok(())
    }

    fn write(&self, image: &mut [u8], guid: &[u8], stamp: &[u8]) -> Result<()> {
        let stamps = self.stamps.iter().map(|&at| (at, stamp, STAMP));
        for (at, bytes, length) in stamps.chain(self.guid.map(|at| (at, guid, GUID))) {
            let place = image.get_mut(at..at + length).context("the image is cut off")?;
            place.copy_from_slice(bytes.get(..length).context("too few bytes")?);
        }
        Ok(())
    }
}

/// Replaces the one occurrence of `old`.
fn replace_once(bytes: &mut [u8], old: &[u8], new: &[u8]) -> Result<()> {
    let found: Vec<_> = bytes.windows(old.len()).enumerate().filter(|(_, window)| *window == old).collect();
    let [(at, _)] = found.as_slice() else {
        bail!("the symbols carry the image's identifier {} times", found.len());
    };
    let at = *at;
    let place = bytes.get_mut(at..at + new.len()).context("the file is cut off")?;
    place.copy_from_slice(new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_must_be_there_once() {
        let mut bytes = *b"..old..";
        replace_once(&mut bytes, b"old", b"new").expect("once");
        assert_eq!(&bytes, b"..new..");
        assert!(replace_once(&mut bytes, b"old", b"new").is_err());
        let mut twice = *b"oldold";
        assert!(replace_once(&mut twice, b"old", b"new").is_err());
    }

    #[test]
    fn what_is_no_image_has_no_identity() {
        assert!(settle(&mut [0; 512], None).is_err());
    }

    #[test]
    fn stamps_and_identifier_are_written_where_they_were_found() {
        let places = Places { stamps: vec![0, 8], guid: Some(12) };
        let mut image = [0; 28];
        places.write(&mut image, &[7; GUID], &[1, 2, 3, 4, 5]).expect("room");
        assert_eq!(image[..12], [1, 2, 3, 4, 0, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(image[12..], [7; GUID]);
        assert!(places.write(&mut image[..20], &[7; GUID], &[0; GUID]).is_err());
    }
}
