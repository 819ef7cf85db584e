//! The panic handler that the language asks of every archive.
//!
//! It is alone in its module, and so in its member of the archive: nothing here can panic, so no linker takes
//! it, and a client written in Rust brings its own without a clash.

/// Stops for good. Nothing in this crate can get here.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
