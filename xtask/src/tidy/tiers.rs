//! Which crate may use which.

use super::Finding;
use super::members::{Dependency, Kind, Member, is_shipped};

/// What a crate may use of the workspace.
#[derive(Debug, Clone, Copy)]
enum Uses {
    /// These folders.
    Only(&'static [&'static str]),
    /// Everything: it does not ship and has no tier.
    Anything,
}

/// Every shipped library.
const SHIPPED: &[&str] = &[
    "driver/abi",
    "driver/control",
    "driver/irp",
    "driver/kernel",
    "driver/ndk",
    "driver/softndk",
    "driver/stream",
    "driver/trace",
    "driver/wsk",
];

/// The tiers of the design. A crate that is not here has to be added before it may exist.
const TIERS: &[(&str, Uses)] = &[
    ("driver/abi", Uses::Only(&[])),
    ("driver/kernel", Uses::Only(&["driver/abi"])),
    ("driver/irp", Uses::Only(&["driver/abi", "driver/kernel"])),
    ("driver/stream", Uses::Only(&[])),
    ("driver/ndk", Uses::Only(&["driver/abi", "driver/kernel"])),
    ("driver/softndk", Uses::Only(&["driver/abi", "driver/kernel"])),
    ("driver/trace", Uses::Only(&[])),
    ("driver/control", Uses::Only(&["driver/abi"])),
    (
        "driver/wsk",
        Uses::Only(&[
            "driver/abi",
            "driver/irp",
            "driver/kernel",
            "driver/ndk",
            "driver/stream",
            "driver/trace",
        ]),
    ),
    ("driver/runtime", Uses::Only(SHIPPED)),
    ("driver/client-lib", Uses::Only(&["driver/abi", "driver/control"])),
    (
        "driver",
        Uses::Only(&[
            "driver/abi",
            "driver/control",
            "driver/kernel",
            "driver/runtime",
            "driver/trace",
            "driver/wsk",
        ]),
    ),
    ("user-test", Uses::Anything),
    ("user-test/bench", Uses::Anything),
    ("user-test/cases", Uses::Only(&["driver/abi"])),
    ("user-test/client", Uses::Only(&["driver/abi", "driver/control", "driver/kernel", "user-test/cases"])),
    (
        "user-test/client/driver",
        Uses::Only(&["driver/abi", "driver/control", "driver/kernel", "user-test/client"]),
    ),
    ("user-test/fuzz", Uses::Anything),
    ("user-test/interop", Uses::Anything),
    ("user-test/ksim", Uses::Only(&["driver/abi"])),
    ("user-test/ndkcheck", Uses::Only(&["driver/abi", "driver/kernel", "user-test/ksim"])),
    ("user-test/sim", Uses::Anything),
    ("user-test/wdfldr", Uses::Only(&["driver/abi"])),
    ("xtask", Uses::Only(&["driver/control", "driver/trace"])),
];

/// What shipped crates may take from outside.
const FOREIGN: &[&str] = &["bitflags", "heapless", "spin", "wdk-macros", "wdk-sys"];

/// What their build scripts may take.
const FOREIGN_BUILD: &[&str] = &["wdk-build"];

/// Crates of the workspace that use another one which their tier does not allow.
pub(crate) fn own(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let Some((_, uses)) = TIERS.iter().find(|(folder, _)| *folder == member.folder) else {
            findings
                .push(Finding::new(&member.folder, "this crate has no tier: add it to the table of tiers"));
            continue;
        };
        for (used, folder) in shipping(member).filter_map(|used| Some((used, used.folder.as_deref()?))) {
            let allowed = match uses {
                Uses::Only(folders) => folders.contains(&folder),
                Uses::Anything => true,
            };
            if member.ships() && !is_shipped(folder) {
                let text = format!("a shipped crate depends on {folder}, which never ships");
                findings.push(Finding::new(&member.folder, text));
            } else if !allowed {
                findings.push(Finding::new(&member.folder, format!("may not use {} ({folder})", used.name)));
            }
        }
    }
    findings
}

/// Shipped crates that take something from outside which is not listed.
pub(crate) fn foreign(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members.iter().filter(|member| member.ships()) {
        for used in shipping(member).filter(|used| used.folder.is_none()) {
            let list = if used.kind == Kind::Build { FOREIGN_BUILD } else { FOREIGN };
            if !list.contains(&used.name.as_str()) {
                let text =
                    format!("{} is not among the crates that may ship: {}", used.name, list.join(", "));
                findings.push(Finding::new(&member.folder, text));
            }
        }
    }
    findings
}

/// The dependencies that count: tests may use anything.
fn shipping(member: &Member) -> impl Iterator<Item = &Dependency> {
    member.dependencies.iter().filter(|used| used.kind != Kind::Test)
}

#[cfg(test)]
mod tests {
    use super::super::members::made_up;
    use super::*;

    #[test]
    fn a_crate_may_use_its_tier() {
        let members =
            [made_up("driver/irp", &["driver/abi", "driver/kernel"]), made_up("xtask", &["anyhow"])];
        assert_eq!(own(&members), []);
        assert_eq!(foreign(&members), []);
    }

    #[test]
    fn a_crate_that_reaches_upwards_is_found() {
        let findings = own(&[made_up("driver/irp", &["driver/wsk"])]);
        assert_eq!(findings, [Finding::new("driver/irp", "may not use wsk (driver/wsk)")]);
        assert_eq!(own(&[made_up("driver/stream", &["driver/abi"])]).len(), 1);
        assert_eq!(own(&[made_up("user-test/ksim", &["driver/kernel"])]).len(), 1);
    }

    #[test]
    fn a_shipped_crate_that_needs_a_test_crate_is_found() {
        let mut member = made_up("driver/kernel", &["user-test/ksim"]);
        let findings = own(std::slice::from_ref(&member));
        assert_eq!(findings.len(), 1);
        assert!(findings.iter().all(|finding| finding.text.contains("never ships")));
        member.dependencies.iter_mut().for_each(|used| used.kind = Kind::Test);
        assert_eq!(own(&[member]), []);
    }

    #[test]
    fn a_crate_without_a_tier_is_found() {
        assert_eq!(own(&[made_up("driver/surprise", &[])]).len(), 1);
    }

    #[test]
    fn a_foreign_crate_that_is_not_listed_is_found() {
        let findings = foreign(&[made_up("driver/irp", &["spin", "serde"])]);
        assert_eq!(findings.len(), 1);
        assert!(findings.iter().all(|finding| finding.text.starts_with("serde ")));
    }

    #[test]
    fn a_build_script_has_a_list_of_its_own() {
        let mut member = made_up("driver", &["wdk-build"]);
        assert_eq!(foreign(std::slice::from_ref(&member)).len(), 1);
        member.dependencies.iter_mut().for_each(|used| used.kind = Kind::Build);
        assert_eq!(foreign(&[member]), []);
    }

    #[test]
    fn the_table_names_each_crate_once() {
        let mut folders: Vec<_> = TIERS.iter().map(|(folder, _)| folder).collect();
        folders.sort_unstable();
        folders.dedup();
        assert_eq!(folders.len(), TIERS.len());
    }
}
