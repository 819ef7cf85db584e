//! What was found, as tables on a terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::samples::{Data, number, sum};
use super::targets::Target;

/// A table with a heading; all columns but the first are numbers.
pub(super) fn table(heading: &[String]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(heading);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A number with about three digits that mean something.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.1 => format!("{value:.4}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A number, or a dash where there is none.
pub(super) fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), short)
}

/// Times of a measure: a line for each parameter, a column for each way.
fn times(data: &Data, measure: &str, parameter: &str) -> Table {
    let ways = data.ways(measure);
    let heading: Vec<_> = [parameter].iter().chain(&ways).map(|&text| text.to_owned()).collect();
    let mut table = table(&heading);
    for at in data.parameters(measure) {
        let cells =
            ways.iter().map(|way| optional(data.row(measure, way, at).map(super::samples::Row::median)));
        table.add_row([at.to_string()].into_iter().chain(cells));
    }
    table
}

/// Operation counts for each message.
fn counts(data: &Data) -> Table {
    let heading = [
        "per message",
        "octets",
        "Sends",
        "Writes",
        "doorbells",
        "completions",
        "DPCs",
        "IRPs",
        "locks",
        "adapter's locks",
        "allocations",
    ];
    let mut table = table(&heading.map(str::to_owned));
    for count in &data.counts {
        let text = |key: &str| count.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let Some(messages) = number(count, &["messages"]) else { continue };
        let per = |path: &[&str]| optional(number(count, path).map(|value| value / messages));
        let allocations = sum(count, "allocations", |_| true).map(|value| value / messages);
        table.add_row([
            format!("{}, {}", text("measure"), text("way")),
            optional(number(count, &["octets"])),
            per(&["ndk", "sends"]),
            per(&["ndk", "writes"]),
            per(&["ndk", "doorbells"]),
            per(&["ndk", "completions"]),
            per(&["dpcs"]),
            per(&["completed_irps"]),
            per(&["locks"]),
            per(&["adapter_locks"]),
            optional(allocations),
        ]);
    }
    table
}

/// Instructions of one message by part.
fn instructions(data: &Data) -> Table {
    let mut parts: Vec<_> = data.instructions.iter().flat_map(|one| one.parts.keys()).collect();
    parts.sort_unstable();
    parts.dedup();
    let names = data.instructions.iter().map(|one| format!("{}, {}", one.measure, one.way));
    let mut table = table(&["instructions".to_owned()].into_iter().chain(names).collect::<Vec<_>>());
    for part in parts {
        let cells = data
            .instructions
            .iter()
            .map(|one| optional(one.parts.get(part).map(|&count| count as f64 / one.messages as f64)));
        table.add_row([part.clone()].into_iter().chain(cells));
    }
    let all = data.instructions.iter().map(|one| short(one.per_message()));
    table.add_row(["all".to_owned()].into_iter().chain(all));
    table
}

/// The targets.
pub(super) fn targets(targets: &[Target]) -> Table {
    let mut table = table(&["measure", "value", "unit", "target", "met"].map(str::to_owned));
    for target in targets {
        let met = target.met.map_or("not measured", |met| if met { "yes" } else { "no" });
        let cells = [target.name, &optional(target.value), target.unit, &target.target, met];
        table.add_row(cells.map(str::to_owned));
    }
    table
}

/// Prints everything.
pub(super) fn print(data: &Data, all: &[Target]) {
    for (what, measure, parameter) in [
        ("Round trip of a message and an answer, nanoseconds", "ping-pong", "octets"),
        ("A message of a stream, nanoseconds", "stream", "octets"),
        ("Connect, accept, close, nanoseconds", "connect", ""),
        ("Round trip of 64 octets with many sockets, nanoseconds", "many-sockets", "sockets"),
        ("A message of 64 octets, several senders at once, nanoseconds", "many-senders", "senders"),
        ("Round trip over the simulated system's WSK, nanoseconds", "fallback", "octets"),
    ] {
        println!("{what}\n{}\n", times(data, measure, parameter));
    }
    println!("Operations of the driver and the adapter\n{}\n", counts(data));
    println!("Instructions of a message of 64 octets, both sides\n{}\n", instructions(data));
    println!("Targets\n{}", targets(all));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.0625, 1.0, 12.345, 123.456, 123_456.7].map(short);
        assert_eq!(all, ["0", "0.0625", "1.00", "12.3", "123", "123457"]);
        assert_eq!(optional(None), "–");
    }
}
