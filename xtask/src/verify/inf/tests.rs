//! Each check fails on the driver's INF with one thing broken, and no other does.

use super::{CHECKS, Inf};

const GOOD: &str = include_str!("../../../../inf/wskrdma.inf");

/// The numbers of the checks that fail.
fn failing(text: &str) -> Vec<&'static str> {
    let inf = Inf::parse(text);
    let failing = CHECKS.iter().filter(|check| !check.findings(&inf).is_empty());
    failing.map(|check| check.name.rsplit(['(', ')']).nth(1).unwrap_or_default()).collect()
}

/// The same for the driver's INF with its line that begins like `start` replaced by `line`.
fn failing_with(start: &str, line: &str) -> Vec<&'static str> {
    let is_it = |found: &&str| found.starts_with(start);
    assert_eq!(GOOD.lines().filter(is_it).count(), 1, "{start}");
    let lines = GOOD.lines().map(|found| if is_it(&found) { line } else { found });
    failing(&lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_unbroken_file_passes() {
    assert!(failing(GOOD).is_empty());
}

#[test]
fn an_empty_file_fails() {
    assert!(failing("").len() > 5);
}

#[test]
fn each_check_has_a_number_of_its_own() {
    let mut numbers: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), CHECKS.len());
}

#[test]
fn one_broken_line_fails_its_check() {
    for (start, line, number) in [
        ("[wskrdma.Wdf]", "[wskrdma.Wdf", "1001"),
        ("DisplayName", "DisplayName = \"%ServiceName%", "1001"),
        ("Signature", "Signature = \"$Chicago$\"", "1002"),
        ("Class ", "Class = Net", "1280"),
        ("ClassGuid", "ClassGuid = {00000000-0000-0000-0000-000000000000}", "1280"),
        ("Provider    =", "Provider = \"Microsoft\"", "1204"),
        ("Provider    =", "", "1204"),
        ("DriverVer", "DriverVer = 13/01/2026,0.1.0.0", "1210"),
        ("DriverVer", "DriverVer = 01/01/2026,0.1.0", "1210"),
        ("DriverVer", "DriverVer = 01/01/2026,0.1.0.65536", "1210"),
        ("CatalogFile", "CatalogFile = wskrdma.txt", "1233"),
        ("CatalogFile", "", "1233"),
        ("PnpLockdown", "PnpLockdown = 0", "1324"),
        ("PnpLockdown", "", "1324"),
        ("[Strings]", "[Version]\n[Strings]", "1206"),
        ("AddReg", "AddReg = wskrdma.Parameters, Nowhere", "1203"),
        ("CopyFiles", "CopyFiles = wskrdma.Files, Nowhere", "1203"),
        ("[Strings]", "[Forgotten]\n[Strings]", "2083"),
        ("wskrdma.sys = 1", "", "1230"),
        ("wskrdma.sys = 1", "wskrdma.sys = 2", "1230"),
        ("wskrdma.Files = 13", "", "1230"),
        ("wskrdma.Files = 13", "wskrdma.Files = 12", "1326"),
        ("Description", "Description = %12%", "1326"),
        ("ServiceName ", "", "1235"),
        ("ServiceName ", "ServiceName = \"a\"\nServiceName = \"b\"", "1235"),
        ("HKR,Parameters,SoftwareAdapter,", "HKLM,Parameters,SoftwareAdapter,0x00010003,0", "1322"),
        ("HKR,Parameters,SoftwareAdapter,", "HKR,Elsewhere,SoftwareAdapter,0x00010003,0", "1322"),
        ("ServiceType", "ServiceType = 2", "1251"),
        ("StartType", "StartType = 0", "1251"),
        ("ErrorControl", "", "1251"),
        ("ServiceBinary", "ServiceBinary = %13%\\other.sys", "1251"),
        ("[Strings]", "[Manufacturer]\n[Strings]", "1297"),
        ("AddReg", "AddReg = wskrdma.Parameters\nRegisterDlls = x", "1300"),
        ("DriverVer", "DriverVer = 01/01/2026,0.1.0.0,$ARCH$", "1274"),
    ] {
        let failing = failing_with(start, line);
        assert!(failing.contains(&number), "{start} -> {line}: {failing:?}");
        assert!(failing.len() <= 3, "{start} -> {line}: {failing:?}");
    }
}

#[test]
fn without_its_service_it_fails() {
    assert!(failing_with("AddService", "").contains(&"1251"));
    let renamed = failing_with("[DefaultInstall.NTamd64]", "[DefaultInstall]");
    assert!(renamed.contains(&"1297"), "{renamed:?}");
}

#[test]
fn a_catalog_among_the_files_fails() {
    assert_eq!(failing_with("wskrdma.sys = 1", "wskrdma.sys = 1\nwskrdma.cat = 1"), ["1233"]);
}
