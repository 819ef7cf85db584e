//! What a measurement is shown as: a line, a table, a histogram.

use super::{Measured, Options};
use crate::report;
use crate::report::say;
use comfy_table::{CellAlignment, Table};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Percentiles that are told.
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)];
/// Characters of the longest bar.
const BAR: u64 = 50;

/// One size is done: its line for programs, its histogram for people.
pub(super) fn one(json: bool, options: &Options, measured: &Measured, path: &str) {
    if json {
        let mut object = json!({
            "event": "measured", "size": measured.size, "depth": options.depth, "connections": options.connections,
            "path": path, "messages": measured.messages, "seconds": measured.seconds,
            "bytes_per_second": measured.octets_per_second(), "messages_per_second": measured.messages_per_second(),
            "times_ns": times(&measured.times),
        });
        if options.histogram {
            let classes = classes(&measured.times).into_iter();
            let classes = classes.map(|(upper, count)| json!({ "up_to": upper, "messages": count }));
            report::set(&mut object, "histogram_ns", classes.collect::<Vec<_>>());
        }
        report::object(&object);
    } else if options.histogram {
        say!("times of {} messages of {} octets", measured.messages, measured.size);
        report::text(&bars(&measured.times));
    }
}

/// Everything is done: the table for people.
pub(super) fn all(json: bool, options: &Options, all: &[Measured], path: &str) {
    if json || all.is_empty() {
        return;
    }
    say!(
        "over {path}, {} under way on each of {} connections; each message goes there and comes back",
        options.depth,
        options.connections
    );
    let mut table = Table::new();
    table.set_header(["octets", "messages", "MiB/s", "messages/s", "p50", "p90", "p99", "p99.9", "longest"]);
    for measured in all {
        let mut row = vec![
            measured.size.to_string(),
            measured.messages.to_string(),
            format!("{:.1}", measured.octets_per_second() / f64::from(1 << 20)),
            format!("{:.0}", measured.messages_per_second()),
        ];
        row.extend(PERCENTILES.map(|(_, p)| report::time(measured.times.value_at_percentile(p))));
        row.push(report::time(measured.times.max()));
        table.add_row(row);
    }
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    say!("{table}");
}

fn times(times: &Histogram<u64>) -> Value {
    let mut object = json!({ "min": times.min(), "max": times.max(), "mean": times.mean() });
    for (name, percentile) in PERCENTILES {
        report::set(&mut object, name, times.value_at_percentile(percentile));
    }
    object
}

/// Upper bound in nanoseconds and messages of each class; each is twice as wide as the one before.
fn classes(times: &Histogram<u64>) -> Vec<(u64, u64)> {
    let classes = times.iter_log(1_000, 2.0);
    let classes = classes.map(|class| (class.value_iterated_to(), class.count_since_last_iteration()));
    let all: Vec<_> = classes.collect();
    let first = all.iter().position(|(_, count)| *count != 0).unwrap_or(all.len());
    all.get(first..).unwrap_or_default().to_vec()
}

fn bars(times: &Histogram<u64>) -> String {
    let classes = classes(times);
    let most = classes.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let bar = |count: u64| "#".repeat(usize::try_from((count * BAR).div_ceil(most)).unwrap_or(0));
    let line = |(upper, count): (u64, u64)| {
        format!("  up to {:>9}  {count:>9}  {}", report::time(upper.saturating_add(1)), bar(count))
            .trim_end()
            .to_owned()
            + "\n"
    };
    classes.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_in_one_class_and_empty_ones_in_front_are_left_out() {
        let mut times = Histogram::new_with_bounds(100, 100_000_000_000, 3).unwrap();
        for time in [10_000, 11_000, 90_000, 1_000_000] {
            times.record(time).unwrap();
        }
        let classes = classes(&times);
        assert_eq!(classes.iter().map(|(_, count)| count).sum::<u64>(), 4);
        assert_ne!(classes.first().unwrap().1, 0);
        let bars = bars(&times);
        assert!(bars.lines().next().unwrap().ends_with(&"#".repeat(50)), "{bars}");
        assert_eq!(bars.lines().count(), classes.len());
    }
}
