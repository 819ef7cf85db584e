//! Linker arguments of a kernel library: it has no entry point, its exports are all it is loaded for.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WDKContentRoot");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("windows") {
        return;
    }
    // `cargo xtask build` generates the kit with the import library of the kernel.
    if let Ok(kit) = env::var("WDKContentRoot") {
        println!("cargo::rustc-link-search=native={kit}/Lib");
    }
    let arguments = [
        "/DRIVER",
        "/NODEFAULTLIB",
        "/SUBSYSTEM:NATIVE",
        "/NOENTRY",
        "/OPT:REF,ICF",
        "/Brepro",
        // What control flow guard needs.
        "BufferOverflowFastFailK.lib",
    ];
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
