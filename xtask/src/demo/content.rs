//! Files: made up, hashed.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Writes `length` bytes that do not repeat to `path`, always the same ones.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn make(path: &Path, length: u64) -> Result<PathBuf> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut file = BufWriter::new(file);
    io::copy(&mut Noise(0x9E37_79B9_7F4A_7C15).take(length), &mut file)?;
    file.flush()?;
    Ok(path.to_owned())
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
///
/// If the file cannot be read.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let name = || path.display().to_string();
    let mut file = File::open(path).with_context(name)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer).with_context(name)?;
        if length == 0 {
            break;
        }
        digest.update(buffer.get(..length).unwrap_or_default());
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Marsaglia's xorshift, for ever.
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for piece in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let bytes = self.0.to_le_bytes();
            piece.copy_from_slice(bytes.get(..piece.len()).unwrap_or_default());
        }
        Ok(buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_file_has_its_length_and_is_always_the_same() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let digest = |name: &str, length| {
            let path = make(&folder.path().join(name), length).expect("a writable folder");
            assert_eq!(path.metadata().expect("a file").len(), length);
            sha256(&path).expect("a readable file")
        };
        assert_eq!(digest("a", 100_003), digest("b", 100_003));
        assert_ne!(digest("a", 100_003), digest("b", 100_004));
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest("c", 0), of_nothing);
    }
}
