//! A panic is a bug in this driver: the machine stops before memory is damaged.

use core::panic::PanicInfo;

use kernel::bugcheck::{DRIVER_VIOLATION, FIRST_FREE, bugcheck};
use kernel::dbg_print;
use kernel::print::Level;

/// First parameter of the bug check: a Rust panic. The others are the file's name, its length and the line.
const PANIC: usize = FIRST_FREE;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    dbg_print!(Level::Error, "wskrdma: {info}");
    let (file, line) = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    bugcheck(DRIVER_VIOLATION, PANIC, file.as_ptr().addr(), file.len(), line as usize)
}
