//! Control flow guard: the flag alone proves nothing, as linkers set it without a load configuration.

use anyhow::{Context, Result, bail};
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, IMAGE_DLLCHARACTERISTICS_GUARD_CF,
    IMAGE_GUARD_CF_FUNCTION_TABLE_PRESENT, IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_MASK,
    IMAGE_GUARD_CF_INSTRUMENTED, IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE, ImageLoadConfigDirectory64,
    ImageSectionHeader,
};
use object::{LittleEndian as LE, pod};

use super::Image;

/// What is wrong with it. Layout and flags: "IMAGE_LOAD_CONFIG_DIRECTORY64" and "PE Format" (Microsoft).
pub(super) fn findings(image: &Image<'_>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    if !image.optional_header().dll_characteristics.get(LE).contains(IMAGE_DLLCHARACTERISTICS_GUARD_CF) {
        wrong.push("the flag is not set".to_owned());
    }
    let config = load_config(image)?;
    let flags = config.guard_flags.get(LE);
    for (flag, name) in [
        (IMAGE_GUARD_CF_INSTRUMENTED, "CF_INSTRUMENTED"),
        (IMAGE_GUARD_CF_FUNCTION_TABLE_PRESENT, "CF_FUNCTION_TABLE_PRESENT"),
    ] {
        if !flags.contains(flag) {
            wrong.push(format!("{name} is not set in the guard flags {:#x}", flags.0));
        }
    }
    for (pointer, name) in [
        (config.guard_cf_check_function_pointer.get(LE), "the check function"),
        (config.guard_cf_dispatch_function_pointer.get(LE), "the dispatch function"),
    ] {
        wrong.extend(pointed_to(image, pointer, name).err().map(|error| format!("{name}: {error:#}")));
    }
    wrong.extend(functions(image, config)?);
    Ok(wrong)
}

fn load_config<'a>(image: &Image<'a>) -> Result<&'a ImageLoadConfigDirectory64> {
    let directory = image
        .pe
        .data_directory(IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG)
        .filter(|directory| directory.virtual_address.get(LE) != 0)
        .context("there is no load configuration")?;
    let data = data_at(image, directory.virtual_address.get(LE))?;
    let (config, _) = pod::from_bytes::<ImageLoadConfigDirectory64>(data)
        .map_err(|()| anyhow::anyhow!("the load configuration is cut off"))?;
    let (size, known) = (config.size.get(LE), size_of::<ImageLoadConfigDirectory64>());
    // Later versions append fields, and this one may have fewer than the type.
    if (size as usize) < std::mem::offset_of!(ImageLoadConfigDirectory64, code_integrity) {
        bail!("the load configuration has {size:#x} of {known:#x} octets, and not those of the guard");
    }
    Ok(config)
}

/// The pointer at `place`, which only the loader may change, and that it points to code.
fn pointed_to(image: &Image<'_>, place: u64, name: &str) -> Result<()> {
    let place = relative(image, place).with_context(|| format!("the place of {name} is outside"))?;
    let section = section_of(image, place)?;
    if section.characteristics.get(LE).contains(IMAGE_SCN_MEM_WRITE) {
        bail!("its pointer can be written");
    }
    let target = data_at(image, place)?.first_chunk().context("its pointer is cut off")?;
    let target = relative(image, u64::from_le_bytes(*target)).context("it is outside")?;
    is_code(image, target)
}

/// The table of functions that may be called indirectly: ascending, without duplicates, and all of them code.
fn functions(image: &Image<'_>, config: &ImageLoadConfigDirectory64) -> Result<Vec<String>> {
    let count = usize::try_from(config.guard_cf_function_count.get(LE))?;
    if count == 0 {
        return Ok(vec!["no function may be called".to_owned()]);
    }
    // Octets of an entry beyond its four.
    let extra = (config.guard_flags.get(LE).0 & IMAGE_GUARD_CF_FUNCTION_TABLE_SIZE_MASK) >> 28;
    let stride = size_of::<u32>() + extra as usize;
    let table = relative(image, config.guard_cf_function_table.get(LE)).context("the table is outside")?;
    let data = data_at(image, table)?;
    let data =
        count.checked_mul(stride).and_then(|length| data.get(..length)).context("the table is cut off")?;
    let mut wrong = Vec::new();
    let mut last = 0;
    for entry in data.chunks_exact(stride) {
        let function = entry.first_chunk().map_or(0, |octets| u32::from_le_bytes(*octets));
        if function <= last {
            wrong.push(format!("{function:#x} is behind {last:#x}"));
        }
        last = function;
        wrong
            .extend(is_code(image, function).err().map(|error| format!("function {function:#x}: {error:#}")));
    }
    Ok(wrong)
}

/// An address of the image at its preferred base, relative to that.
fn relative(image: &Image<'_>, address: u64) -> Option<u32> {
    u32::try_from(address.checked_sub(image.optional_header().image_base.get(LE))?).ok()
}

fn section_of<'a>(image: &Image<'a>, place: u32) -> Result<&'a ImageSectionHeader> {
    image.pe.section_table().section_containing(place).with_context(|| format!("{place:#x} is in no section"))
}

fn data_at<'a>(image: &Image<'a>, place: u32) -> Result<&'a [u8]> {
    image
        .pe
        .section_table()
        .pe_data_at(image.bytes, place)
        .with_context(|| format!("nothing is at {place:#x}"))
}

fn is_code(image: &Image<'_>, place: u32) -> Result<()> {
    if !section_of(image, place)?.characteristics.get(LE).contains(IMAGE_SCN_MEM_EXECUTE) {
        bail!("{place:#x} is not code");
    }
    Ok(())
}
