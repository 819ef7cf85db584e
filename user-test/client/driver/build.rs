//! Linker arguments of a WDM driver that links `wskrdma.lib`, as any WSK client would.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WDKContentRoot");
    println!("cargo::rerun-if-env-changed=WSKRDMA_DIST");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("windows") {
        return;
    }
    if let Ok(kit) = env::var("WDKContentRoot") {
        println!("cargo::rustc-link-search=native={kit}/Lib");
    }
    // `cargo xtask build` says where it has put the library.
    if let Ok(folder) = env::var("WSKRDMA_DIST") {
        let library = format!("{folder}/wskrdma.lib");
        println!("cargo::rerun-if-changed={library}");
        println!("cargo::rustc-cdylib-link-arg={library}");
    }
    let arguments = [
        "/DRIVER",
        "/NODEFAULTLIB",
        "/SUBSYSTEM:NATIVE",
        "/ENTRY:DriverEntry",
        "/NXCOMPAT",
        "/DYNAMICBASE",
        "/OPT:REF,ICF",
        // What control flow guard needs.
        "BufferOverflowFastFailK.lib",
        "/MANIFEST:NO",
        "/Brepro",
    ];
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
