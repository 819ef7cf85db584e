//! What a peer does with a connection, step by step, and what comes of it.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::socket::Stream;

/// Octets of one receive, and of one send where nothing else is said.
const PIECE: usize = 64 << 10;

/// One step, as written in an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// `send=OCTETS`: octets that look random.
    Send(u64),
    /// `count=OCTETSxTIMES`: so many sends of so many octets that count from 0 to 255 over and over, as rstream's.
    Count { octets: usize, times: u64 },
    /// `counted=OCTETSxTIMES`: receives as many and finds them right.
    Counted { octets: usize, times: u64 },
    /// `text=…`: sends it; `\n` stands for the end of a line of HTTP.
    Text(String),
    /// `header`: receives to an empty line, and learns Content-Length.
    Header,
    /// `body`: receives as many octets as the header has said.
    Body,
    /// `receive`: receives to the end of the stream.
    Receive,
    /// `receive=OCTETS`: receives so many.
    ReceiveSome(u64),
    /// `lost`: receives until the connection is lost. Its orderly end would be wrong.
    Lost,
    /// `unsent`: sends until the connection is lost.
    Unsent,
    /// `finish`: ends the own direction.
    Finish,
    /// `hold=MILLISECONDS`: does nothing.
    Hold(u64),
    /// `say=WORD`: tells the program that has started this one.
    Say(String),
}

fn product(text: &str) -> Result<(usize, u64)> {
    let (octets, times) = text.split_once('x').unwrap_or((text, "1"));
    Ok((octets.parse()?, times.parse()?))
}

impl FromStr for Step {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let number = || value.context("a number is missing")?.parse::<u64>().context("no number");
        let word = || value.map(str::to_owned).context("a word is missing");
        Ok(match (name, value) {
            ("send", _) => Self::Send(number()?),
            ("count", Some(value)) => product(value).map(|(octets, times)| Self::Count { octets, times })?,
            ("counted", Some(value)) => {
                product(value).map(|(octets, times)| Self::Counted { octets, times })?
            }
            ("text", _) => Self::Text(word()?.replace("\\n", "\r\n")),
            ("header", None) => Self::Header,
            ("body", None) => Self::Body,
            ("receive", None) => Self::Receive,
            ("receive", Some(_)) => Self::ReceiveSome(number()?),
            ("lost", None) => Self::Lost,
            ("unsent", None) => Self::Unsent,
            ("finish", None) => Self::Finish,
            ("hold", _) => Self::Hold(number()?),
            ("say", _) => Self::Say(word()?),
            _ => bail!("there is no step {text}"),
        })
    }
}

/// What has come of a connection.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// Octets sent, and their SHA-256.
    sent: u64,
    sent_sha256: String,
    /// Octets received, and their SHA-256; without a header of HTTP.
    received: u64,
    received_sha256: String,
    /// The orderly end of the peer's direction was seen.
    ended: bool,
    /// The error that a step expected.
    lost: Option<String>,
}

/// A connection on its way through the steps.
struct Walk<'a> {
    stream: &'a Stream,
    outcome: Outcome,
    sent: Sha256,
    received: Sha256,
    /// Received and not looked at.
    ahead: Vec<u8>,
    counts: u8,
    counted: u8,
    random: u64,
    content: u64,
}

/// Goes through the steps.
///
/// # Errors
///
/// What went wrong at which step.
pub(crate) fn walk(stream: &Stream, steps: &[Step]) -> Result<Outcome> {
    let mut walk = Walk {
        stream,
        outcome: Outcome::default(),
        sent: Sha256::new(),
        received: Sha256::new(),
        ahead: Vec::new(),
        counts: 0,
        counted: 0,
        random: 0x9E37_79B9_7F4A_7C15,
        content: 0,
    };
    for step in steps {
        walk.step(step).with_context(|| {
            let outcome = &walk.outcome;
            format!("{step:?}, after {} octets sent and {} received", outcome.sent, outcome.received)
        })?;
    }
    let mut outcome = walk.outcome;
    outcome.sent_sha256 = format!("{:x}", walk.sent.finalize());
    outcome.received_sha256 = format!("{:x}", walk.received.finalize());
    Ok(outcome)
}

impl Walk<'_> {
    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Send(octets) => {
                let mut left = *octets;
                while left != 0 {
                    let piece = self.random_octets(usize::try_from(left).unwrap_or(PIECE).min(PIECE));
                    left -= piece.len() as u64;
                    self.send(&piece)?;
                }
                Ok(())
            }
            Step::Count { octets, times } => {
                for _ in 0..*times {
                    let piece: Vec<u8> = (0..*octets).map(|_| next(&mut self.counts)).collect();
                    self.send(&piece)?;
                }
                Ok(())
            }
            Step::Counted { octets, times } => {
                for octet in self.take_exactly(*octets as u64 * times)? {
                    let due = next(&mut self.counted);
                    if octet != due {
                        bail!("octet {octet} where {due} is due");
                    }
                }
                Ok(())
            }
            Step::Text(text) => self.send(text.as_bytes()),
            Step::Header => self.header(),
            Step::Body => self.take_exactly(self.content).map(drop),
            Step::Receive => {
                while !self.take(PIECE)?.is_empty() {}
                self.outcome.ended = true;
                Ok(())
            }
            Step::ReceiveSome(octets) => self.take_exactly(*octets).map(drop),
            Step::Lost => loop {
                match self.take(PIECE) {
                    Ok(octets) if octets.is_empty() => bail!("an orderly end, where the connection is lost"),
                    Ok(_) => {}
                    Err(error) => break self.lost(error),
                }
            },
            Step::Unsent => loop {
                let piece = self.random_octets(PIECE);
                if let Err(error) = self.send(&piece) {
                    break self.lost(error);
                }
            },
            Step::Finish => self.stream.finish(),
            Step::Hold(milliseconds) => {
                std::thread::sleep(Duration::from_millis(*milliseconds));
                Ok(())
            }
            Step::Say(word) => {
                crate::tell(&serde_json::json!({ "said": word }));
                Ok(())
            }
        }
    }

    /// An error that was waited for; one that tells of a lost IRP is none.
    fn lost(&mut self, error: Error) -> Result<()> {
        let text = error.to_string();
        if !text.contains("status") {
            return Err(error);
        }
        self.outcome.lost = Some(text);
        Ok(())
    }

    fn random_octets(&mut self, count: usize) -> Vec<u8> {
        let octets = (0..count).map(|_| {
            self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let [.., high] = self.random.to_le_bytes();
            high
        });
        octets.collect()
    }

    fn send(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.send(octets)?;
        self.sent.update(octets);
        self.outcome.sent += octets.len() as u64;
        Ok(())
    }

    /// Some octets, or none at the end.
    fn take(&mut self, most: usize) -> Result<Vec<u8>> {
        let octets = if self.ahead.is_empty() {
            self.stream.receive(most)?
        } else {
            self.ahead.drain(..most.min(self.ahead.len())).collect()
        };
        self.received.update(&octets);
        self.outcome.received += octets.len() as u64;
        Ok(octets)
    }

    fn take_exactly(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while (all.len() as u64) < count {
            let missing = usize::try_from(count - all.len() as u64).unwrap_or(PIECE);
            let some = self.take(missing.min(PIECE))?;
            if some.is_empty() {
                bail!("the stream ends {missing} octets too early");
            }
            all.extend(some);
        }
        Ok(all)
    }

    fn header(&mut self) -> Result<()> {
        const END: &[u8] = b"\r\n\r\n";
        let end = loop {
            let found = self.ahead.windows(END.len()).position(|window| window == END);
            if let Some(at) = found {
                break at + END.len();
            }
            let some = self.stream.receive(PIECE)?;
            if some.is_empty() || self.ahead.len() > PIECE {
                bail!("no header of HTTP");
            }
            self.ahead.extend(some);
        };
        let header: Vec<u8> = self.ahead.drain(..end).collect();
        let header = String::from_utf8_lossy(&header).into_owned();
        let length = header.lines().filter_map(|line| line.split_once(':'));
        let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        self.content = match length.next() {
            Some((_, value)) => value.trim().parse().map_err(|_| anyhow!("Content-Length: {value}"))?,
            None => 0,
        };
        Ok(())
    }
}

/// A counter's value, which it leaves behind.
fn next(counter: &mut u8) -> u8 {
    let value = *counter;
    *counter = counter.wrapping_add(1);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let read = |text: &str| text.parse::<Step>().unwrap();
        assert_eq!(read("send=5"), Step::Send(5));
        assert_eq!(read("count=1x10000"), Step::Count { octets: 1, times: 10_000 });
        assert_eq!(read("counted=16"), Step::Counted { octets: 16, times: 1 });
        assert_eq!(read("text=GET / HTTP/1.0\\n\\n"), Step::Text("GET / HTTP/1.0\r\n\r\n".to_owned()));
        assert_eq!(read("receive"), Step::Receive);
        assert_eq!(read("receive=7"), Step::ReceiveSome(7));
        for wrong in ["send", "send=much", "count", "stop", "receive=", "header=1"] {
            assert!(wrong.parse::<Step>().is_err(), "{wrong}");
        }
    }
}
