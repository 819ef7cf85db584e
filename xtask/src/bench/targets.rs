//! What is aimed at, and what was reached.

use serde::Serialize;
use serde_json::Value;

use super::samples::{Data, number, sum};

/// The message that small ones are measured with, octets.
pub(super) const SMALL: u64 = 64;
/// The message of the bulk stream, octets.
pub(super) const LARGE: u64 = 64 << 10;
/// Pool tags of the software adapter, which stands for a NIC: what it does is not the driver's.
const ADAPTER: &[&str] = &["WrSo", "WrSj", "WrSm", "WrSp", "WrSt"];

/// One measure with its target.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Target {
    pub(super) name: &'static str,
    /// None where it was not measured.
    pub(super) value: Option<f64>,
    pub(super) unit: &'static str,
    /// In words: `at most 1`.
    pub(super) target: String,
    pub(super) met: Option<bool>,
}

#[derive(Clone, Copy)]
enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

fn target(name: &'static str, value: Option<f64>, unit: &'static str, aim: Aim) -> Target {
    let (target, met) = match aim {
        Aim::AtMost(limit) => (format!("at most {limit}"), value.map(|value| value <= limit)),
        Aim::AtLeast(limit) => (format!("at least {limit}"), value.map(|value| value >= limit)),
    };
    Target { name, value, unit, target, met }
}

/// So many of something of the driver's for each message.
fn per_message(count: Option<&Value>, of: impl Fn(&Value) -> Option<f64>) -> Option<f64> {
    let count = count?;
    Some(of(count)? / number(count, &["messages"])?)
}

fn allocations(count: &Value) -> Option<f64> {
    sum(count, "allocations", |tag| !ADAPTER.contains(&tag))
}

fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    Some(above? / below?)
}

/// All targets.
pub(super) fn all(data: &Data) -> Vec<Target> {
    use Aim::{AtLeast, AtMost};
    let time = |measure, way, parameter| data.row(measure, way, parameter).map(super::samples::Row::median);
    let tcp = |measure, parameter| data.fastest(measure, &["tcp", "tcp-threads"], parameter);
    let ours = |measure, parameter| data.fastest(measure, &["wsk-receive", "wsk-indication"], parameter);
    let count = |measure, way, octets| data.count(measure, way, octets);
    let requests =
        |count: &Value| Some(number(count, &["ndk", "sends"])? + number(count, &["ndk", "writes"])?);
    // A call of the client's, or an entry of a completion queue.
    let operations =
        |count: &Value| Some(number(count, &["completed_irps"])? + number(count, &["ndk", "completions"])?);
    let locks = count("ping-pong", "wsk-receive", SMALL)
        .and_then(|count| Some(number(count, &["locks"])? / operations(count)?));
    // Each message uses up a posted receive, whose entry is the message; what is beside these tells of sends.
    let send_completions =
        |count: &Value| Some(number(count, &["ndk", "completions"])? - number(count, &["ndk", "receives"])?);
    let beyond =
        |measure, way| Some(data.instructions(measure, way)? - data.instructions(measure, "raw-ndk")?);
    let many = data.parameters("many-sockets");
    let at = |parameter: Option<&u64>| time("many-sockets", "wsk-receive", *parameter?);
    let idle = data.counts.iter().find(|count| count.get("measure").and_then(Value::as_str) == Some("idle"));
    let idle = idle.and_then(|idle| sum(idle, "octets", |tag| !ADAPTER.contains(&tag)));
    let small = |way| per_message(count("ping-pong", way, SMALL), allocations);
    let large = |way| per_message(count("stream", way, LARGE), allocations);
    vec![
        target(
            "allocations per message of 64 octets, WskReceive",
            small("wsk-receive"),
            "blocks",
            AtMost(0.0),
        ),
        target(
            "allocations per indicated message of 64 octets",
            small("wsk-indication"),
            "blocks",
            AtMost(0.0),
        ),
        target("allocations per message of 64 KiB, WskReceive", large("wsk-receive"), "blocks", AtMost(0.0)),
        target("locks per operation on the data path", locks, "locks", AtMost(1.0)),
        target(
            "work requests per message of 64 octets between equals",
            per_message(count("ping-pong", "wsk-receive", SMALL), requests),
            "requests",
            AtMost(1.0),
        ),
        target(
            "completions of sends per message in a stream",
            per_message(count("stream", "wsk-indication", SMALL), send_completions),
            "entries",
            AtMost(1.0 / 16.0),
        ),
        target(
            "instructions of a message of 64 octets beyond raw NDK, both sides",
            beyond("ping-pong", "wsk-receive"),
            "instructions",
            AtMost(1200.0),
        ),
        target(
            "ping-pong of 64 octets against TCP loopback",
            ratio(tcp("ping-pong", SMALL), ours("ping-pong", SMALL)),
            "times as fast",
            AtLeast(10.0),
        ),
        target(
            "ping-pong of 64 octets against raw NDK",
            ratio(ours("ping-pong", SMALL), time("ping-pong", "raw-ndk", SMALL)),
            "times its round trip",
            AtMost(1.5),
        ),
        target(
            "stream of 64 KiB against TCP loopback",
            ratio(tcp("stream", LARGE), ours("stream", LARGE)),
            "times as fast",
            AtLeast(3.0),
        ),
        target(
            "stream of 64 KiB by indication against a ring with one copy",
            ratio(time("stream", "ring-one-copy", LARGE), time("stream", "wsk-indication", LARGE)),
            "times as fast",
            AtLeast(0.8),
        ),
        target(
            "the same client under Wine, small messages, against Wine's netio.sys",
            data.wine.map(|wine| wine.netio / wine.ours),
            "times as fast",
            AtLeast(5.0),
        ),
        target(
            "instructions of the fallback against the system's socket",
            ratio(
                data.instructions("fallback", "wsk-receive"),
                data.instructions("fallback", "system-receive"),
            ),
            "times as many",
            AtMost(1.03),
        ),
        target(
            "connect, accept and close against TCP loopback",
            ratio(time("connect", "tcp", 0), time("connect", "wsk", 0)),
            "times as fast",
            AtLeast(1.0),
        ),
        target(
            "cost of a message with the most sockets against two",
            ratio(at(many.last()), at(many.first())),
            "times",
            AtMost(1.25),
        ),
        target(
            "memory of an idle connection, one end",
            idle.map(|octets| octets / 1024.0),
            "KiB",
            AtMost(32.0),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        for target in all(&Data::default()) {
            assert_eq!((target.value, target.met), (None, None), "{}", target.name);
        }
    }

    #[test]
    fn allocations_of_the_adapter_do_not_count() {
        let count = serde_json::json!({
            "measure": "ping-pong", "way": "wsk-receive", "octets": 64, "messages": 10,
            "allocations": { "WrSm": 20, "WrNd": 5 },
        });
        let data = Data { counts: vec![count], ..Data::default() };
        let first = all(&data).into_iter().next().expect("a target");
        assert_eq!((first.value, first.met), (Some(0.5), Some(false)));
    }
}
