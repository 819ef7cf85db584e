//! What the linker leaves undone on a kernel image.
//!
//! lld-link writes no checksum, and the loader refuses a driver whose checksum is wrong. And what it identifies the
//! image by depends on where it was built.

use std::fs;
use std::mem::offset_of;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::pe::{IMAGE_NT_OPTIONAL_HDR64_MAGIC, ImageDosHeader, ImageNtHeaders64, ImageOptionalHeader64};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader};

use super::identity;

/// Completes the image at `path` in place, together with its symbols if it has any.
///
/// # Errors
///
/// If the file cannot be read or written, or is no 64-bit image.
pub(crate) fn finish(path: &Path, symbols: Option<&Path>) -> Result<()> {
    let mut image = fs::read(path).with_context(|| path.display().to_string())?;
    identity::settle(&mut image, symbols).with_context(|| path.display().to_string())?;
    set_checksum(&mut image).with_context(|| path.display().to_string())?;
    fs::write(path, image).with_context(|| path.display().to_string())
}

fn set_checksum(image: &mut [u8]) -> Result<()> {
    let field = checksum_offset(image)?;
    let checksum = checksum(image, field);
    let Some(place) = image.get_mut(field..field + size_of::<u32>()) else {
        bail!("the headers are cut off")
    };
    place.copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

fn checksum_offset(image: &[u8]) -> Result<usize> {
    let dos = ImageDosHeader::parse(image)?;
    let mut offset = u64::from(dos.nt_headers_offset());
    let headers = usize::try_from(offset)?;
    let (nt, _) = ImageNtHeaders64::parse(image, &mut offset)?;
    if nt.optional_header().magic() != IMAGE_NT_OPTIONAL_HDR64_MAGIC {
        bail!("not a 64-bit image");
    }
    Ok(headers + offset_of!(ImageNtHeaders64, optional_header) + offset_of!(ImageOptionalHeader64, check_sum))
}

/// The sum that `CheckSumMappedFile` of imagehlp computes: 16-bit words with end-around carry, the field itself
/// left out, plus the length of the file.
fn checksum(image: &[u8], field: usize) -> u32 {
    let mut sum = 0_u32;
    for (index, word) in image.chunks(2).enumerate() {
        if (field..field + size_of::<u32>()).contains(&(index * 2)) {
            continue;
        }
        let low = word.first().copied().unwrap_or(0);
        let high = word.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_le_bytes([low, high]));
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let length = u32::try_from(image.len()).unwrap_or(u32::MAX);
    sum.wrapping_add(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_summed_with_carry_and_the_length_added() {
        assert_eq!(checksum(&[0x01, 0x00, 0x02, 0x00], 100), 3 + 4);
        assert_eq!(checksum(&[0xFF, 0xFF, 0x01, 0x00], 100), 1 + 4);
        assert_eq!(checksum(&[0x01, 0x00, 0x05], 100), 6 + 3);
    }

    #[test]
    fn the_field_itself_does_not_count() {
        let image = [1, 0, 9, 9, 9, 9, 2, 0];
        assert_eq!(checksum(&image, 2), 3 + 8);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(set_checksum(&mut [0; 512]).is_err());
        assert!(set_checksum(&mut []).is_err());
    }
}
