//! Each check fails on an image that is made to break its rule, and on no other.

use object::pe;

use super::fixture::{Fixture, Place, set_checksum};
use super::{CHECKS, Image};

/// Names of the checks that fail.
fn failing(bytes: &[u8]) -> Vec<&'static str> {
    let policy = Fixture::policy();
    let folders = ["/builder/".to_owned()];
    let image = Image::parse(bytes, &policy, &folders).expect("an image");
    CHECKS.iter().filter(|check| !check.findings(&image).is_empty()).map(|check| check.name).collect()
}

fn failing_with(change: impl FnOnce(&mut Fixture)) -> Vec<&'static str> {
    let mut fixture = Fixture::default();
    change(&mut fixture);
    failing(&fixture.build())
}

#[test]
fn the_unbroken_image_passes() {
    assert!(failing_with(|_| ()).is_empty());
}

#[test]
fn what_is_no_image_is_refused() {
    let policy = Fixture::policy();
    assert!(Image::parse(&[0; 512], &policy, &[]).is_err());
    assert!(Image::parse(&[], &policy, &[]).is_err());
}

#[test]
fn another_machine_fails() {
    assert_eq!(failing_with(|f| f.machine = pe::IMAGE_FILE_MACHINE_ARM64), ["is for x64"]);
}

#[test]
fn another_subsystem_fails() {
    let failing = failing_with(|f| f.subsystem = pe::IMAGE_SUBSYSTEM_WINDOWS_CUI);
    assert_eq!(failing, ["has the native subsystem"]);
}

#[test]
fn each_directory_of_user_mode_fails() {
    for directory in [
        pe::IMAGE_DIRECTORY_ENTRY_TLS,
        pe::IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT,
        pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT,
        pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR,
    ] {
        let failing = failing_with(|f| f.directory = Some(directory));
        assert_eq!(failing, ["is a driver: nothing that only user mode has"], "{directory}");
    }
}

#[test]
fn each_missing_flag_fails() {
    for (flag, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "can be loaded anywhere (DYNAMIC_BASE)"),
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "has data that cannot be executed (NX_COMPAT)"),
        (pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, "takes high addresses (HIGH_ENTROPY_VA)"),
    ] {
        assert_eq!(failing_with(|f| f.flags = pe::DllFlags(f.flags.0 & !flag.0)), [name]);
    }
}

#[test]
fn missing_relocations_fail() {
    assert_eq!(failing_with(|f| f.relocations = false), ["can be loaded anywhere (DYNAMIC_BASE)"]);
}

#[test]
fn one_changed_octet_breaks_the_checksum() {
    let mut bytes = Fixture::default().build();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(failing(&bytes), ["has the right checksum"]);
    set_checksum(&mut bytes);
    assert!(failing(&bytes).is_empty());
}

#[test]
fn writable_code_and_shared_data_fail() {
    let name = ["has no section that is writable and executable"];
    assert_eq!(failing_with(|f| f.text_flags |= pe::IMAGE_SCN_MEM_WRITE), name);
    assert_eq!(failing_with(|f| f.data_flags |= pe::IMAGE_SCN_MEM_EXECUTE), name);
    assert_eq!(failing_with(|f| f.data_flags |= pe::IMAGE_SCN_MEM_SHARED), name);
}

#[test]
fn sections_that_share_a_page_fail() {
    assert_eq!(failing_with(|f| f.section_alignment = 0x800), ["has sections on pages of their own"]);
}

#[test]
fn an_entry_point_in_data_fails() {
    assert_eq!(failing_with(|f| f.entry_is_data = true), ["is entered in its code"]);
}

#[test]
fn imports_that_are_not_listed_fail() {
    assert_eq!(failing_with(|f| f.module = "hal.dll"), ["imports only what is listed"]);
    assert_eq!(failing_with(|f| f.function = "MmMapIoSpace"), ["imports only what is listed"]);
    assert!(failing_with(|f| f.module = "NTOSKRNL.exe").is_empty());
}

#[test]
fn exports_that_are_not_listed_fail() {
    let mut fixture = Fixture::default();
    let mut bytes = fixture.build();
    let policy = Fixture::policy();
    let (address, place) = {
        let image = Image::parse(&bytes, &policy, &[]).expect("an image");
        let data = image.sections().find(|section| super::name_of(section) == ".data").expect("a section");
        (data.virtual_address.get(object::LittleEndian), data.pointer_to_raw_data.get(object::LittleEndian))
    };
    // An export directory with one function, laid over the data.
    let mut table = vec![0_u8; 0x80];
    for (offset, value) in
        [(20, 1), (24, 1), (28, address + 40), (32, address + 44), (36, address + 48), (44, address + 50)]
    {
        table[offset..offset + 4].copy_from_slice(&u32::to_le_bytes(value));
    }
    table[50..54].copy_from_slice(b"Leak");
    let place = usize::try_from(place).expect("small");
    fixture.directory = Some(pe::IMAGE_DIRECTORY_ENTRY_EXPORT);
    bytes = fixture.build();
    bytes[place + 0x100..place + 0x100 + 0x80].copy_from_slice(&[0; 0x80]);
    let rest: Vec<u8> = bytes[place..place + 0x80].to_vec();
    bytes[place..place + 0x80].copy_from_slice(&table);
    bytes[place + 0x100..place + 0x100 + 0x80].copy_from_slice(&rest);
    set_checksum(&mut bytes);
    assert_eq!(failing(&bytes), ["exports only what is listed"]);
}

#[test]
fn a_folder_of_the_build_machine_fails() {
    let name = ["names no folder of the build machine"];
    assert_eq!(failing_with(|f| f.text.extend(b"/builder/src/lib.rs")), name);
    let wide: Vec<u8> = "/builder/".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(failing_with(|f| f.text.extend(&wide)), name);
}

#[test]
fn symbols_in_a_folder_fail() {
    assert_eq!(failing_with(|f| f.symbols = "C:\\x\\x.pdb"), ["names its symbols without a folder"]);
}

#[test]
fn an_image_with_the_time_in_it_fails() {
    assert_eq!(failing_with(|f| f.is_reproducible = false), ["can be built again octet for octet"]);
}

#[test]
fn test_code_fails() {
    assert_eq!(failing_with(|f| f.text.extend(b"ksim")), ["contains no test code"]);
}

#[test]
fn an_absolute_registry_path_fails() {
    let path: Vec<u8> = "\\Registry\\Machine".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(failing_with(|f| f.text.extend(&path)), ["uses nothing outside the driver store"]);
}

#[test]
fn a_device_that_is_open_to_everybody_fails() {
    assert_eq!(
        failing_with(|f| f.text = b"D:P(A;;GA;;;WD)".to_vec()),
        ["opens its device to administrators only"]
    );
}

#[test]
fn each_way_to_pretend_control_flow_guard_fails() {
    let broken = |change: &dyn Fn(&mut Fixture)| {
        let failing = failing_with(change);
        assert_eq!(failing, ["checks its indirect calls (control flow guard)"]);
    };
    broken(&|f| f.flags = pe::DllFlags(f.flags.0 & !pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF.0));
    broken(&|f| f.guard.size = 0x70);
    broken(&|f| f.guard.flags = 0x400);
    broken(&|f| f.guard.flags = 0x100);
    broken(&|f| f.guard.pointers_are_writable = true);
    broken(&|f| f.guard.pointed_to = Place::Data(0));
    broken(&|f| f.guard.functions.clear());
    broken(&|f| f.guard.functions.reverse());
    broken(&|f| f.guard.functions.push(Place::Data(0)));
    broken(&|f| f.guard.functions.push(Place::Text(0x10_0000)));
    let elsewhere = failing_with(|f| f.directory = Some(pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG));
    assert!(elsewhere.contains(&"checks its indirect calls (control flow guard)"));
}
