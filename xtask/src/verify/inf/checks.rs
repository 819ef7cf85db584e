//! The table of checks.

use super::parse::Entry;
use super::{Check, Inf, Section};

/// Setup classes that a software driver may be in, with their GUIDs.
const CLASSES: [(&str, &str); 2] = [
    ("System", "{4D36E97D-E325-11CE-BFC1-08002BE10318}"),
    ("NetService", "{4D36E974-E325-11CE-BFC1-08002BE10318}"),
];

const INSTALL: &str = "DefaultInstall.NTamd64";

/// Sections that mean something by their name.
const KNOWN: [&str; 6] =
    ["Version", "SourceDisksNames", "SourceDisksFiles", "DestinationDirs", "Strings", INSTALL];

/// Directives of former times, and those that a primitive driver must not have.
const LEGACY: [&str; 7] =
    ["CoInstallers32", "DelFiles", "RenFiles", "RegisterDlls", "UnregisterDlls", "DelReg", "LogConfig"];

/// Keys whose values are sections: the key and the index of the first such value.
const REFERENCES: [(&str, usize); 4] =
    [("CopyFiles", 0), ("AddReg", 0), ("AddService", 2), ("KmdfService", 1)];

/// Every check.
pub(crate) const CHECKS: &[Check] = &[
    Check { name: "can be read (1001)", find: |inf| inf.errors.clone() },
    Check { name: "is signed for Windows NT (1002)", find: signature },
    Check { name: "has a class that fits its GUID (1280)", find: class },
    Check { name: "has a provider that is not Microsoft (1204)", find: provider },
    Check { name: "has a date and a version (1210)", find: driver_version },
    Check { name: "has a catalog (1233)", find: catalog },
    Check { name: "locks its files (1324)", find: lockdown },
    Check { name: "has no section twice (1206)", find: duplicates },
    Check { name: "refers to sections that exist (1203)", find: references },
    Check { name: "has no section that nothing refers to (2083)", find: unused },
    Check { name: "says where each file comes from and goes to (1230)", find: files },
    Check { name: "stays in the driver store: DIRID 13 (1326)", find: driver_store },
    Check { name: "has a text for each string (1235)", find: texts },
    Check { name: "writes below its own key only (1322)", find: registry },
    Check { name: "installs its service (1251)", find: service },
    Check { name: "is a primitive driver (1297)", find: primitive },
    Check { name: "uses nothing of former times (1300)", find: legacy },
    Check { name: "has no placeholder left (1274)", find: placeholders },
];

fn version(inf: &Inf, key: &str) -> Option<String> {
    inf.section("Version").and_then(|section| section.get(key)).map(str::to_owned)
}

fn unless(right: bool, wrong: impl Into<String>) -> Vec<String> {
    if right { Vec::new() } else { vec![wrong.into()] }
}

fn signature(inf: &Inf) -> Vec<String> {
    unless(version(inf, "Signature").as_deref() == Some("$Windows NT$"), "Signature is not \"$Windows NT$\"")
}

fn class(inf: &Inf) -> Vec<String> {
    let (name, guid) =
        (version(inf, "Class").unwrap_or_default(), version(inf, "ClassGuid").unwrap_or_default());
    let fits =
        CLASSES.iter().any(|(class, its)| name.eq_ignore_ascii_case(class) && guid.eq_ignore_ascii_case(its));
    unless(fits, format!("Class {name} with ClassGuid {guid} is none of the known ones"))
}

fn provider(inf: &Inf) -> Vec<String> {
    let provider = version(inf, "Provider").map(|name| resolved(inf, &name)).unwrap_or_default();
    let is_ours = !provider.is_empty() && !provider.to_lowercase().contains("microsoft");
    unless(is_ours, format!("Provider is \"{provider}\""))
}

fn driver_version(inf: &Inf) -> Vec<String> {
    let entry = inf.section("Version").and_then(|section| section.all("DriverVer").next());
    let date = entry.and_then(|entry| entry.value(0)).unwrap_or_default();
    let number = entry.and_then(|entry| entry.value(1)).unwrap_or_default();
    let mut wrong = unless(is_date(date), format!("\"{date}\" is no date MM/DD/YYYY"));
    let parts: Vec<_> = number.split('.').map(str::parse::<u16>).collect();
    let is_version = parts.len() == 4 && parts.iter().all(Result::is_ok);
    wrong.extend(unless(is_version, format!("\"{number}\" is no version w.x.y.z")));
    wrong
}

fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('/').collect();
    let [month, day, year] = parts.as_slice() else { return false };
    let number = |text: &str, digits| {
        let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().unwrap_or(0) } else { 0_u32 }
    };
    (1..=12).contains(&number(month, 2)) && (1..=31).contains(&number(day, 2)) && number(year, 4) >= 2000
}

fn catalog(inf: &Inf) -> Vec<String> {
    let name = version(inf, "CatalogFile").unwrap_or_default();
    let mut wrong = unless(name.to_lowercase().ends_with(".cat"), format!("CatalogFile is \"{name}\""));
    let listed = inf.section("SourceDisksFiles").is_some_and(|section| section.all(&name).next().is_some());
    wrong.extend(unless(!listed, "the catalog is in SourceDisksFiles"));
    wrong
}

fn lockdown(inf: &Inf) -> Vec<String> {
    unless(version(inf, "PnpLockdown").as_deref() == Some("1"), "PnpLockdown is not 1")
}

fn duplicates(inf: &Inf) -> Vec<String> {
    let mut names: Vec<_> = inf.sections.iter().map(|section| section.name.to_lowercase()).collect();
    names.sort_unstable();
    let twice = names.windows(2).filter(|pair| pair.first() == pair.last()).filter_map(|pair| pair.first());
    twice.map(|name| format!("[{name}] is there twice")).collect()
}

/// The names of sections that something refers to, each with the line.
fn referred(inf: &Inf) -> Vec<(&str, usize)> {
    let mut names = Vec::new();
    for entry in inf.sections.iter().flat_map(|section| &section.entries) {
        for (_, first) in REFERENCES.iter().filter(|(key, _)| entry.has_key(key)) {
            let values = entry.values.iter().skip(*first);
            let sections = values.filter(|value| !value.is_empty() && !value.starts_with('@'));
            names.extend(sections.map(|value| (value.as_str(), entry.line)));
        }
    }
    names
}

fn references(inf: &Inf) -> Vec<String> {
    let missing = referred(inf).into_iter().filter(|(name, _)| inf.section(name).is_none());
    missing.map(|(name, line)| format!("line {line}: there is no [{name}]")).collect()
}

fn unused(inf: &Inf) -> Vec<String> {
    let referred = referred(inf);
    let is_used = |section: &&Section| {
        let known = KNOWN.iter().any(|known| {
            // An install section has companions: `.Services`, `.Wdf`.
            let belongs =
                section.name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known));
            section.name.eq_ignore_ascii_case(known) || *known == INSTALL && belongs
        });
        known || referred.iter().any(|(name, _)| section.name.eq_ignore_ascii_case(name))
    };
    inf.sections
        .iter()
        .filter(|section| !is_used(section))
        .map(|section| format!("[{}]", section.name))
        .collect()
}

fn files(inf: &Inf) -> Vec<String> {
    let copied = inf.copied_files();
    let mut wrong = unless(!copied.is_empty(), "no file is copied");
    for (section, file) in copied {
        let disk = inf.section("SourceDisksFiles").and_then(|section| section.get(file));
        let known = disk.is_some_and(|disk| {
            inf.section("SourceDisksNames").is_some_and(|names| names.get(disk).is_some())
        });
        wrong.extend(unless(known, format!("{file} is on no disk")));
        let directories = inf.section("DestinationDirs");
        let goes = directories.is_some_and(|all| all.get(section).or(all.get("DefaultDestDir")).is_some());
        wrong.extend(unless(goes, format!("[{section}] has no destination")));
    }
    wrong
}

fn driver_store(inf: &Inf) -> Vec<String> {
    let directories = inf.section("DestinationDirs").into_iter().flat_map(|section| &section.entries);
    let elsewhere = directories.filter(|entry| entry.value(0) != Some("13"));
    let mut wrong: Vec<_> =
        elsewhere.map(|entry| format!("line {}: DestinationDirs is not 13", entry.line)).collect();
    for (line, token) in tokens(inf) {
        let is_number = token.bytes().all(|byte| byte.is_ascii_digit());
        wrong.extend(unless(!is_number || token == "13", format!("line {line}: %{token}% is not %13%")));
    }
    wrong
}

fn texts(inf: &Inf) -> Vec<String> {
    let strings = inf.section("Strings");
    let mut wrong = Vec::new();
    for (line, token) in
        tokens(inf).into_iter().filter(|(_, token)| !token.bytes().all(|byte| byte.is_ascii_digit()))
    {
        match strings.map_or(0, |section| section.all(&token).count()) {
            1 => {}
            0 => wrong.push(format!("line {line}: %{token}% has no text")),
            _ => wrong.push(format!("line {line}: %{token}% has two texts")),
        }
    }
    wrong
}

/// What stands between percent signs, with the line.
fn tokens(inf: &Inf) -> Vec<(usize, String)> {
    let entries = inf.sections.iter().filter(|section| !section.name.eq_ignore_ascii_case("Strings"));
    let mut tokens = Vec::new();
    for entry in entries.flat_map(|section| &section.entries) {
        for text in entry.key.iter().chain(&entry.values) {
            // Two percent signs stand for one.
            let parts: Vec<_> = text.split('%').collect();
            let inside = parts.iter().skip(1).step_by(2).take(parts.len() / 2);
            tokens.extend(
                inside.filter(|token| !token.is_empty()).map(|token| (entry.line, (*token).to_owned())),
            );
        }
    }
    tokens
}

fn resolved(inf: &Inf, text: &str) -> String {
    let token = text.strip_prefix('%').and_then(|text| text.strip_suffix('%'));
    let found = token.and_then(|token| inf.section("Strings").and_then(|section| section.get(token)));
    found.unwrap_or(if token.is_some() { "" } else { text }).to_owned()
}

fn registry(inf: &Inf) -> Vec<String> {
    let mut wrong = Vec::new();
    let lists = inf.sections.iter().flat_map(|section| section.all("AddReg"));
    for section in lists.flat_map(|entry| &entry.values).filter_map(|name| inf.section(name)) {
        for entry in &section.entries {
            let root = entry.value(0).unwrap_or_default();
            let below = entry.value(1).unwrap_or_default();
            wrong.extend(unless(
                root.eq_ignore_ascii_case("HKR"),
                format!("line {}: {root} is not HKR", entry.line),
            ));
            let is_parameters =
                below.split('\\').next().is_some_and(|key| key.eq_ignore_ascii_case("Parameters"));
            wrong.extend(unless(is_parameters, format!("line {}: not below Parameters", entry.line)));
        }
    }
    wrong
}

fn service(inf: &Inf) -> Vec<String> {
    let services = inf.section(&format!("{INSTALL}.Services"));
    let added: Vec<&Entry> = services.into_iter().flat_map(|section| section.all("AddService")).collect();
    let mut wrong = unless(!added.is_empty(), "no service is added");
    for section in added.into_iter().filter_map(|entry| inf.section(entry.value(2)?)) {
        for (key, expected) in [("ServiceType", "1"), ("StartType", "3"), ("ErrorControl", "1")] {
            let found = section.get(key).unwrap_or_default();
            wrong.extend(unless(found == expected, format!("{key} is \"{found}\", not {expected}")));
        }
        let binary = section.get("ServiceBinary").unwrap_or_default();
        let file = binary.strip_prefix("%13%\\").unwrap_or_default();
        let is_copied = inf.copied_files().iter().any(|(_, copied)| copied.eq_ignore_ascii_case(file));
        wrong.extend(unless(is_copied, format!("ServiceBinary is \"{binary}\", which is not copied there")));
    }
    wrong
}

fn primitive(inf: &Inf) -> Vec<String> {
    let mut wrong = unless(inf.section(INSTALL).is_some(), format!("there is no [{INSTALL}]"));
    for name in ["Manufacturer", "DefaultInstall"] {
        wrong.extend(unless(inf.section(name).is_none(), format!("there is a [{name}]")));
    }
    wrong
}

fn legacy(inf: &Inf) -> Vec<String> {
    let mut wrong = unless(inf.section("ClassInstall32").is_none(), "there is a [ClassInstall32]");
    for entry in inf.sections.iter().flat_map(|section| &section.entries) {
        let found = LEGACY.iter().filter(|key| entry.has_key(key));
        wrong.extend(found.map(|key| format!("line {}: {key}", entry.line)));
    }
    wrong
}

fn placeholders(inf: &Inf) -> Vec<String> {
    let mut wrong = Vec::new();
    for entry in inf.sections.iter().flat_map(|section| &section.entries) {
        let left = entry.key.iter().chain(&entry.values).filter(|text| {
            let inner = text.split('$').nth(1).unwrap_or_default();
            text.matches('$').count() >= 2
                && !inner.is_empty()
                && inner.bytes().all(|byte| byte.is_ascii_uppercase())
        });
        wrong.extend(left.map(|text| format!("line {}: {text}", entry.line)));
    }
    wrong
}
