//! What the manifests have to say.

use super::members::{Kind, Member};
use super::tree::{SourceFile, Tree};
use super::{Finding, Repository};

/// Members whose manifest does not take the workspace's lints.
pub(crate) fn lints(tree: &Tree, members: &[Member]) -> Vec<Finding> {
    let takes_lints = |file: &SourceFile| {
        let manifest: Option<toml::Value> = toml::from_str(&file.text).ok();
        manifest.as_ref().and_then(|manifest| manifest.get("lints")?.get("workspace")?.as_bool())
            == Some(true)
    };
    let manifest = |member: &Member| format!("{}/Cargo.toml", member.folder);
    let paths = members.iter().map(manifest);
    paths
        .filter(|path| !tree.file(path).is_some_and(takes_lints))
        .map(|path| Finding::new(path, "lacks `[lints]` with `workspace = true`"))
        .collect()
}

/// Foreign dependencies of shipped crates with no comment that says what they are for, neither in the crate's manifest nor in
/// the workspace's.
pub(crate) fn reasons(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let general = repository.tree.file("Cargo.toml");
    for member in repository.members.iter().filter(|member| member.ships()) {
        let path = format!("{}/Cargo.toml", member.folder);
        let Some(manifest) = repository.tree.file(&path) else { continue };
        for used in &member.dependencies {
            let counts = used.folder.is_none() && used.kind != Kind::Test;
            let said = |file: &SourceFile| has_reason(file, &used.name);
            if counts && !said(manifest) && !general.is_some_and(said) {
                findings.push(Finding::new(&path, format!("no comment says what {} is for", used.name)));
            }
        }
    }
    findings
}

/// Whether a comment stands behind the line of the dependency `name`, or on lines of its own directly above it.
fn has_reason(manifest: &SourceFile, name: &str) -> bool {
    let mut section = "";
    let mut above = "";
    for (_, line) in manifest.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
        }
        let names_it = line.split_once(['=', '.']).is_some_and(|(key, _)| key.trim() == name);
        let is_dependency = section.ends_with("dependencies]") && !section.contains("dev-dependencies");
        if is_dependency && names_it && (line.contains(" # ") || above.starts_with('#')) {
            return true;
        }
        // What stands above a section speaks of the first line in it.
        if !line.starts_with('[') {
            above = line;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::members::made_up;
    use super::*;

    fn repository(manifest: &str, workspace: &str) -> Repository {
        let tree = Tree::of(&[("driver/irp/Cargo.toml", manifest), ("Cargo.toml", workspace)]);
        Repository { tree, members: vec![made_up("driver/irp", &["spin"])] }
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let repository =
            repository("[dependencies]\nspin = \"1\"\n", "[workspace.dependencies]\nspin = \"1\"\n");
        let findings = reasons(&repository);
        assert_eq!(findings, [Finding::new("driver/irp/Cargo.toml", "no comment says what spin is for")]);
    }

    #[test]
    fn a_reason_stands_behind_above_or_in_the_workspace() {
        for manifest in [
            "[dependencies]\nspin.workspace = true # set once\n",
            "[dependencies]\nabi = \"1\"\n# set once\nspin = \"1\"\n",
            "# set once\n[target.'cfg(windows)'.dependencies]\nspin = \"1\"\n",
        ] {
            assert_eq!(reasons(&repository(manifest, "")), [], "{manifest}");
        }
        let workspace = "[workspace.dependencies]\nspin = \"1\" # set once\n";
        assert_eq!(reasons(&repository("[dependencies]\nspin.workspace = true\n", workspace)), []);
    }

    #[test]
    fn a_reason_of_another_line_does_not_count() {
        for manifest in [
            "[dependencies]\n# needed\nabi = \"1\"\nspin = \"1\"\n",
            "[dev-dependencies]\nspin = \"1\" # for tests\n[dependencies]\nspin = \"1\"\n",
            "[dependencies]\nspin-more = \"1\" # something else\nspin = \"1\"\n",
        ] {
            assert_eq!(reasons(&repository(manifest, "")).len(), 1, "{manifest}");
        }
    }

    #[test]
    fn a_member_without_the_lints_is_found() {
        let members = [made_up("driver/irp", &[])];
        let check = |text| lints(&Tree::of(&[("driver/irp/Cargo.toml", text)]), &members).len();
        assert_eq!(check("[lints]\nworkspace = true\n"), 0);
        assert_eq!(check("[lints]\nworkspace = false\n"), 1);
        assert_eq!(check("[lints.rust]\nmissing_docs = \"warn\"\n"), 1);
        assert_eq!(check(""), 1);
    }
}
