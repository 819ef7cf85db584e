//! The report as a page for a browser.

use std::fmt::Write as _;

use anyhow::Result;

use super::plots::{self, Words};
use super::samples::{Data, Row};
use super::tables::optional;
use super::targets::Target;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>wskrdma: measurements</title>\n\
    <style>body{font-family:sans-serif;max-width:60em;margin:2em auto}table{border-collapse:collapse}\
    td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left}td.met{background:#dfd}td.missed{background:#fdd}\
    </style></head><body>\n<h1>wskrdma: measurements</h1>\n\
    <p>All times are of one run on one machine, over the simulated kernel; only their ratios mean something. Counts and instructions \
    do not depend on the machine.</p>\n";

/// The targets as a table.
fn targets(all: &[Target]) -> Result<String> {
    let mut page =
        String::from("<h2>Targets</h2>\n<table><tr><th>measure<th>value<th>unit<th>target<th>met</tr>\n");
    for target in all {
        let (class, met) = match target.met {
            Some(true) => ("met", "yes"),
            Some(false) => ("missed", "no"),
            None => ("", "not measured"),
        };
        let (name, value) = (target.name, optional(target.value));
        let (unit, aim) = (target.unit, &target.target);
        writeln!(page, "<tr><td>{name}<td>{value}<td>{unit}<td>{aim}<td class=\"{class}\">{met}</tr>")?;
    }
    page.push_str("</table>\n");
    Ok(page)
}

/// The page.
pub(super) fn render(data: &Data, all: &[Target]) -> Result<String> {
    let throughput = |row: &Row| row.parameter as f64 * 1e3 / row.median();
    let bars: Vec<_> = data
        .instructions
        .iter()
        .filter(|one| one.measure == "ping-pong")
        .map(|one| {
            let of = |(part, &count): (&String, &u64)| (part.clone(), count as f64 / one.messages as f64);
            (one.way.clone(), one.parts.iter().map(of).collect())
        })
        .collect();
    let line = |title, x, y, lines: Vec<plots::Line>| plots::lines(&Words { title, x, y }, &lines);
    let plots = [
        line(
            "Throughput of a stream",
            "octets of a message",
            "million octets a second",
            plots::by_way(data, "stream", throughput),
        )?,
        line(
            "Round trip of a message and an answer",
            "octets of a message",
            "nanoseconds",
            plots::by_way(data, "ping-pong", Row::median),
        )?,
        line(
            "Round trips of 64 octets that took longer",
            "nanoseconds",
            "part of all",
            plots::latencies(data),
        )?,
        line(
            "Round trip of 64 octets by number of sockets",
            "sockets",
            "nanoseconds",
            plots::by_way(data, "many-sockets", Row::median),
        )?,
        plots::stacked("A message of 64 octets, both sides", "instructions", &bars)?,
    ];
    Ok(format!("{HEAD}{}<h2>Plots</h2>\n{}\n</body></html>\n", targets(all)?, plots.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::targets;

    #[test]
    fn a_page_without_measurements_is_whole() {
        let data = Data::default();
        let page = render(&data, &targets::all(&data)).expect("a page");
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert_eq!(page.matches("not measured").count(), targets::all(&data).len());
    }
}
