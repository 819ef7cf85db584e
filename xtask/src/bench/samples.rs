//! What the program `wskrdma-bench` tells, a line of JSON each.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::callgrind::Parts;

/// Time of one way.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    pub(super) measure: String,
    pub(super) way: String,
    pub(super) parameter: u64,
    nanoseconds: Vec<f64>,
}

impl Row {
    /// Reads a line.
    pub(super) fn read(line: &str) -> Result<Self> {
        let mut row: Self = serde_json::from_str(line).with_context(|| format!("no row: {line}"))?;
        row.nanoseconds.sort_by(f64::total_cmp);
        row.nanoseconds.first().context("a row without samples")?;
        Ok(row)
    }

    /// The sample that so much of all are not above, from 0 to 1.
    pub(super) fn quantile(&self, part: f64) -> f64 {
        let last = self.nanoseconds.len().saturating_sub(1);
        let at = (part * last as f64).round() as usize;
        self.nanoseconds.get(at).copied().unwrap_or(f64::NAN)
    }

    /// The middle sample, in nanoseconds.
    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// All samples, the lowest first.
    pub(super) fn samples(&self) -> &[f64] {
        &self.nanoseconds
    }
}

/// Instructions of one way.
#[derive(Debug, Clone)]
pub(super) struct Instructions {
    pub(super) measure: String,
    pub(super) way: String,
    /// Messages that were counted.
    pub(super) messages: u64,
    pub(super) parts: Parts,
}

impl Instructions {
    /// Of one message, both sides.
    pub(super) fn per_message(&self) -> f64 {
        self.parts.values().sum::<u64>() as f64 / self.messages as f64
    }
}

/// Milliseconds of the same case by the same client under Wine.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderWine {
    pub(super) ours: f64,
    pub(super) netio: f64,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) rows: Vec<Row>,
    pub(super) counts: Vec<Value>,
    pub(super) instructions: Vec<Instructions>,
    pub(super) wine: Option<UnderWine>,
}

impl Data {
    /// The row of a way.
    pub(super) fn row(&self, measure: &str, way: &str, parameter: u64) -> Option<&Row> {
        self.rows.iter().find(|row| row.measure == measure && row.way == way && row.parameter == parameter)
    }

    /// The median of the fastest of some ways, in nanoseconds.
    pub(super) fn fastest(&self, measure: &str, ways: &[&str], parameter: u64) -> Option<f64> {
        let medians = ways.iter().filter_map(|way| self.row(measure, way, parameter)).map(Row::median);
        medians.min_by(f64::total_cmp)
    }

    /// The counts of a way.
    pub(super) fn count(&self, measure: &str, way: &str, octets: u64) -> Option<&Value> {
        self.counts.iter().find(|count| {
            count.get("measure").and_then(Value::as_str) == Some(measure)
                && count.get("way").and_then(Value::as_str) == Some(way)
                && count.get("octets").and_then(Value::as_u64) == Some(octets)
        })
    }

    /// Instructions of one message.
    pub(super) fn instructions(&self, measure: &str, way: &str) -> Option<f64> {
        let found = self.instructions.iter().find(|one| one.measure == measure && one.way == way)?;
        Some(found.per_message())
    }

    /// Parameters that a measure was made with, in order.
    pub(super) fn parameters(&self, measure: &str) -> Vec<u64> {
        let mut all: Vec<u64> =
            self.rows.iter().filter(|row| row.measure == measure).map(|row| row.parameter).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Ways that a measure was made by, in the order of the program.
    pub(super) fn ways(&self, measure: &str) -> Vec<&str> {
        let mut all = Vec::new();
        for row in self.rows.iter().filter(|row| row.measure == measure) {
            if !all.contains(&row.way.as_str()) {
                all.push(&row.way);
            }
        }
        all
    }
}

/// A number of a count, by the path to it.
pub(super) fn number(count: &Value, path: &[&str]) -> Option<f64> {
    path.iter().try_fold(count, |value, key| value.get(key))?.as_f64()
}

/// The sum of the numbers in an object.
pub(super) fn sum(count: &Value, key: &str, counted: impl Fn(&str) -> bool) -> Option<f64> {
    let object = count.get(key)?.as_object()?;
    Some(object.iter().filter(|(key, _)| counted(key)).filter_map(|(_, value)| value.as_f64()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_quantiles() {
        let row =
            Row::read("{\"measure\":\"m\",\"way\":\"w\",\"parameter\":64,\"nanoseconds\":[3.0,1.0,2.0]}");
        let row = row.expect("a row");
        assert_eq!([row.quantile(0.0), row.median(), row.quantile(1.0)], [1.0, 2.0, 3.0]);
        assert!(Row::read("{\"measure\":\"m\",\"way\":\"w\",\"parameter\":64,\"nanoseconds\":[]}").is_err());
    }

    #[test]
    fn the_fastest_way_is_found_among_those_that_ran() {
        let row = |way: &str, time: f64| Row {
            measure: "m".to_owned(),
            way: way.to_owned(),
            parameter: 1,
            nanoseconds: vec![time],
        };
        let data = Data { rows: vec![row("a", 5.0), row("b", 4.0)], ..Data::default() };
        assert_eq!(data.fastest("m", &["a", "b", "c"], 1), Some(4.0));
        assert_eq!(data.fastest("m", &["c"], 1), None);
        assert_eq!(data.ways("m"), ["a", "b"]);
    }

    #[test]
    fn numbers_are_found_by_their_path() {
        let count = serde_json::json!({ "ndk": { "sends": 3 }, "locks": { "WrSk": 1, "WrSo": 2 } });
        assert_eq!(number(&count, &["ndk", "sends"]), Some(3.0));
        assert_eq!(number(&count, &["ndk", "none"]), None);
        assert_eq!(sum(&count, "locks", |tag| tag != "WrSo"), Some(1.0));
    }
}
