//! The comparison with C headers.

use std::io::{ErrorKind, Write};
use std::process::Command;
use std::{env, fs, process};

use super::{Constant, Proof, constants, proofs, sources};

const COMPILER: &str = "x86_64-w64-mingw32-gcc";
const DDK: &str = "/usr/share/mingw-w64/include/ddk";

const NT: Headers = Headers {
    sources: &["nt", "status.rs"],
    includes: &["ntddk.h", "ntstatus.h", "csq.h"],
    names: &[
        ("IRP_ASSOCIATED_IRP", "__typeof__(((IRP *)0)->AssociatedIrp)"),
        ("IRP_OVERLAY", "__typeof__(((IRP *)0)->Overlay)"),
        ("IRP_OVERLAY_ASYNCHRONOUS_PARAMETERS", "__typeof__(((IRP *)0)->Overlay.AsynchronousParameters)"),
        ("IRP_TAIL", "__typeof__(((IRP *)0)->Tail)"),
        ("IRP_TAIL_OVERLAY", "__typeof__(((IRP *)0)->Tail.Overlay)"),
        ("DEVICE_OBJECT_QUEUE", "__typeof__(((DEVICE_OBJECT *)0)->Queue)"),
        ("IO_STACK_LOCATION_PARAMETERS", "__typeof__(((IO_STACK_LOCATION *)0)->Parameters)"),
        ("IO_PARAMETERS_CREATE", "__typeof__(((IO_STACK_LOCATION *)0)->Parameters.Create)"),
        ("IO_PARAMETERS_READ_WRITE", "__typeof__(((IO_STACK_LOCATION *)0)->Parameters.Read)"),
        ("IO_PARAMETERS_QUERY_FILE", "__typeof__(((IO_STACK_LOCATION *)0)->Parameters.QueryFile)"),
        (
            "IO_PARAMETERS_FILE_SYSTEM_CONTROL",
            "__typeof__(((IO_STACK_LOCATION *)0)->Parameters.FileSystemControl)",
        ),
        (
            "IO_PARAMETERS_DEVICE_IO_CONTROL",
            "__typeof__(((IO_STACK_LOCATION *)0)->Parameters.DeviceIoControl)",
        ),
        ("IO_PARAMETERS_OTHERS", "__typeof__(((IO_STACK_LOCATION *)0)->Parameters.Others)"),
    ],
    absent_fields: &[
        ("IRP", "AllocationProcessorNumber"),
        ("IRP", "Reserved"),
        ("IRP_TAIL_OVERLAY", "IrpExtension"),
        ("KDPC", "ProcessorHistory"),
        ("LOOKASIDE_LIST_EX", "Opaque"),
    ],
    // Without the last member, and without the rounding to 16.
    other_size: &["IRP_TAIL_OVERLAY", "DEVICE_OBJECT"],
    // Microsoft's headers ask for 16, these for nothing.
    other_align: &["IRP", "DEVICE_OBJECT"],
    absent_constants: &[
        "MDL_LOCKED_PAGE_TABLES",
        "MDL_PARENT_MAPPED_SYSTEM_VA",
        "MDL_PAGE_CONTENTS_INVARIANT",
        "MdlMapping",
        "POOL_FLAG_",
    ],
};

const WINSOCK: Headers = Headers {
    sources: &["wsk/address.rs", "wsk/cmsg.rs", "wsk/options.rs", "wsk/ioctl.rs", "netio.rs"],
    includes: &["winsock2.h", "ws2tcpip.h", "mswsock.h", "mstcpip.h", "ntddndis.h", "iphlpapi.h"],
    names: &[("CMSGHDR", "WSACMSGHDR")],
    absent_fields: &[],
    other_size: &[],
    other_align: &[],
    absent_constants: &["CMSG_DATA_OFFSET", "IOC_WSK", "SIO_", "SO_", "TCP_", "UDP_", "WSK_SO_BASE"],
};

/// What to compare with what, and where the C headers are known to be older or looser than Microsoft's.
struct Headers {
    sources: &'static [&'static str],
    includes: &'static [&'static str],
    /// C names of types that have none, or another.
    names: &'static [(&'static str, &'static str)],
    absent_fields: &'static [(&'static str, &'static str)],
    other_size: &'static [&'static str],
    other_align: &'static [&'static str],
    /// Beginnings of names: macros that are compared only if they exist.
    absent_constants: &'static [&'static str],
}

impl Headers {
    /// A C program that compiles exactly if all these facts are true.
    fn program(&self, proofs: &[Proof], constants: &[Constant]) -> String {
        let mut program = String::from("#include <stddef.h>\n");
        for include in self.includes {
            program += &format!("#include <{include}>\n");
        }
        for proof in proofs {
            self.layout(&mut program, proof);
        }
        for Constant { name, value } in constants {
            let value = c_expression(value);
            let check = format!(
                "_Static_assert(((unsigned long long)({name}) - (unsigned long long)({value})) << 32 == 0, \"{name}\");\n"
            );
            if self.absent_constants.iter().any(|start| name.starts_with(start)) {
                program += &format!("#ifdef {name}\n{check}#endif\n");
            } else {
                program += &check;
            }
        }
        program
    }

    fn layout(&self, program: &mut String, proof: &Proof) {
        let Proof { name, size, align, fields } = proof;
        let c_name = self.names.iter().find(|(rust, _)| rust == name).map_or(name.as_str(), |(_, c)| c);
        if !self.other_size.contains(&name.as_str()) {
            *program += &format!("_Static_assert(sizeof({c_name}) == {size}, \"size of {name}\");\n");
        }
        if !self.other_align.contains(&name.as_str()) {
            *program += &format!("_Static_assert(_Alignof({c_name}) == {align}, \"alignment of {name}\");\n");
        }
        for (field, offset) in fields {
            let absent = field.starts_with("Pad") || self.absent_fields.contains(&(name, field));
            if !absent {
                *program += &format!(
                    "_Static_assert(offsetof({c_name}, {field}) == {offset}, \"{name}.{field}\");\n"
                );
            }
        }
    }

    /// What the compiler says against these facts; `None` if there is no compiler.
    fn check(&self, label: &str, proofs: &[Proof], constants: &[Constant]) -> Option<Result<(), String>> {
        let file = env::temp_dir().join(format!("abi-probe-{label}-{}.c", process::id()));
        fs::write(&file, self.program(proofs, constants)).unwrap();
        let output = Command::new(COMPILER)
            .args([
                "-std=gnu11",
                "-fsyntax-only",
                "-D_WIN32_WINNT=0x0A00",
                "-DNTDDI_VERSION=0x0A00000C",
                "-I",
                DDK,
            ])
            .arg(&file)
            .output();
        fs::remove_file(&file).unwrap();
        match output {
            Ok(output) if output.status.success() => Some(Ok(())),
            Ok(output) => Some(Err(String::from_utf8_lossy(&output.stderr).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Straight to the handle: the test harness hides what a passing test prints.
                let mut terminal = std::io::stderr();
                writeln!(terminal, "not run: {COMPILER} is missing").unwrap();
                None
            }
            Err(error) => panic!("{COMPILER}: {error}"),
        }
    }

    fn facts(&self) -> (Vec<Proof>, Vec<Constant>) {
        let sources = sources(self.sources);
        let proved = sources.iter().flat_map(|source| proofs(source)).collect();
        let stated = sources.iter().flat_map(|source| constants(source)).collect();
        (proved, stated)
    }
}

/// A constant's Rust expression in C: `!` becomes `~`, digit separators, suffixes and sign casts go.
fn c_expression(rust: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in rust.split_whitespace() {
        let word = word.trim_end_matches(".cast_signed()").trim_end_matches("_u16");
        words.push(if word.starts_with("0x") { word.replace('_', "") } else { word.replace('!', "~") });
    }
    words.join(" ")
}

#[test]
fn nt_types_are_those_of_the_ddk() {
    let (proofs, constants) = NT.facts();
    assert!(proofs.len() > 40 && constants.len() > 150, "{} {}", proofs.len(), constants.len());
    if let Some(Err(errors)) = NT.check("nt", &proofs, &constants) {
        panic!("{errors}");
    }
}

#[test]
fn winsock_types_are_those_of_the_sdk() {
    let (proofs, constants) = WINSOCK.facts();
    assert!(proofs.len() > 8 && constants.len() > 100, "{} {}", proofs.len(), constants.len());
    if let Some(Err(errors)) = WINSOCK.check("winsock", &proofs, &constants) {
        panic!("{errors}");
    }
}

/// Were the probe blind, the other tests would prove nothing.
#[test]
fn a_wrong_fact_is_rejected() {
    let wrong_size = proofs("layout!(LIST_ENTRY: 24, 8; Flink 0x0);");
    let wrong_offset = proofs("layout!(LIST_ENTRY: 16, 8; Blink 0x4);");
    let wrong_value = constants("pub const IRP_MJ_CLOSE: u8 = 0x03;");
    for (label, proofs, constants, word) in [
        ("size", wrong_size, Vec::new(), "size of LIST_ENTRY"),
        ("offset", wrong_offset, Vec::new(), "LIST_ENTRY.Blink"),
        ("value", Vec::new(), wrong_value, "IRP_MJ_CLOSE"),
    ] {
        if let Some(result) = NT.check(label, &proofs, &constants) {
            let errors = result.expect_err(label);
            assert!(errors.contains(word), "{errors}");
        }
    }
}
