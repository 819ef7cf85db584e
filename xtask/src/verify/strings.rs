//! Searching a binary for text.

/// How much of what surrounds a find is shown, in bytes.
const SHOWN: usize = 80;

/// Which of `needles` are in `bytes`, as ASCII or as UTF-16, each with the text around its first place.
pub(crate) fn find(bytes: &[u8], needles: &[impl AsRef<str>]) -> Vec<String> {
    let mut found = Vec::new();
    for needle in needles.iter().map(AsRef::as_ref) {
        let wide: Vec<u8> = needle.encode_utf16().flat_map(u16::to_le_bytes).collect();
        if let Some(place) = position(bytes, needle.as_bytes()) {
            found.push(format!("contains {needle:?} in {:?}", around(bytes, place)));
        } else if position(bytes, &wide).is_some() {
            found.push(format!("contains {needle:?} as UTF-16"));
        }
    }
    found
}

/// Where `needle` first is.
fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len().max(1)).position(|window| window == needle)
}

/// The printable text from `place` on.
fn around(bytes: &[u8], place: usize) -> String {
    let rest = bytes.get(place..).unwrap_or_default();
    rest.iter()
        .take(SHOWN)
        .take_while(|byte| (b' '..=b'~').contains(byte))
        .map(|&byte| char::from(byte))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_are_searched() {
        assert_eq!(find(b"\0abc/def\0", &["c/d"]), ["contains \"c/d\" in \"c/def\""]);
        assert_eq!(find(b"\0a\0b\0", &["ab"]), ["contains \"ab\" as UTF-16"]);
        assert!(find(b"a\0b", &["ab"]).is_empty());
        assert!(find(b"", &["ab"]).is_empty());
    }
}
