//! Debugger output: kept, so that tests can read it.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char};

use crate::host::{self, Mutex};
use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;

/// How many lines are kept.
const KEPT: usize = 1024;

/// One call of `DbgPrintEx`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// `DPFLTR_xxx_ID`.
    pub component: u32,
    /// `DPFLTR_xxx_LEVEL`.
    pub level: u32,
    /// The text as it was printed.
    pub text: String,
}

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

/// The latest lines of the whole process, oldest first.
#[must_use]
pub fn lines() -> Vec<Line> {
    host::lock(&LINES).iter().cloned().collect()
}

/// `DbgPrintEx` with one string argument: a variable number of them cannot be defined in Rust.
///
/// # Safety
/// `format` and `text` end in a zero byte.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn DbgPrintEx(
    component: u32,
    level: u32,
    format: *const u8,
    text: *const u8,
) -> u32 {
    // SAFETY: as promised by the caller.
    let format = unsafe { CStr::from_ptr(format.cast::<c_char>()) };
    if format != c"%s" {
        crate::stop!(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            "DbgPrintEx with the format {format:?}: not simulated"
        );
    }
    // SAFETY: as promised by the caller.
    let text = unsafe { CStr::from_ptr(text.cast::<c_char>()) }.to_string_lossy().into_owned();
    let mut lines = host::lock(&LINES);
    if lines.len() == KEPT {
        lines.pop_front();
    }
    lines.push_back(Line { component, level, text });
    0
}
