//! The guest's kernel and its file system in memory, built once and kept.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use duct::cmd;
use sha2::{Digest, Sha256};

use super::packages::{self, Packages};
use crate::command;
use crate::progress::step;
use crate::workspace::Workspace;

/// The guest's first program.
const INIT: &str = include_str!("../../guest/init");
/// What makes an image is told apart by this and by the first program.
const RECIPE: &str = concat!(include_str!("image.rs"), include_str!("packages.rs"));

/// The kernel's modules that the guest loads, and those that they need.
const MODULES: &[&str] = &[
    "virtio",
    "virtio_ring",
    "virtio_pci",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_net",
    "net_failover",
    "failover",
    "netfs",
    "fscache",
    "9pnet",
    "9pnet_virtio",
    "9p",
    "libcrc32c",
    "crc32c-intel",
    "crc32c_generic",
    "configfs",
    "ib_core",
    "ib_cm",
    "iw_cm",
    "rdma_cm",
    "ib_uverbs",
    "rdma_ucm",
];

/// What no program of the guest reads.
const LEFT_OUT: &[&str] = &["usr/share", "usr/include", "var"];

/// What QEMU starts.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// The file system in memory.
    pub(crate) initrd: PathBuf,
}

/// The guest, from the cache or made.
///
/// # Errors
///
/// If packages cannot be downloaded, or something fails to build.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Image> {
    let key = format!("{:x}", Sha256::new().chain_update(RECIPE).chain_update(INIT).finalize());
    let parent = workspace.state("interop");
    let folder = parent.join(key.get(..16).unwrap_or(&key));
    let image = Image { kernel: folder.join("kernel"), initrd: folder.join("initrd") };
    if folder.is_dir() {
        return Ok(image);
    }
    // An interrupted attempt, or another recipe's: it would only take room.
    if parent.is_dir() {
        fs::remove_dir_all(&parent).with_context(|| parent.display().to_string())?;
    }
    let work = parent.join("work");
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let packages = step("download the Linux guest", || packages::get(&work))?;
    let module = step("build the software iWARP module", || build_siw(&packages, &work))?;
    step("make the guest's file system", || {
        let made = work.join("made");
        fs::create_dir_all(&made)?;
        make_initrd(&packages, &module, &work, &made.join("initrd"))?;
        let kernel = packages.kernel.join("boot").join(format!("vmlinuz-{}", packages.version));
        fs::copy(&kernel, made.join("kernel")).with_context(|| kernel.display().to_string())?;
        fs::rename(&made, &folder).with_context(|| folder.display().to_string())
    })?;
    fs::remove_dir_all(&work).with_context(|| work.display().to_string())?;
    Ok(image)
}

/// Builds `siw.ko`, which Debian's kernel leaves out, from Debian's sources of that kernel.
fn build_siw(packages: &Packages, work: &Path) -> Result<PathBuf> {
    let sources = packages.kernel.join("usr/src");
    let archive = entry(&sources, "linux-source-")?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let tree = name.split(".tar").next().unwrap_or_default().to_owned();
    let inside = format!("{tree}/drivers/infiniband/sw/siw");
    command::quiet("tar", &cmd!("tar", "-xf", &archive, "-C", work, &inside))?;
    let module = work.join(inside);
    let objects = fs::read_to_string(module.join("Makefile"))?;
    fs::write(module.join("Makefile"), objects.replace("obj-$(CONFIG_RDMA_SIW)", "obj-m"))?;

    let headers = sources.join(format!("linux-headers-{}", packages.version));
    // Its one line includes another by the place where it is when it is installed.
    let makefile = headers.join("Makefile");
    let text = fs::read_to_string(&makefile).with_context(|| makefile.display().to_string())?;
    fs::write(&makefile, text.replace(" /usr/src/", &format!(" {}/", sources.display())))?;
    let folder = format!("M={}", module.display());
    // The compiler need not be the kernel's: the module is not loaded into a kernel that anybody relies on.
    command::quiet("make", &cmd!("make", "-C", &headers, folder, "CC=gcc", "modules"))?;
    let built = module.join("siw.ko");
    command::quiet("strip", &cmd!("strip", "--strip-debug", &built))?;
    Ok(built)
}

fn make_initrd(packages: &Packages, siw: &Path, work: &Path, to: &Path) -> Result<()> {
    let root = work.join("root");
    command::quiet("cp", &cmd!("cp", "-a", &packages.programs, &root))?;
    for place in LEFT_OUT {
        let place = root.join(place);
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| place.display().to_string())?;
        }
    }
    for place in ["proc", "sys", "dev", "host", "tmp", "etc", "run", "bin"] {
        fs::create_dir_all(root.join(place))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let init = root.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    if !root.join("bin/sh").exists() {
        symlink("busybox", root.join("bin/sh"))?;
    }

    let inside = format!("lib/modules/{}", packages.version);
    let modules = root.join(&inside);
    fs::create_dir_all(&modules)?;
    let all = packages.kernel.join(&inside);
    for name in MODULES {
        let file = format!("{name}.ko");
        let find = cmd!("find", all.join("kernel"), "-name", &file);
        let found = command::output("find", &find)?;
        let Some(found) = found.lines().next() else { bail!("the kernel has no module {name}") };
        fs::copy(found, modules.join(&file)).with_context(|| found.to_owned())?;
    }
    fs::copy(siw, modules.join("siw.ko"))?;
    // `depmod` asks what is built in.
    for list in ["modules.builtin", "modules.order", "modules.builtin.modinfo"] {
        fs::copy(all.join(list), modules.join(list)).with_context(|| list.to_owned())?;
    }

    // The guest's own programs: the machine need not have cpio.
    let libraries = packages.programs.join("lib/x86_64-linux-gnu");
    let cpio = [
        libraries.join("ld-linux-x86-64.so.2").into_os_string(),
        "--library-path".into(),
        libraries.into_os_string(),
        packages.programs.join("bin/busybox").into_os_string(),
        "cpio".into(),
        "-o".into(),
        "-H".into(),
        "newc".into(),
    ];
    let (loader, arguments) = cpio.split_first().context("no program")?;
    let archive = cmd!("find", ".").dir(&root).pipe(cmd(loader, arguments).dir(&root).stdout_path(to));
    let archived = archive.stderr_capture().unchecked().run().context("cannot start cpio")?;
    if !archived.status.success() {
        bail!("cpio failed: {}", String::from_utf8_lossy(&archived.stderr));
    }
    Ok(())
}

/// The file of a folder whose name begins like that.
fn entry(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = entries.flatten().map(|entry| entry.path());
    found
        .find(|path| {
            path.is_file() && path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix))
        })
        .with_context(|| format!("{} has no {prefix}*", folder.display()))
}
