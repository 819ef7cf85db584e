//! Asks `wdk-build` for the linker arguments of a KMDF driver; see the feature `image`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "image")]
    wdk_build::configure_wdk_binary_build()?;
    Ok(())
}
