//! What the build scripts of `wdk-sys` and of our images ask of `wdk-build`, answered from a generated kit.
//!
//! The names are those of Microsoft's crate of the same version, so that build scripts cannot tell the two apart.
//! The kit is the folder that `cargo xtask` lays out: links to the mingw-w64 headers, the project's `wdf.h`, and
//! import libraries. Four environment variables say where it is and which KMDF it stands for; `cargo xtask` sets
//! them.

mod builder;

use std::env;
use std::path::{Path, PathBuf};

pub use builder::BuilderExt;

/// Folder of the kit; the variable has the name which the WDK's own environment scripts use.
const KIT_ROOT: &str = "WDKContentRoot";
const KMDF_MAJOR: &str = "KMDF_VERSION_MAJOR";
const KMDF_MINOR: &str = "KMDF_VERSION_MINOR";
const KMDF_MINIMUM: &str = "KMDF_MINIMUM_VERSION_REQUIRED";

/// Import libraries on the link line of a KMDF driver, in Microsoft's order.
const KMDF_LIBRARIES: [&str; 6] =
    ["BufferOverflowFastFailK", "ntoskrnl", "hal", "wmilib", "WdfLdr", "WdfDriverEntry"];

/// What went wrong while the build was configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A variable which `cargo xtask` sets is absent: the build was started some other way.
    #[error("{variable} is not set: build the Windows images with `cargo xtask build`")]
    NotConfigured {
        /// Name of the missing environment variable.
        variable: &'static str,
    },
    /// A version number is not a number.
    #[error("{variable} is not a version number")]
    BadVersion {
        /// Name of the environment variable.
        variable: &'static str,
    },
    /// A folder of the kit is missing.
    #[error("{path} is missing from the kit: run `cargo xtask build` once more", path = path.display())]
    IncompleteKit {
        /// The missing folder.
        path: PathBuf,
    },
}

/// An I/O failure together with the file it happened to.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub struct IoError {
    path: PathBuf,
    source: std::io::Error,
}

impl IoError {
    /// Ties `source` to `path`.
    pub fn with_path(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self { path: path.into(), source }
    }
}

/// The groups of headers that `wdk-sys` can bind. Only the first two are in the kit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiSubset {
    /// `ntifs.h`, `ntddk.h`.
    Base,
    /// `wdf.h`.
    Wdf,
    /// Not in the kit.
    Gpio,
    /// Not in the kit.
    Hid,
    /// Not in the kit.
    ParallelPorts,
    /// Not in the kit.
    Spb,
    /// Not in the kit.
    Storage,
    /// Not in the kit.
    Usb,
}

/// Version of KMDF a driver is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KmdfConfig {
    /// Major version, always 1.
    pub kmdf_version_major: u8,
    /// Minor version whose headers are used.
    pub target_kmdf_version_minor: u8,
    /// Oldest minor version at run time.
    pub minimum_kmdf_version_minor: Option<u8>,
}

/// Version of UMDF; present only because `wdk-sys` matches on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UmdfConfig {
    /// Major version.
    pub umdf_version_major: u8,
    /// Minor version whose headers are used.
    pub target_umdf_version_minor: u8,
    /// Oldest minor version at run time.
    pub minimum_umdf_version_minor: Option<u8>,
}

/// Driver model of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverConfig {
    /// Entered at `DriverEntry`, without a framework.
    Wdm,
    /// Entered at `FxDriverEntry`, which binds to the framework.
    Kmdf(KmdfConfig),
    /// User mode; not supported by the kit.
    Umdf(UmdfConfig),
}

/// Configuration of one build script run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    root: PathBuf,
    /// Driver model; a build script may replace it before it configures its image.
    pub driver_config: DriverConfig,
}

impl Config {
    /// Reads the configuration from the environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotConfigured`] or [`ConfigError::BadVersion`] if `cargo xtask` did not start the build.
    pub fn from_env_auto() -> Result<Self, ConfigError> {
        for variable in [KIT_ROOT, KMDF_MAJOR, KMDF_MINOR, KMDF_MINIMUM] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        let root = env::var_os(KIT_ROOT).ok_or(ConfigError::NotConfigured { variable: KIT_ROOT })?;
        let driver_config = DriverConfig::Kmdf(KmdfConfig {
            kmdf_version_major: version(KMDF_MAJOR)?,
            target_kmdf_version_minor: version(KMDF_MINOR)?,
            minimum_kmdf_version_minor: Some(version(KMDF_MINIMUM)?),
        });
        Ok(Self { root: root.into(), driver_config })
    }

    /// Header folders, searched in this order.
    ///
    /// # Errors
    ///
    /// [`ConfigError::IncompleteKit`] if one is missing.
    pub fn include_paths(&self) -> Result<impl Iterator<Item = PathBuf> + use<>, ConfigError> {
        let include = self.root.join("Include");
        let mut paths = Vec::new();
        if let DriverConfig::Kmdf(kmdf) = self.driver_config {
            let version = format!("{}.{}", kmdf.kmdf_version_major, kmdf.target_kmdf_version_minor);
            paths.push(include.join("wdf/kmdf").join(version));
        }
        paths.extend(["supplement", "km", "shared"].map(|folder| include.join(folder)));
        paths.iter().try_for_each(|path| require_folder(path))?;
        Ok(paths.into_iter())
    }

    /// Macros defined on the command line of clang.
    pub fn preprocessor_definitions(&self) -> impl Iterator<Item = (String, Option<String>)> + use<> {
        let mut definitions = vec![
            ("_WIN64", None),
            ("_AMD64_", None),
            ("AMD64", None),
            ("_KERNEL_MODE", None),
            // mingw-w64 hides what is newer than this; 0x0A00 is Windows 10 and every later release.
            ("_WIN32_WINNT", Some("0x0A00".to_owned())),
            ("NTDDI_VERSION", Some("0x0A000006".to_owned())),
        ];
        if let DriverConfig::Kmdf(kmdf) = self.driver_config {
            definitions.push((KMDF_MAJOR, Some(kmdf.kmdf_version_major.to_string())));
            definitions.push((KMDF_MINOR, Some(kmdf.target_kmdf_version_minor.to_string())));
            let minimum = kmdf.minimum_kmdf_version_minor;
            definitions.extend(minimum.map(|minor| (KMDF_MINIMUM, Some(minor.to_string()))));
        }
        definitions.into_iter().map(|(name, value)| (name.to_owned(), value))
    }

    /// Headers of one group.
    ///
    /// # Errors
    ///
    /// None here; Microsoft's crate looks some headers up.
    pub fn headers(&self, subset: ApiSubset) -> Result<impl Iterator<Item = String> + use<>, ConfigError> {
        let headers: &[&str] = match subset {
            ApiSubset::Base => &["ntifs.h", "ntddk.h", "supplement.h"],
            ApiSubset::Wdf => &["wdf.h"],
            _ => &[],
        };
        Ok(headers.iter().map(|&header| header.to_owned()))
    }

    /// A C source that includes the headers of all `subsets`.
    ///
    /// # Errors
    ///
    /// Those of [`Self::headers`].
    pub fn bindgen_header_contents(
        &self,
        subsets: impl IntoIterator<Item = ApiSubset>,
    ) -> Result<String, ConfigError> {
        let mut contents = String::new();
        for subset in subsets {
            contents.extend(self.headers(subset)?.map(|header| format!("#include \"{header}\"\n")));
        }
        Ok(contents)
    }

    /// Rust source that puts the libraries of `subset` on the link line.
    pub fn bindgen_library_link_raw_lines(&self, subset: ApiSubset) -> Option<String> {
        (subset == ApiSubset::Base).then(|| {
            KMDF_LIBRARIES
                .map(|name| {
                    format!(
                        "#[link(name = \"{name}\", kind = \"static\", modifiers = \"-bundle\")]\n\
                         unsafe extern \"C\" {{}}\n"
                    )
                })
                .concat()
        })
    }

    /// Link name of the framework's function table.
    pub fn compute_wdffunctions_symbol_name(&self) -> Option<String> {
        match self.driver_config {
            DriverConfig::Kmdf(kmdf) => Some(format!(
                "WdfFunctions_{:02}0{:02}",
                kmdf.kmdf_version_major, kmdf.target_kmdf_version_minor
            )),
            _ => None,
        }
    }

    /// Prints what a library on top of the kit needs from cargo.
    ///
    /// # Errors
    ///
    /// None here; kept for build scripts that use `?`.
    pub fn configure_library_build(&self) -> Result<(), ConfigError> {
        println!(
            "cargo::rustc-check-cfg=cfg(driver_model__driver_type, values(\"WDM\", \"KMDF\", \"UMDF\"))"
        );
        let model = match self.driver_config {
            DriverConfig::Wdm => "WDM",
            DriverConfig::Kmdf(_) => "KMDF",
            DriverConfig::Umdf(_) => "UMDF",
        };
        println!("cargo::rustc-cfg=driver_model__driver_type=\"{model}\"");
        Ok(())
    }

    /// Prints the linker arguments of a driver image.
    ///
    /// # Errors
    ///
    /// [`ConfigError::IncompleteKit`] if the kit has no libraries.
    pub fn configure_binary_build(&self) -> Result<(), ConfigError> {
        let libraries = self.root.join("Lib");
        require_folder(&libraries)?;
        println!("cargo::rustc-link-search=native={}", libraries.display());
        let entry = match self.driver_config {
            DriverConfig::Kmdf(_) => "/ENTRY:FxDriverEntry",
            _ => "/ENTRY:DriverEntry",
        };
        let common = ["/DRIVER", "/NODEFAULTLIB", "/SUBSYSTEM:NATIVE", "/NXCOMPAT", "/DYNAMICBASE"];
        // lld-link writes no manifest and knows neither /KERNEL nor /INTEGRITYCHECK warnings; without /Brepro it
        // would stamp the time of the build into the image.
        for argument in common.into_iter().chain([entry, "/OPT:REF,ICF", "/MANIFEST:NO", "/Brepro"]) {
            println!("cargo::rustc-cdylib-link-arg={argument}");
        }
        self.configure_library_build()
    }
}

/// Configures an image with the environment's settings.
///
/// # Errors
///
/// Those of [`Config::from_env_auto`] and [`Config::configure_binary_build`].
pub fn configure_wdk_binary_build() -> Result<(), ConfigError> {
    Config::from_env_auto()?.configure_binary_build()
}

/// Configures a library and hands the configuration to `generate`.
///
/// # Errors
///
/// Those of [`Config::from_env_auto`], and whatever `generate` returns.
pub fn configure_wdk_library_build_and_then<F, E>(mut generate: F) -> Result<(), E>
where
    F: FnMut(Config) -> Result<(), E>,
    E: From<ConfigError>,
{
    let config = Config::from_env_auto()?;
    config.configure_library_build()?;
    generate(config)
}

fn version(variable: &'static str) -> Result<u8, ConfigError> {
    let text = env::var(variable).map_err(|_| ConfigError::NotConfigured { variable })?;
    text.parse().map_err(|_| ConfigError::BadVersion { variable })
}

fn require_folder(path: &Path) -> Result<(), ConfigError> {
    if path.is_dir() { Ok(()) } else { Err(ConfigError::IncompleteKit { path: path.to_owned() }) }
}
