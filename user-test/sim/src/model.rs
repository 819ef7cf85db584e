//! What the two ends of a connection may see.
//!
//! Every WskSend has octets of its own, so a reader's octets tell which sends they are of. The law of the stream: a reader has
//! a beginning of what was sent, in order, without a gap and without a repetition; it is told of the end only where the
//! sender has announced one, and after everything before it. A cancelled send may be missing as a whole, or be the last
//! thing that arrives. A request may fail only if the model knows why the connection may be lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cases::pattern;

use crate::plant::{self, Plant};
use crate::report::demand;

/// Which end: who connects, or who accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Connecting,
    Accepting,
}

impl Side {
    /// The other end.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Connecting => Self::Accepting,
            Self::Accepting => Self::Connecting,
        }
    }
}

/// What has become of a send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Open,
    Done,
    /// It was made after the end was announced: nothing of it arrives.
    Refused,
    /// It was cancelled by its client: all of it arrives, or none, or a part and then nothing.
    Cancelled,
    /// Its connection was lost: whatever arrives, nothing is left out.
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Send {
    id: u64,
    length: usize,
    fate: Fate,
}

/// One direction of a connection: what one end sends and the other one reads.
#[derive(Default, Debug)]
struct Direction {
    sends: Vec<Send>,
    /// WskDisconnect was called, gracefully.
    announced: bool,
    read: Vec<u8>,
    /// The reader was told of the end.
    ended: bool,
}

/// A connection, by the port that its connecting end is bound to.
#[derive(Default, Debug)]
pub(crate) struct Connection {
    directions: [Direction; 2],
    /// Why it may be lost.
    excuse: Option<String>,
    /// Accepted sockets that are its other end; more than one where a handshake was given up and begun anew.
    accepted: usize,
}

static MODEL: Mutex<BTreeMap<u16, Connection>> = Mutex::new(BTreeMap::new());

fn model() -> MutexGuard<'static, BTreeMap<u16, Connection>> {
    MODEL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with<R>(key: u16, look: impl FnOnce(&mut Connection) -> R) -> R {
    look(model().entry(key).or_default())
}

impl Connection {
    /// The direction in which `side` sends.
    fn from(&mut self, side: Side) -> &mut Direction {
        let [first, second] = &mut self.directions;
        match side {
            Side::Connecting => first,
            Side::Accepting => second,
        }
    }
}

/// The octets of a send.
pub(crate) fn content(id: u64, length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    pattern::fill(&mut octets, id << 32);
    octets
}

/// A send is about to be made; its number.
pub(crate) fn send_begins(key: u16, side: Side, length: usize) -> u64 {
    with(key, |connection| {
        let which = if side == Side::Connecting { 0 } else { 1 };
        let direction = connection.from(side);
        if plant::is(Plant::Send) {
            return 0;
        }
        let id = u64::from(key) << 16 | which << 15 | direction.sends.len() as u64;
        let fate = if direction.announced { Fate::Refused } else { Fate::Open };
        direction.sends.push(Send { id, length, fate });
        id
    })
}

/// A send has ended.
pub(crate) fn send_ends(key: u16, side: Side, id: u64, fate: Fate) {
    with(key, |connection| {
        if let Some(send) = connection.from(side).sends.iter_mut().find(|send| send.id == id) {
            demand!(
                send.fate != Fate::Refused || fate != Fate::Done,
                "a send of port {key} behind WskDisconnect ends with success"
            );
            if send.fate != Fate::Refused {
                send.fate = fate;
            }
        }
    });
}

/// A graceful WskDisconnect is about to be made.
pub(crate) fn announce(key: u16, side: Side) {
    with(key, |connection| connection.from(side).announced = true);
}

/// Whether a graceful WskDisconnect was made.
pub(crate) fn is_announced(key: u16, side: Side) -> bool {
    with(key, |connection| connection.from(side).announced)
}

/// Octets that `side` has read. Afterwards nothing may come if it was told of the end before.
pub(crate) fn read(key: u16, side: Side, octets: &[u8]) {
    with(key, |connection| {
        let direction = connection.from(side.other());
        demand!(octets.is_empty() || !direction.ended, "octets after the end of the stream");
        direction.read.extend(octets);
        if let Some(octet) = direction.read.last_mut().filter(|_| plant::is(Plant::Octet)) {
            *octet ^= 1;
        }
        check(key, direction);
    });
}

/// Octets that `side` has read so far.
pub(crate) fn read_so_far(key: u16, side: Side) -> usize {
    with(key, |connection| connection.from(side.other()).read.len())
}

/// `side` is told of the end of the stream.
pub(crate) fn end(key: u16, side: Side) {
    with(key, |connection| {
        let direction = connection.from(side.other());
        demand!(direction.announced, "the end of a stream (port {key}) that its sender has not announced");
        direction.ended = true;
        check(key, direction);
    });
}

/// Whether `side` was told of the end of the stream.
pub(crate) fn has_ended(key: u16, side: Side) -> bool {
    with(key, |connection| connection.from(side.other()).ended)
}

/// From here on the connection may be lost.
pub(crate) fn excuse(key: u16, why: &str) {
    with(key, |connection| {
        connection.excuse.get_or_insert_with(|| why.to_owned());
    });
}

/// Why a connection may be lost, if it may.
pub(crate) fn excuse_of(key: u16) -> Option<String> {
    with(key, |connection| connection.excuse.clone())
}

/// A socket is accepted. Another one for the same connection means that its handshake was begun anew.
pub(crate) fn accepted(key: u16) {
    with(key, |connection| {
        connection.accepted += 1;
        if connection.accepted > 1 {
            connection.excuse.get_or_insert_with(|| "the handshake was begun anew".to_owned());
        }
    });
}

/// Closes both directions in the model: whether a close now is no abort.
pub(crate) fn is_finished(key: u16) -> bool {
    with(key, |connection| {
        connection.directions.iter().all(|direction| direction.announced && direction.ended)
    })
}

/// Whether `read` is a beginning of what was sent, and all of it if the end was told.
fn check(key: u16, direction: &Direction) {
    if let Err(why) = explain(&direction.sends, &direction.read, direction.ended) {
        let sends = &direction.sends;
        crate::report::violation(format_args!(
            "stream of port {key}, {} octets read: {why}; sends {sends:?}",
            direction.read.len()
        ));
    }
}

/// How far the first of `sends` explain the octets.
fn explain(sends: &[Send], read: &[u8], ended: bool) -> Result<(), String> {
    let Some((send, later)) = sends.split_first() else {
        return if read.is_empty() {
            Ok(())
        } else {
            Err(format!("{} octets that nobody has sent", read.len()))
        };
    };
    let needed = |send: &Send| send.length != 0 && !matches!(send.fate, Fate::Refused | Fate::Cancelled);
    if read.is_empty() {
        let missing = ended && sends.iter().any(needed);
        return if missing { Err("the end before all octets".to_owned()) } else { Ok(()) };
    }
    match send.fate {
        Fate::Refused => return explain(later, read, ended),
        Fate::Cancelled if explain(later, read, ended).is_ok() => return Ok(()),
        _ => {}
    }
    let expected = content(send.id, send.length);
    let common = expected.len().min(read.len());
    let (head, rest) = read.split_at(common);
    if let Some(at) = head.iter().zip(&expected).position(|(found, expected)| found != expected) {
        // It may be cancelled, and its client not have looked yet.
        if send.fate == Fate::Open && at == 0 && explain(later, read, ended).is_ok() {
            return Ok(());
        }
        return Err(format!("octet {at} of send {} is not its own", send.id & 0x7FFF));
    }
    if ended && common < expected.len() {
        return Err(format!("the end after {common} octets of send {}", send.id & 0x7FFF));
    }
    explain(later, rest, ended)
}

/// The last look at every connection.
pub(crate) fn judge() {
    for (key, connection) in &*model() {
        for direction in &connection.directions {
            check(*key, direction);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(fates: &[Fate]) -> Vec<Send> {
        let send = |(id, fate): (usize, &Fate)| Send { id: id as u64, length: 10, fate: *fate };
        fates.iter().enumerate().map(send).collect()
    }

    fn stream(ids: &[u64]) -> Vec<u8> {
        ids.iter().flat_map(|id| content(*id, 10)).collect()
    }

    #[test]
    fn a_beginning_in_order_is_explained() {
        let sends = sends(&[Fate::Done; 3]);
        let whole = stream(&[0, 1, 2]);
        for length in 0..=30 {
            assert_eq!(explain(&sends, &whole[..length], false), Ok(()));
            assert_eq!(explain(&sends, &whole[..length], true).is_ok(), length == 30, "{length}");
        }
    }

    #[test]
    fn what_is_lost_doubled_swapped_or_made_up_is_found() {
        let sends = sends(&[Fate::Done; 3]);
        for wrong in [&[0, 2][..], &[0, 0, 1], &[1, 0], &[0, 1, 2, 2], &[7]] {
            assert!(explain(&sends, &stream(wrong), false).is_err(), "{wrong:?}");
        }
        let mut gap = stream(&[0, 1, 2]);
        gap.remove(13);
        assert!(explain(&sends, &gap, false).is_err());
    }

    #[test]
    fn a_cancelled_send_is_missing_or_whole_or_the_last_one() {
        let sends = sends(&[Fate::Done, Fate::Cancelled, Fate::Done]);
        assert_eq!(explain(&sends, &stream(&[0, 2]), true), Ok(()));
        assert_eq!(explain(&sends, &stream(&[0, 1, 2]), true), Ok(()));
        assert_eq!(explain(&sends, &stream(&[0, 1])[..15], false), Ok(()));
        // A part of it, and then another one.
        let mut torn = stream(&[0, 1])[..15].to_vec();
        torn.extend(stream(&[2]));
        assert!(explain(&sends, &torn, false).is_err());
        // A part of it, and then the end.
        assert!(explain(&sends, &stream(&[0, 1])[..15], true).is_err());
    }

    #[test]
    fn a_send_behind_the_announced_end_never_arrives() {
        let sends = sends(&[Fate::Done, Fate::Refused]);
        assert_eq!(explain(&sends, &stream(&[0]), true), Ok(()));
        assert!(explain(&sends, &stream(&[0, 1]), false).is_err());
    }
}
