//! What `wskrdma-test --json` says, one JSON object a line.

use serde_json::Value;

use crate::conformance::ran::Ran;

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// So much of a transfer is done.
    Progress { bytes: u64, total: u64 },
    /// A transfer is done.
    Transfer(Box<Outcome>),
    /// A conformance case was run, or listed.
    Case(Box<Ran>),
    /// The work failed.
    Error(String),
    /// Something else, for a person.
    Text(String),
}

/// What a transfer did.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Bytes that arrived.
    pub(crate) bytes: u64,
    /// Time from the first send to the last byte, in seconds.
    pub(crate) seconds: f64,
    /// Digest of what arrived, in hexadecimal.
    pub(crate) sha256: String,
    /// Name of the adapter.
    pub(crate) adapter: String,
    /// `rdma` or another word.
    pub(crate) path: String,
    /// WskSend requests.
    pub(crate) sends: u64,
    /// WskReceive requests.
    pub(crate) receives: u64,
    /// Work requests of both ends.
    pub(crate) work_requests: u64,
    /// Completions of both ends.
    pub(crate) completions: u64,
    /// Credit messages of both ends.
    pub(crate) credits: u64,
    /// Copies of each byte outside the provider.
    pub(crate) copies_per_byte: f64,
}

impl Event {
    /// Reads one line.
    pub(super) fn parse(line: &str) -> Self {
        let line = line.trim();
        Self::of(line).unwrap_or_else(|| Self::Text(line.to_owned()))
    }

    fn of(line: &str) -> Option<Self> {
        let object: Value = serde_json::from_str(line).ok()?;
        let number = |key: &str| object.get(key)?.as_u64();
        let real = |key: &str| object.get(key)?.as_f64();
        let text = |key: &str| object.get(key)?.as_str().map(str::to_owned);
        match object.get("event")?.as_str()? {
            "progress" => Some(Self::Progress { bytes: number("bytes")?, total: number("total")? }),
            "case" | "listed" => Some(Self::Case(Box::new(Ran::read(&object)?))),
            "error" => Some(Self::Error(text("message")?)),
            "transfer" => Some(Self::Transfer(Box::new(Outcome {
                bytes: number("bytes")?,
                seconds: real("seconds")?,
                sha256: text("sha256")?,
                adapter: text("adapter")?,
                path: text("path")?,
                sends: number("sends")?,
                receives: number("receives")?,
                work_requests: number("work_requests")?,
                completions: number("completions")?,
                credits: number("credits")?,
                copies_per_byte: real("copies_per_byte")?,
            }))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_understood() {
        let progress = Event::parse("{\"event\":\"progress\",\"bytes\":1,\"total\":2}\r\n");
        assert_eq!(progress, Event::Progress { bytes: 1, total: 2 });
        let error = Event::parse("{\"event\":\"error\",\"message\":\"no\"}");
        assert_eq!(error, Event::Error("no".to_owned()));
        assert_eq!(Event::parse("plain"), Event::Text("plain".to_owned()));
        let line = "{\"event\":\"transfer\",\"bytes\":3,\"seconds\":0.5,\"sha256\":\"aa\",\"adapter\":\"a\",\
                    \"path\":\"rdma\",\"sends\":1,\"receives\":2,\"work_requests\":3,\"completions\":4,\"credits\":5,\
                    \"copies_per_byte\":2.0}";
        let Event::Transfer(outcome) = Event::parse(line) else { panic!("a transfer") };
        assert_eq!((outcome.bytes, outcome.path.as_str(), outcome.credits), (3, "rdma", 5));
    }

    #[test]
    fn a_transfer_without_its_numbers_is_none() {
        let line = "{\"event\":\"transfer\",\"bytes\":3}";
        assert_eq!(Event::parse(line), Event::Text(line.to_owned()));
    }
}
