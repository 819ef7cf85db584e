//! `wskrdma.lib` in a driver written in C: linked by either linker, run with and without the driver.
//!
//! The client's source says what it does and what it leaves in the registry; so does that of the driver that stands in for
//! wskrdma.sys where it has to be shown that nothing is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{iter, thread};

use anyhow::{Context, Result, bail};
use duct::cmd;
use tempfile::TempDir;

use super::judged;
use crate::command;
use crate::demo::machine::{self, DRIVER, Machine};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// Service of the client.
const SERVICE: &str = "wskrdma-c-client";

/// `MAKE_WSK_VERSION` of the provider behind [`Beside::Standin`]. The driver's is that of the system under Wine, 1.0.
const STANDIN: u32 = 0x0107;

const LIMIT: Duration = Duration::from_secs(30);

/// Who brings compiled C and libraries together.
#[derive(Debug, Clone, Copy)]
enum Linker {
    Lld,
    Mingw,
}

/// Whom the client finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    Driver,
    Standin,
    Foreign,
}

/// How the client's calls are compiled, and what it needs of `netio.lib` besides.
const FORMS: [(&str, &[&str], bool); 2] = [
    ("plain calls", &[], false),
    ("dllimport calls, netio.lib behind", &["-DCLIENT_DLLIMPORT", "-DCLIENT_USES_NETIO"], true),
];

/// Runs every form with every neighbour.
pub(super) fn run(workspace: &Workspace, dist: &Path, tally: &mut Tally) {
    let made = tally.check("wine: compile and link clients in C", || Built::make(workspace, dist));
    let Some(built) = made else {
        tally.not_run("wine: clients in C", "they cannot be linked");
        return;
    };
    for (name, image) in &built.clients {
        for beside in [Beside::Nobody, Beside::Driver, Beside::Standin, Beside::Foreign] {
            let what = match beside {
                Beside::Nobody => "without the driver",
                Beside::Driver => "with the driver",
                Beside::Standin => "with a driver that counts",
                Beside::Foreign => "with a stranger's device of that name",
            };
            tally.check(&format!("wine: client in C, {name}, {what}"), || {
                let machine = Machine::empty(workspace, dist)?;
                judged(&machine, live(&machine, &built, image, beside, dist))
            });
        }
    }
}

/// One life of the client on `machine`.
fn live(machine: &Machine, built: &Built, image: &Path, beside: Beside, dist: &Path) -> Result<()> {
    let neighbour = match beside {
        Beside::Nobody => None,
        Beside::Driver => Some(dist.join("wskrdma.sys")),
        Beside::Standin => Some(built.folder.path().join("standin.sys")),
        Beside::Foreign => Some(built.folder.path().join("foreign.sys")),
    };
    if let Some(image) = &neighbour {
        machine.install(DRIVER, image)?;
        machine.session.set_driver_parameters(DRIVER)?;
        machine.session.start_service(DRIVER)?;
    }
    machine.install(SERVICE, image)?;
    machine.session.start_service(SERVICE)?;
    machine.session.stop_service(SERVICE)?;
    expect(machine, SERVICE, "Unloaded", 1)?;
    expect(machine, SERVICE, "Failures", 0)?;
    expect(machine, SERVICE, "Lives", 2)?;
    let version =
        value(machine, SERVICE, "ProviderVersion")?.context("the client says nothing of a provider")?;
    if (version == STANDIN) != (beside == Beside::Standin) {
        bail!("the provider that answered has version {version:#06x}");
    }
    if neighbour.is_some() {
        machine.session.stop_service(DRIVER)?;
    }
    if beside == Beside::Standin {
        expect(machine, DRIVER, "Failures", 0)?;
        expect(machine, DRIVER, "Left", 0)?;
        expect(machine, DRIVER, "Registrations", 3)?;
    }
    Ok(())
}

/// Waits until a driver has left `expected` in its service's key: Wine ends a service before its unload routine returns.
fn expect(machine: &Machine, service: &str, name: &str, expected: u32) -> Result<()> {
    let start = Instant::now();
    loop {
        let found = value(machine, service, name)?;
        if found == Some(expected) {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            bail!("{service}: {name} is {found:?}, not {expected}");
        }
        // Wine tells nobody when a value changes.
        thread::sleep(Duration::from_millis(50));
    }
}

/// A number in a service's key.
fn value(machine: &Machine, service: &str, name: &str) -> Result<Option<u32>> {
    let key = format!("HKLM\\System\\CurrentControlSet\\Services\\{service}");
    let asked = machine.session.run(Path::new("reg"), &["query", &key, "/v", name], LIMIT)?;
    Ok(number(&asked.output))
}

/// The number in what `reg query` prints: `    Lives    REG_DWORD    0x2`.
fn number(output: &str) -> Option<u32> {
    let (_, number) = output.split_once("REG_DWORD")?;
    u32::from_str_radix(number.trim().strip_prefix("0x")?, 16).ok()
}

/// What has been compiled and linked.
struct Built {
    folder: TempDir,
    clients: Vec<(String, PathBuf)>,
}

impl Built {
    fn make(workspace: &Workspace, dist: &Path) -> Result<Self> {
        let folder = machine::folder(workspace)?;
        let sources = workspace.root().join("driver/client-lib/tests");
        // The client finds the header as it is handed out.
        let include = [dist.to_owned(), sources.clone(), kernel_headers()?];
        let compile = |source: &str, object: &str, defines: &[&str]| -> Result<PathBuf> {
            let object = folder.path().join(object);
            let flags =
                "-O2 -Wall -Wextra -Werror -Wno-attributes -ffreestanding -c".split(' ').map(str::to_owned);
            let defines = defines.iter().map(|define| (*define).to_owned());
            let [ours, tests, system] = &include;
            let folders =
                [format!("-I{}", ours.display()), format!("-I{}", tests.display()), "-isystem".to_owned()];
            let files = [system.display().to_string(), "-o".to_owned(), object.display().to_string()];
            let source = sources.join(source).display().to_string();
            let arguments = flags.chain(defines).chain(folders).chain(files).chain(iter::once(source));
            command::quiet("the mingw-w64 compiler", &cmd("x86_64-w64-mingw32-gcc", arguments))?;
            Ok(object)
        };
        for (name, defines) in [("standin", [].as_slice()), ("foreign", &["-DSTANDIN_IS_FOREIGN"])] {
            let object = compile("standin.c", &format!("{name}.obj"), defines)?;
            Linker::Mingw.link(&object, &[], &folder.path().join(format!("{name}.sys")))?;
        }
        let library = dist.join("wskrdma.lib");
        let mut clients = Vec::new();
        for (number, (form, defines, uses_netio)) in FORMS.into_iter().enumerate() {
            let object = compile("client.c", &format!("client{number}.obj"), defines)?;
            for linker in [Linker::Lld, Linker::Mingw] {
                let netio = archive("libnetio.a")?;
                let libraries: &[&Path] = if uses_netio { &[&library, &netio] } else { &[&library] };
                let image = folder.path().join(format!("client{number}-{linker:?}.sys"));
                linker.link(&object, libraries, &image)?;
                clients.push((format!("{form}, linked by {}", linker.name()), image));
            }
        }
        Ok(Self { folder, clients })
    }
}

impl Linker {
    fn name(self) -> &'static str {
        match self {
            Self::Lld => "lld-link",
            Self::Mingw => "mingw's linker",
        }
    }

    fn link(self, object: &Path, libraries: &[&Path], image: &Path) -> Result<()> {
        let kernel = archive("libntoskrnl.a")?;
        let libraries =
            iter::once(object).chain(libraries.iter().copied()).chain(iter::once(kernel.as_path()));
        let inputs = libraries.map(|path| path.display().to_string());
        let (program, flags): (_, &[&str]) = match self {
            Self::Lld => {
                ("lld-link", &["/DRIVER", "/SUBSYSTEM:NATIVE", "/ENTRY:DriverEntry", "/NODEFAULTLIB"])
            }
            Self::Mingw => {
                let flags = &["-shared", "-nostdlib", "-Wl,--subsystem,native", "-Wl,--entry,DriverEntry"];
                ("x86_64-w64-mingw32-gcc", flags)
            }
        };
        let output = match self {
            Self::Lld => vec![format!("/OUT:{}", image.display())],
            Self::Mingw => vec!["-o".to_owned(), image.display().to_string()],
        };
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        command::quiet(self.name(), &cmd(program, flags.chain(output).chain(inputs)))?;
        fs::metadata(image).with_context(|| image.display().to_string())?;
        Ok(())
    }
}

/// One of mingw-w64's libraries.
fn archive(name: &str) -> Result<PathBuf> {
    let asked = cmd!("x86_64-w64-mingw32-gcc", format!("-print-file-name={name}"));
    let path = PathBuf::from(command::output("the mingw-w64 compiler", &asked)?.trim());
    fs::canonicalize(&path).with_context(|| format!("mingw-w64 has no {name}"))
}

/// mingw-w64's headers for drivers.
fn kernel_headers() -> Result<PathBuf> {
    let library = archive("libntoskrnl.a")?;
    let folder = library.parent().and_then(Path::parent).context("mingw-w64 has no folder")?;
    Ok(folder.join("include/ddk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_what_reg_prints() {
        assert_eq!(number("HKEY_LOCAL_MACHINE\\X\n    Lives    REG_DWORD    0x2\n"), Some(2));
        assert_eq!(number("reg: Unable to find the specified registry key"), None);
    }
}
