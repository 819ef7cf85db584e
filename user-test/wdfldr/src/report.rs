//! Saying that a rule was broken, and stopping there.

use core::ffi::CStr;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::nt;

/// Longest line, with its end.
const LINE: usize = 256;

struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Two bytes stay for the line feed and the end of the string.
        for &byte in text.as_bytes() {
            let Some(place) = self.bytes.get_mut(self.length).filter(|_| self.length < LINE - 2) else {
                break;
            };
            *place = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Prints a line for a debugger.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    const FORMAT: &CStr = c"%s";
    let mut line = Line { bytes: [0; LINE], length: 0 };
    // Writing a line never fails: it is cut.
    let _ = line.write_fmt(text);
    if let Some(place) = line.bytes.get_mut(line.length) {
        *place = b'\n';
    }
    // SAFETY: the format takes one string, and the line ends in a zero byte.
    unsafe { nt::DbgPrint(FORMAT.as_ptr(), line.bytes.as_ptr()) };
}

/// Tells a debugger, or a log, which rule the driver has broken, and stops.
pub(crate) fn stop(text: fmt::Arguments<'_>) -> ! {
    print(format_args!("wdfldr: ERROR: {text}"));
    loop {
        // SAFETY: a breakpoint; without a debugger the process dies of it, which is meant.
        unsafe { core::arch::asm!("int3") };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    stop(format_args!("this test double panicked: {info}"))
}

/// Prints and stops; for rules of the framework that the driver under test has broken.
macro_rules! broken {
    ($($text:tt)+) => { $crate::report::stop(format_args!($($text)+)) };
}
pub(crate) use broken;

/// Prints.
macro_rules! say {
    ($($text:tt)+) => { $crate::report::print(format_args!($($text)+)) };
}
pub(crate) use say;
