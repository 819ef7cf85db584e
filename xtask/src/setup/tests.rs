//! The decisions of setup.

use std::fs;

use super::library_source::mirror;
use super::machine::{Machine, Privilege, RustLibraries};
use super::plan::{Step, plan};
use super::tools;
use super::tools::Need;
use crate::build::artefact::KERNEL_TARGET;

fn complete_machine(sysroot: &std::path::Path) -> Machine {
    let libraries = sysroot.join("lib/rustlib");
    fs::create_dir_all(libraries.join("src/rust/library/std")).expect("a writable folder");
    fs::write(libraries.join("src/rust/library/std/Cargo.toml"), "").expect("a writable folder");
    fs::create_dir_all(libraries.join(KERNEL_TARGET).join("lib")).expect("a writable folder");
    fs::write(libraries.join(KERNEL_TARGET).join("lib/libcore-0.rlib"), "").expect("a writable folder");
    Machine {
        missing: Vec::new(),
        privilege: Privilege::None,
        apt: true,
        rustup: true,
        wants_rust: true,
        rust: RustLibraries::in_sysroot(sysroot.to_owned()),
    }
}

fn machine() -> Machine {
    let sysroot = tempfile::tempdir().expect("a temporary folder");
    complete_machine(sysroot.path())
}

/// Two tools of one package and one of another.
fn some_tools() -> Vec<&'static tools::Tool> {
    tools::all().filter(|tool| ["lld", "llvm"].contains(&tool.package)).collect()
}

#[test]
fn a_complete_machine_needs_nothing() {
    assert_eq!(plan(&machine()), Ok(vec![]));
}

#[test]
fn packages_are_installed_once_each_by_who_may() {
    for privilege in [Privilege::Root, Privilege::Sudo] {
        let machine = Machine { missing: some_tools(), privilege, ..machine() };
        assert_eq!(plan(&machine), Ok(vec![Step::InstallPackages(vec!["lld", "llvm"])]));
    }
}

#[test]
fn without_rights_everything_missing_is_named_in_one_message() {
    let machine = Machine { missing: some_tools(), ..machine() };
    let message = plan(&machine).expect_err("no rights").to_string();
    assert_eq!(
        message,
        "missing: lld-link, llvm-dlltool, llvm-ar; \
         install with: sudo apt-get update && sudo apt-get install lld llvm"
    );
}

#[test]
fn root_without_apt_is_told_the_packages() {
    let machine = Machine { missing: some_tools(), privilege: Privilege::Root, apt: false, ..machine() };
    assert!(plan(&machine).expect_err("no apt").to_string().contains("install lld llvm"));
}

#[test]
fn rust_sources_alone_are_enough() {
    let mut machine = machine();
    machine.rust.target = false;
    assert_eq!(plan(&machine), Ok(vec![]));
}

#[test]
fn missing_rust_libraries_are_fetched_built_first_then_as_source() {
    let mut machine = machine();
    machine.rust.target = false;
    machine.rust.sources = false;
    assert_eq!(plan(&machine), Ok(vec![Step::AddRustTarget, Step::AddRustSources]));
    machine.rust.target = true;
    assert_eq!(plan(&machine), Ok(vec![Step::AddRustSources]));
}

#[test]
fn without_rustup_the_sources_come_from_debian() {
    let mut machine = Machine { rustup: false, ..machine() };
    machine.rust.target = false;
    machine.rust.sources = false;
    assert_eq!(plan(&machine), Ok(vec![Step::AddRustSources]));
    machine.apt = false;
    let message = plan(&machine).expect_err("nowhere to get them from").to_string();
    assert!(message.ends_with("install with: rustup component add rust-src"), "{message}");
}

#[test]
fn wine_alone_wants_no_rust_libraries() {
    let mut machine = Machine { wants_rust: false, ..machine() };
    machine.rust.sources = false;
    assert_eq!(plan(&machine), Ok(vec![]));
}

#[test]
fn a_sysroot_shows_what_it_has() {
    let sysroot = tempfile::tempdir().expect("a temporary folder");
    let empty = RustLibraries::in_sysroot(sysroot.path().to_owned());
    assert!(!empty.target && !empty.sources);
    let full = complete_machine(sysroot.path()).rust;
    assert!(full.target && full.sources);
}

#[test]
fn the_mirror_is_the_first_that_is_not_for_security() {
    let targets =
        "http://mirror.test/debian-security/\n\nhttp://mirror.test/debian/\nhttp://other.test/debian/\n";
    assert_eq!(mirror(targets), Some("http://mirror.test/debian/"));
    assert_eq!(mirror("\n"), None);
}

#[test]
fn a_need_asks_only_for_its_own_tools() {
    assert!(tools::all().any(|tool| tool.serves(Need::Wine)));
    assert!(tools::missing(&[]).is_empty());
}
