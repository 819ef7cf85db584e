//! Counted strings for the framework.

use wdk_sys::UNICODE_STRING;

/// `text` as a counted string. The framework copies what it keeps.
pub(super) fn counted(text: &'static [u16]) -> UNICODE_STRING {
    // Every name here is a literal of a few dozen characters.
    let length = u16::try_from(size_of_val(text)).unwrap_or(0);
    UNICODE_STRING { Length: length, MaximumLength: length, Buffer: text.as_ptr().cast_mut() }
}
