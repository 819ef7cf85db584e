//! The page with the results.

use std::fmt::Write;

use super::NETIO_FUNCTIONS;
use super::ran::Ran;

/// Where it is in the repository.
pub(crate) const PATH: &str = "docs/wsk-conformance-results.md";

/// What begins the line of a case.
const ROW: &str = "| `";

/// A case in every world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) section: String,
    pub(crate) native: String,
    pub(crate) wine: String,
    pub(crate) netio: String,
    /// Where answers differ: why.
    pub(crate) note: String,
}

impl Row {
    /// The results of `native`'s case.
    pub(crate) fn of(native: &Ran, asking: &[Ran], wine: &[Ran], netio: &[Ran]) -> Self {
        fn find<'a>(runs: &'a [Ran], native: &Ran) -> Option<&'a Ran> {
            runs.iter().find(|ran| ran.name == native.name)
        }
        let word = |ran: Option<&Ran>| ran.map_or("not run", |ran| ran.outcome.as_str()).to_owned();
        let (wine, netio) = (find(wine, native), find(netio, native));
        let mut notes = Vec::new();
        let named = [("natively", Some(native)), ("under Wine", wine), ("netio.sys", netio)];
        for (world, ran) in named {
            if let Some(ran) = ran.filter(|ran| !ran.passed()) {
                notes.push(format!("{world}: {}", reason(ran)));
            }
        }
        if netio.is_none() {
            let missing = find(asking, native).map(missing).unwrap_or_default();
            notes.push(format!("not asked of netio.sys: {}", missing.join(", ")));
        }
        Self {
            name: native.name.clone(),
            section: native.section.clone(),
            native: native.outcome.clone(),
            wine: word(wine),
            netio: netio.map_or_else(|| "–".to_owned(), |ran| ran.outcome.clone()),
            note: notes.join("; "),
        }
    }
}

/// What a case asks for that Wine's netio.sys lacks.
fn missing(case: &Ran) -> Vec<String> {
    case.asks.iter().filter(|asked| !NETIO_FUNCTIONS.contains(&asked.as_str())).cloned().collect()
}

/// Why a case did not pass, for a cell of a table.
fn reason(ran: &Ran) -> String {
    ran.why.strip_prefix("expected: ").unwrap_or(&ran.why).replace('|', "/").replace('\n', " ")
}

/// The whole page.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut page = String::from(
        "# WSK conformance: results\n\n\
         Written by `cargo xtask conformance` from what the runs said; not edited by hand. Each case is a function of \
         `user-test/cases` that talks to a WSK provider and judges every answer, for the page of the WSK documentation, or the \
         part of `wsk.h`, in the second column.\n\n\
         * **native**: `wskrdma-test cases` on Linux, the drivers' crates in its process over `ksim`.\n\
         * **Wine**: the same case inside `wskrdma-client.sys`, registered through `wskrdma.lib` with `wskrdma.sys`.\n\
         * **netio.sys**: the same case in the same client against Wine's own provider, past `wskrdma.lib`. It says what another \
         implementation answers, not what Windows does. Wine's provider has few functions and never completes the IRPs of others, \
         so only cases that ask for nothing else are run; it never marks an IRP pending, which is not held against it.\n\n\
         On Windows nothing has been run yet.\n\n",
    );
    let count = |f: fn(&Row) -> &str| rows.iter().filter(|row| f(row) == "passed").count();
    let asked = rows.iter().filter(|row| row.netio != "–").count();
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "{} cases; passed: native {}, Wine {}, netio.sys {} of the {asked} that it could be asked.\n",
        rows.len(),
        count(|row| &row.native),
        count(|row| &row.wine),
        count(|row| &row.netio),
    );
    page.push_str("| case | page or rule | native | Wine | netio.sys | where they differ |\n|---|---|---|---|---|---|\n");
    for Row { name, section, native, wine, netio, note } in rows {
        let _ = writeln!(page, "{ROW}{name}` | {section} | {native} | {wine} | {netio} | {note} |");
    }
    page
}

/// The names of the cases on a page.
pub(crate) fn names(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| line.strip_prefix(ROW)?.split_once('`')).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ran(name: &str, outcome: &str, asks: &[&str]) -> Ran {
        let object = json!({
            "case": name, "section": "WskSend", "outcome": outcome, "why": "expected: x | y", "at": "", "asks": asks,
        });
        Ran::read(&object).expect("a case")
    }

    #[test]
    fn what_differs_is_told_and_what_was_not_asked() {
        let native = ran("a", "passed", &[]);
        let row = Row::of(
            &native,
            std::slice::from_ref(&native),
            std::slice::from_ref(&native),
            &[ran("a", "failed", &[])],
        );
        assert_eq!((row.native.as_str(), row.netio.as_str()), ("passed", "failed"));
        assert_eq!(row.note, "netio.sys: x / y");
        let asking = [ran("a", "passed", &["WskSend", "WskDisconnect"])];
        let row = Row::of(&native, &asking, &[], &[]);
        assert_eq!((row.wine.as_str(), row.netio.as_str()), ("not run", "–"));
        assert_eq!(row.note, "not asked of netio.sys: WskDisconnect");
    }

    #[test]
    fn the_names_on_a_page_are_found() {
        let rows: Vec<_> =
            ["b", "a"].map(|name| Row::of(&ran(name, "passed", &[]), &[], &[], &[])).into_iter().collect();
        let page = render(&rows);
        assert_eq!(names(&page).collect::<Vec<_>>(), ["b", "a"]);
        assert!(page.contains("2 cases; passed: native 2, Wine 0, netio.sys 0 of the 0"), "{page}");
    }
}
