//! bindgen as it has to be set up for the mingw-w64 headers.

use std::borrow::Borrow;
use std::fmt::Debug;

use bindgen::callbacks::{ItemInfo, ItemKind, ParseCallbacks};
use bindgen::{Builder, EnumVariation, Formatter, RustEdition};

use crate::{Config, ConfigError};

/// A [`Builder`] that is ready for kernel headers.
pub trait BuilderExt {
    /// The builder which `wdk-sys` starts from.
    ///
    /// # Errors
    ///
    /// Those of [`Config::include_paths`].
    fn wdk_default(config: impl Borrow<Config> + Debug) -> Result<Builder, ConfigError>;
}

/// Flags for clang: the Windows ABI with GNU syntax, because with Microsoft's syntax mingw-w64's `vadefs.h`
/// refuses to be read.
const CLANG_FLAGS: [&str; 8] = [
    "--target=x86_64-w64-windows-gnu",
    "-fno-ms-compatibility",
    "-fms-extensions",
    // Keeps `size_t` in the signatures of `memcpy` and its kin a `usize`.
    "-fno-builtin",
    "-Wno-visibility",
    "-Wno-switch",
    "-Wno-ignored-attributes",
    "-Wno-deprecated-declarations",
];

impl BuilderExt for Builder {
    fn wdk_default(config: impl Borrow<Config> + Debug) -> Result<Builder, ConfigError> {
        let config = config.borrow();
        let includes = config.include_paths()?.map(|path| format!("-I{}", path.display()));
        let definitions = config.preprocessor_definitions().map(|(name, value)| match value {
            Some(value) => format!("-D{name}={value}"),
            None => format!("-D{name}"),
        });
        Ok(Self::default()
            .use_core()
            .derive_default(true)
            .generate_cstr(true)
            .clang_args(CLANG_FLAGS)
            .clang_args(includes)
            .clang_args(definitions)
            // Deprecated, and blocked by Microsoft's crate too.
            .blocklist_item("ExAllocatePoolWithTag")
            .blocklist_item("ExAllocatePoolWithQuotaTag")
            .blocklist_item("ExAllocatePoolWithTagPriority")
            .blocklist_item("ExAllocatePool")
            // Vector types of clang's own headers, with packing and alignment that contradict each other.
            .blocklist_item("__tile1024i.*")
            .must_use_type("NTSTATUS")
            .default_enum_style(EnumVariation::ModuleConsts)
            .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
            .parse_callbacks(Box::new(FunctionTable { name: config.compute_wdffunctions_symbol_name() }))
            .formatter(Formatter::Prettyplease)
            .rust_edition(RustEdition::Edition2024))
    }
}

/// Gives the framework's function table, whose link name carries the version, the name `WdfFunctions`.
#[derive(Debug)]
struct FunctionTable {
    name: Option<String>,
}

impl ParseCallbacks for FunctionTable {
    fn generated_name_override(&self, item: ItemInfo<'_>) -> Option<String> {
        let is_table = matches!(item.kind, ItemKind::Var) && self.name.as_deref() == Some(item.name);
        is_table.then(|| "WdfFunctions".to_owned())
    }
}
