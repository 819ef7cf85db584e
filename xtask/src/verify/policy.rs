//! What images may import and export.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use toml::Table;

/// The rows for one image.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImagePolicy {
    /// Name in `target/dist`.
    pub(crate) file: String,
    /// Whether users install it.
    pub(crate) ships: bool,
    /// The names it may export.
    pub(crate) exports: Vec<String>,
    /// The functions it may import, by module.
    pub(crate) imports: BTreeMap<String, Vec<String>>,
}

/// The whole table.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) images: Vec<ImagePolicy>,
}

impl Policy {
    /// The table in this repository. A new import is a change of that file, which somebody reads.
    ///
    /// # Errors
    ///
    /// If it has another form than it must have.
    pub(crate) fn checked_in() -> Result<Self> {
        Self::parse(include_str!("policy.toml")).context("policy.toml")
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Table = toml::from_str(text)?;
        let images = table.into_iter().map(|(file, row)| {
            let row = row.as_table().cloned().unwrap_or_default();
            ImagePolicy::parse(file.clone(), &row).context(file)
        });
        Ok(Self { images: images.collect::<Result<_>>()? })
    }
}

impl ImagePolicy {
    fn parse(file: String, row: &Table) -> Result<Self> {
        let ships = row.get("ships").and_then(toml::Value::as_bool).context("`ships` is missing")?;
        let imports = row.get("imports").and_then(toml::Value::as_table).context("`imports` is missing")?;
        let names = |table: &toml::Value| -> Result<Vec<String>> {
            let table = table.as_table().context("a table of functions and their uses")?;
            table
                .iter()
                .map(|(name, used)| used.as_str().map(|_| name.clone()).context(name.clone()))
                .collect()
        };
        Ok(Self {
            file,
            ships,
            exports: row.get("exports").map(names).transpose()?.unwrap_or_default(),
            imports: imports
                .iter()
                .map(|(module, table)| Ok((module.to_lowercase(), names(table)?)))
                .collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_repository_names_the_driver() {
        let policy = Policy::checked_in().expect("a valid table");
        let driver = policy.images.iter().find(|row| row.file == "wskrdma.sys").expect("the driver");
        assert!(driver.ships);
        let modules: Vec<_> = driver.imports.keys().map(String::as_str).collect();
        assert!(
            modules
                .iter()
                .all(|module| ["ntoskrnl.exe", "netio.sys", "ndis.sys", "wdfldr.sys"].contains(module))
        );
    }

    #[test]
    fn each_row_needs_its_use() {
        assert!(Policy::parse("[x]\nships = true\n[x.imports.\"A.sys\"]\nF = \"why\"\n").is_ok());
        assert!(Policy::parse("[x]\nships = true\n[x.imports.\"A.sys\"]\nF = true\n").is_err());
        assert!(Policy::parse("[x]\n[x.imports.\"A.sys\"]\n").is_err());
    }
}
