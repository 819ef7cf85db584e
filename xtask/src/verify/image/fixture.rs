//! A small image to break.

use object::pe;
use object::write::pe::{NtHeaders, SectionRange, Writer};

use super::checks::{checksum_place, sum};
use super::{Image, ImagePolicy};

/// What goes into the image. The default is one that passes every check.
#[derive(Debug, Clone)]
pub(super) struct Fixture {
    pub(super) machine: pe::Machine,
    pub(super) subsystem: pe::Subsystem,
    pub(super) flags: pe::DllFlags,
    pub(super) section_alignment: u32,
    pub(super) text_flags: pe::SectionFlags,
    pub(super) data_flags: pe::SectionFlags,
    pub(super) entry_is_data: bool,
    pub(super) module: &'static str,
    pub(super) function: &'static str,
    pub(super) directory: Option<usize>,
    pub(super) relocations: bool,
    pub(super) guard: Guard,
    pub(super) is_reproducible: bool,
    pub(super) symbols: &'static str,
    pub(super) text: Vec<u8>,
}

impl Default for Fixture {
    fn default() -> Self {
        Self {
            machine: pe::IMAGE_FILE_MACHINE_AMD64,
            subsystem: pe::IMAGE_SUBSYSTEM_NATIVE,
            flags: pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE
                | pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT
                | pe::IMAGE_DLLCHARACTERISTICS_GUARD_CF
                | pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA,
            section_alignment: 0x1000,
            text_flags: pe::IMAGE_SCN_CNT_CODE | pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_READ,
            data_flags: pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ | pe::IMAGE_SCN_MEM_WRITE,
            entry_is_data: false,
            module: "ntoskrnl.exe",
            function: "KeSetEvent",
            directory: None,
            relocations: true,
            guard: Guard::default(),
            is_reproducible: true,
            symbols: "x.pdb",
            text: "D:P(A;;GA;;;SY)(A;;GA;;;BA)".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }
}

/// A place in the code, or in data that can be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Text(u32),
    Data(u32),
}

/// The load configuration.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) size: u32,
    pub(super) flags: u32,
    /// In which section the pointers to the check function and to the dispatch function are.
    pub(super) pointers_are_writable: bool,
    /// Where they point to.
    pub(super) pointed_to: Place,
    pub(super) functions: Vec<Place>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            size: 0x140,
            flags: 0x500,
            pointers_are_writable: false,
            pointed_to: Place::Text(0),
            functions: vec![Place::Text(0), Place::Text(16)],
        }
    }
}

const BASE: u64 = 0x1_4000_0000;

const HEAD: usize = 512;
const ROOM: u32 = 0x400;

impl Fixture {
    /// What the image may do.
    pub(super) fn policy() -> ImagePolicy {
        ImagePolicy {
            imports: [("ntoskrnl.exe".to_owned(), vec!["KeSetEvent".to_owned()])].into(),
            ..ImagePolicy::default()
        }
    }

    /// The file.
    pub(super) fn build(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(true, self.section_alignment, 0x200, &mut bytes);
        writer.reserve_dos_header_and_stub();
        writer.reserve_nt_headers(16);
        writer.reserve_section_headers(3 + u16::from(self.relocations));
        let text = writer.reserve_section(*b".text\0\0\0", self.text_flags, ROOM, ROOM);
        let rdata = writer.reserve_rdata_section(ROOM);
        let data = writer.reserve_section(*b".data\0\0\0", self.data_flags, ROOM, ROOM);
        if self.relocations {
            writer.add_reloc(data.virtual_address, pe::IMAGE_REL_BASED_DIR64);
            writer.reserve_reloc_section();
        }
        writer.set_data_directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT, rdata.virtual_address, 40);
        writer.set_data_directory(
            pe::IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG,
            rdata.virtual_address + 0x200,
            0x140,
        );
        writer.set_data_directory(pe::IMAGE_DIRECTORY_ENTRY_DEBUG, rdata.virtual_address + 0x100, 56);
        if let Some(index) = self.directory {
            writer.set_data_directory(index, data.virtual_address, 8);
        }
        writer.write_dos_header_and_stub().expect("room");
        let entry = if self.entry_is_data { data } else { text };
        writer.write_nt_headers(self.headers(entry));
        writer.write_section_headers();
        writer.write_section(text.file_offset, &[0xC3; HEAD]);
        writer.write_section(rdata.file_offset, &self.read_only([text, rdata, data]));
        writer.write_section(data.file_offset, &self.text);
        if self.relocations {
            writer.write_reloc_section();
        }
        set_checksum(&mut bytes);
        bytes
    }

    fn headers(&self, entry: SectionRange) -> NtHeaders {
        NtHeaders {
            machine: self.machine,
            time_date_stamp: 0,
            characteristics: pe::IMAGE_FILE_EXECUTABLE_IMAGE,
            major_linker_version: 14,
            minor_linker_version: 0,
            address_of_entry_point: entry.virtual_address,
            image_base: BASE,
            major_operating_system_version: 10,
            minor_operating_system_version: 0,
            major_image_version: 0,
            minor_image_version: 0,
            major_subsystem_version: 10,
            minor_subsystem_version: 0,
            subsystem: self.subsystem,
            dll_characteristics: self.flags,
            size_of_stack_reserve: 0,
            size_of_stack_commit: 0,
            size_of_heap_reserve: 0,
            size_of_heap_commit: 0,
        }
    }

    /// Import directory at 0, debug directory at 0x100, load configuration at 0x200, what they point to behind each.
    fn read_only(&self, [text, section, writable]: [SectionRange; 3]) -> Vec<u8> {
        let mut data = vec![0; ROOM as usize];
        let mut put = |place: usize, bytes: &[u8]| data[place..place + bytes.len()].copy_from_slice(bytes);
        let address = |place: u32| (section.virtual_address + place).to_le_bytes();
        let file = |place: u32| (section.file_offset + place).to_le_bytes();
        // One descriptor: lookup table, module name, address table.
        put(0, &address(0x40));
        put(12, &address(0x60));
        put(16, &address(0x40));
        put(0x40, &address(0x80));
        put(0x60, self.module.as_bytes());
        put(0x82, self.function.as_bytes());
        // CodeView (type 2), and perhaps REPRO (type 16).
        let symbols = [b"RSDS".as_slice(), &[0; 20], self.symbols.as_bytes(), b"\0"].concat();
        put(0x10C, &2_u32.to_le_bytes());
        put(0x110, &u32::try_from(symbols.len()).expect("short").to_le_bytes());
        put(0x114, &address(0x180));
        put(0x118, &file(0x180));
        put(0x180, &symbols);
        let guard = &self.guard;
        let relative = |place: &Place| match place {
            Place::Text(offset) => text.virtual_address + offset,
            Place::Data(offset) => writable.virtual_address + offset,
        };
        let absolute = |relative: u32| (BASE + u64::from(relative)).to_le_bytes();
        let read_only = |place: u32| absolute(section.virtual_address + place);
        let pointers = if guard.pointers_are_writable {
            absolute(relative(&Place::Data(0x80)))
        } else {
            read_only(0x348)
        };
        put(0x200, &guard.size.to_le_bytes());
        put(0x270, &pointers);
        put(0x278, &pointers);
        put(0x280, &read_only(0x350));
        put(0x288, &(guard.functions.len() as u64).to_le_bytes());
        put(0x290, &guard.flags.to_le_bytes());
        put(0x348, &absolute(relative(&guard.pointed_to)));
        put(
            0x350,
            &guard.functions.iter().flat_map(|function| relative(function).to_le_bytes()).collect::<Vec<_>>(),
        );
        if self.is_reproducible {
            put(0x128, &16_u32.to_le_bytes());
        }
        data
    }
}

/// Puts the right checksum in.
pub(super) fn set_checksum(bytes: &mut [u8]) {
    let policy = ImagePolicy::default();
    let place = checksum_place(&Image::parse(bytes, &policy, &[]).expect("an image")).expect("a header");
    let checksum = sum(bytes, place);
    bytes[place..place + 4].copy_from_slice(&checksum.to_le_bytes());
}
