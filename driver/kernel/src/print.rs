//! Text for a kernel debugger (`DbgPrintEx`), cut at a fixed length.

use core::fmt::{self, Write};

use crate::raw;

/// The longest text in bytes that one call prints; `DbgPrintEx` itself cuts at 512.
pub const MAX_TEXT: usize = 254;

/// The component mask that turns the text on in a debugger: `DPFLTR_IHVNETWORK_ID` (`dpfilter.h`).
const COMPONENT: u32 = 80;

/// How important a text is (`DPFLTR_xxx_LEVEL`, `dpfilter.h`): only errors are shown unless the debugger asks for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Something failed that should not.
    Error = 0,
    /// Something is odd.
    Warning = 1,
    /// A step of a normal course.
    Trace = 2,
    /// Worth knowing.
    Info = 3,
}

/// Prints formatted text at a level: `dbg_print!(Level::Error, "no adapter: {status:#x}")`. IRQL ≤ DISPATCH_LEVEL.
///
/// For events a peer or client can repeat at will, count instead.
#[macro_export]
macro_rules! dbg_print {
    ($level:expr, $($text:tt)+) => {
        $crate::print::print($level, ::core::format_args!($($text)+))
    };
}

/// What [`dbg_print!`](crate::dbg_print) calls.
pub fn print(level: Level, text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; MAX_TEXT + 2], len: 0 };
    // A text that is too long ends in an error here, and what fits is printed.
    let _ = line.write_fmt(text);
    line.end();
    // SAFETY: the bytes end in a zero byte and live during the call.
    unsafe { raw::debug_print(COMPONENT, level as u32, line.bytes.as_ptr()) };
}

/// Room for one text, a line feed and the terminating zero byte.
struct Line {
    bytes: [u8; MAX_TEXT + 2],
    len: usize,
}

impl Line {
    fn end(&mut self) {
        if let Some(byte) = self.bytes.get_mut(self.len) {
            *byte = b'\n';
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = text.len().min(MAX_TEXT - self.len);
        let to = self.bytes.get_mut(self.len..self.len + fits).ok_or(fmt::Error)?;
        to.copy_from_slice(text.as_bytes().get(..fits).ok_or(fmt::Error)?);
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests;
