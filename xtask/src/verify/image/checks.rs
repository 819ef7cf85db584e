//! The table of checks.

use std::mem::offset_of;

use anyhow::{Context, Result};
use object::pe::{
    DllFlags, IMAGE_DEBUG_TYPE_CODEVIEW, IMAGE_DEBUG_TYPE_REPRO, IMAGE_DIRECTORY_ENTRY_BASERELOC,
    IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, IMAGE_DIRECTORY_ENTRY_DEBUG,
    IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, IMAGE_DIRECTORY_ENTRY_TLS, IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
    IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA, IMAGE_DLLCHARACTERISTICS_NX_COMPAT, IMAGE_FILE_MACHINE_AMD64,
    IMAGE_FILE_RELOCS_STRIPPED, IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_SHARED, IMAGE_SCN_MEM_WRITE,
    IMAGE_SUBSYSTEM_NATIVE, ImageDebugDirectory, ImageNtHeaders64, ImageOptionalHeader64,
};
use object::read::pe::{ImageNtHeaders, Import};
use object::{LittleEndian as LE, pod};

use super::super::strings;
use super::{Check, Image, guard, name_of};

/// Who may open the control device: the system and administrators, and the list is protected.
const SDDL: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)";

/// Text that only test code contains.
const TEST_CODE: [&str; 5] = ["ksim", "user-test", "RUN_CASE", "test double", "proptest"];

/// Absolute names that a driver which runs from the driver store must not use.
const OUTSIDE_THE_STORE: [&str; 3] = ["\\Registry\\", "\\SystemRoot\\", "\\??\\C:"];

/// Every check.
pub(crate) const CHECKS: &[Check] = &[
    Check { name: "is for x64", only_shipped: false, find: machine },
    Check { name: "has the native subsystem", only_shipped: false, find: subsystem },
    Check { name: "is a driver: nothing that only user mode has", only_shipped: false, find: driver },
    Check { name: "can be loaded anywhere (DYNAMIC_BASE)", only_shipped: false, find: dynamic_base },
    Check { name: "has data that cannot be executed (NX_COMPAT)", only_shipped: false, find: nx_compat },
    Check { name: "takes high addresses (HIGH_ENTROPY_VA)", only_shipped: false, find: high_entropy },
    Check {
        name: "checks its indirect calls (control flow guard)",
        only_shipped: false,
        find: guard::findings,
    },
    Check { name: "has the right checksum", only_shipped: false, find: checksum },
    Check {
        name: "has no section that is writable and executable",
        only_shipped: false,
        find: writable_code,
    },
    Check { name: "has sections on pages of their own", only_shipped: false, find: alignment },
    Check { name: "is entered in its code", only_shipped: false, find: entry },
    Check { name: "imports only what is listed", only_shipped: false, find: imports },
    Check { name: "exports only what is listed", only_shipped: false, find: exports },
    Check { name: "names no folder of the build machine", only_shipped: false, find: folders },
    Check { name: "names its symbols without a folder", only_shipped: false, find: symbols },
    Check { name: "can be built again octet for octet", only_shipped: false, find: reproducible },
    Check { name: "contains no test code", only_shipped: true, find: test_code },
    Check { name: "uses nothing outside the driver store", only_shipped: true, find: isolation },
    Check { name: "opens its device to administrators only", only_shipped: true, find: security },
];

/// A finding, if something is wrong.
fn unless(right: bool, wrong: impl FnOnce() -> String) -> Result<Vec<String>> {
    Ok(if right { Vec::new() } else { vec![wrong()] })
}

fn machine(image: &Image<'_>) -> Result<Vec<String>> {
    let machine = image.pe.nt_headers().file_header().machine.get(LE);
    unless(machine == IMAGE_FILE_MACHINE_AMD64, || format!("the machine is {:#06x}", machine.0))
}

fn subsystem(image: &Image<'_>) -> Result<Vec<String>> {
    let subsystem = image.optional_header().subsystem.get(LE);
    unless(subsystem == IMAGE_SUBSYSTEM_NATIVE, || format!("the subsystem is {}", subsystem.0))
}

fn driver(image: &Image<'_>) -> Result<Vec<String>> {
    let absent = [
        (IMAGE_DIRECTORY_ENTRY_TLS, "thread-local storage"),
        (IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT, "bound imports"),
        (IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, "delayed imports"),
        (IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR, "managed code"),
    ];
    let present = absent.into_iter().filter(|&(index, _)| image.directory_size(index) != 0);
    Ok(present.map(|(_, what)| format!("has {what}")).collect())
}

fn has_flag(image: &Image<'_>, flag: DllFlags) -> bool {
    image.optional_header().dll_characteristics.get(LE).contains(flag)
}

fn dynamic_base(image: &Image<'_>) -> Result<Vec<String>> {
    let mut wrong =
        unless(has_flag(image, IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE), || "the flag is not set".into())?;
    let flags = image.pe.nt_headers().file_header().characteristics.get(LE);
    if flags.contains(IMAGE_FILE_RELOCS_STRIPPED)
        || image.directory_size(IMAGE_DIRECTORY_ENTRY_BASERELOC) == 0
    {
        wrong.push("there are no relocations".to_owned());
    }
    Ok(wrong)
}

fn nx_compat(image: &Image<'_>) -> Result<Vec<String>> {
    unless(has_flag(image, IMAGE_DLLCHARACTERISTICS_NX_COMPAT), || "the flag is not set".into())
}

fn high_entropy(image: &Image<'_>) -> Result<Vec<String>> {
    unless(has_flag(image, IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA), || "the flag is not set".into())
}

fn checksum(image: &Image<'_>) -> Result<Vec<String>> {
    let stored = image.optional_header().check_sum.get(LE);
    let computed = sum(image.bytes, checksum_place(image)?);
    unless(stored == computed, || format!("it is {stored:#x} and ought to be {computed:#x}"))
}

/// Where in the file the checksum is.
pub(super) fn checksum_place(image: &Image<'_>) -> Result<usize> {
    let headers = usize::try_from(image.pe.dos_header().nt_headers_offset())?;
    Ok(headers + offset_of!(ImageNtHeaders64, optional_header) + offset_of!(ImageOptionalHeader64, check_sum))
}

/// What the loader computes: the 16-bit words without those of the field at `place`, folded to 16 bits, plus the length.
pub(super) fn sum(bytes: &[u8], place: usize) -> u32 {
    let field = place..place + size_of::<u32>();
    let octet = |&(index, &byte): &(usize, &u8)| {
        let counted = if field.contains(&index) { 0 } else { u64::from(byte) };
        counted << (8 * (index % 2))
    };
    let mut total: u64 = bytes.iter().enumerate().map(|pair| octet(&pair)).sum();
    while total > 0xFFFF {
        total = (total & 0xFFFF) + (total >> 16);
    }
    u32::try_from(total + bytes.len() as u64).unwrap_or(u32::MAX)
}

fn writable_code(image: &Image<'_>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for section in image.sections() {
        let flags = section.characteristics.get(LE);
        if flags.contains(IMAGE_SCN_MEM_WRITE) && flags.contains(IMAGE_SCN_MEM_EXECUTE) {
            wrong.push(format!("{} can be written and executed", name_of(section)));
        }
        if flags.contains(IMAGE_SCN_MEM_WRITE) && flags.contains(IMAGE_SCN_MEM_SHARED) {
            wrong.push(format!("{} can be written and is shared", name_of(section)));
        }
    }
    Ok(wrong)
}

fn alignment(image: &Image<'_>) -> Result<Vec<String>> {
    let alignment = image.optional_header().section_alignment.get(LE);
    unless(alignment != 0 && alignment.is_multiple_of(0x1000), || {
        format!("they are aligned to {alignment:#x}")
    })
}

fn entry(image: &Image<'_>) -> Result<Vec<String>> {
    let entry = image.optional_header().address_of_entry_point.get(LE);
    let section = image.pe.section_table().section_containing(entry);
    let is_code = section.is_some_and(|section| {
        name_of(section) == ".text" && section.characteristics.get(LE).contains(IMAGE_SCN_MEM_EXECUTE)
    });
    unless(is_code, || {
        format!("the entry point is {entry:#x}, in {}", section.map_or("no section".into(), name_of))
    })
}

fn imports(image: &Image<'_>) -> Result<Vec<String>> {
    let table = image.pe.import_table()?.context("there are no imports")?;
    let mut wrong = Vec::new();
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let module = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).into_owned();
        let Some(allowed) = image.policy.imports.get(&module.to_lowercase()) else {
            wrong.push(format!("{module} is not listed"));
            continue;
        };
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
            match table.import::<ImageNtHeaders64>(thunk)? {
                Import::Name(_, name) => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    if !allowed.contains(&name) {
                        wrong.push(format!("{name} of {module} is not listed"));
                    }
                }
                Import::Ordinal(ordinal) => {
                    wrong.push(format!("{module} is asked for number {ordinal}, not a name"))
                }
            }
        }
    }
    Ok(wrong)
}

fn exports(image: &Image<'_>) -> Result<Vec<String>> {
    let Some(table) = image.pe.export_table()? else { return Ok(Vec::new()) };
    let names = table.name_iter().map(|(pointer, _)| table.name_from_pointer(pointer));
    let mut wrong = Vec::new();
    for name in names {
        let name = String::from_utf8_lossy(name?).into_owned();
        if !image.policy.exports.contains(&name) {
            wrong.push(format!("{name} is not listed"));
        }
    }
    Ok(wrong)
}

fn folders(image: &Image<'_>) -> Result<Vec<String>> {
    Ok(strings::find(image.bytes, image.folders))
}

/// The entries of the debug directory: type and data.
fn debug_entries<'a>(image: &Image<'a>) -> Result<Vec<(&'a ImageDebugDirectory, &'a [u8])>> {
    let Some(directory) = image.pe.data_directory(IMAGE_DIRECTORY_ENTRY_DEBUG) else { return Ok(Vec::new()) };
    if directory.size.get(LE) == 0 {
        return Ok(Vec::new());
    }
    let data = directory.data(image.bytes, &image.pe.section_table())?;
    let count = data.len() / size_of::<ImageDebugDirectory>();
    let (entries, _) = pod::slice_from_bytes::<ImageDebugDirectory>(data, count)
        .map_err(|()| anyhow::anyhow!("the debug directory is cut off"))?;
    let with_data = entries.iter().map(|entry| {
        let start = usize::try_from(entry.pointer_to_raw_data.get(LE))?;
        let length = usize::try_from(entry.size_of_data.get(LE))?;
        Ok((entry, image.bytes.get(start..start + length).context("debug data is cut off")?))
    });
    with_data.collect()
}

fn symbols(image: &Image<'_>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (entry, data) in debug_entries(image)? {
        // Signature, GUID and age stand before the name.
        let name = data.get(24..).unwrap_or_default();
        if entry.typ.get(LE) == IMAGE_DEBUG_TYPE_CODEVIEW && name.iter().any(|byte| b"/\\".contains(byte)) {
            wrong.push(format!("they are at {}", String::from_utf8_lossy(name).trim_end_matches('\0')));
        }
    }
    Ok(wrong)
}

fn reproducible(image: &Image<'_>) -> Result<Vec<String>> {
    let is_marked =
        debug_entries(image)?.iter().any(|(entry, _)| entry.typ.get(LE) == IMAGE_DEBUG_TYPE_REPRO);
    unless(is_marked, || "the linker has written the time (no REPRO entry)".into())
}

fn test_code(image: &Image<'_>) -> Result<Vec<String>> {
    Ok(strings::find(image.bytes, &TEST_CODE))
}

fn isolation(image: &Image<'_>) -> Result<Vec<String>> {
    Ok(strings::find(image.bytes, &OUTSIDE_THE_STORE))
}

fn security(image: &Image<'_>) -> Result<Vec<String>> {
    unless(!strings::find(image.bytes, &[SDDL]).is_empty(), || {
        format!("the security descriptor {SDDL} is not in it")
    })
}
