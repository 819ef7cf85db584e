//! Operation counts of the stream engine, which do not depend on the machine.

use anyhow::{Result, anyhow};
use stream::{Config, ConfigError, Engine, Extensions, LocalMemory, Role, Transmit};

/// What a stream of equal messages cost the sender.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    /// Messages that were sent.
    messages: u64,
    /// NdkWrite and NdkSend requests of both ends.
    work_requests: u64,
    /// Completion queue entries of both ends: one for each Send and one for each receive.
    completions: u64,
    /// Credit messages of both ends; a credit beside data is none.
    credits: u64,
}

/// One end: the engine, and the target list that its peer writes.
struct End {
    engine: Engine,
    list: Vec<[u8; stream::TARGET_ENTRY_LEN]>,
    list_address: u64,
}

impl End {
    fn new(role: Role, base: u64, extensions: Extensions) -> Result<Self, ConfigError> {
        let list_address = base + (1 << 32);
        let memory = LocalMemory { ring_addr: base, ring_key: 1, list_addr: list_address, list_key: 2 };
        let list = vec![[0; stream::TARGET_ENTRY_LEN]; usize::from(Config::DEFAULT.list_entries)];
        Ok(Self {
            engine: Engine::new(Config { extensions, ..Config::DEFAULT }, role, memory)?,
            list,
            list_address,
        })
    }
}

/// Posts what `from` has and delivers it to `to` at once, as an adapter without delay would.
fn carry(from: &mut End, to: &mut End, cost: &mut Cost) -> Result<bool, String> {
    let mut moved = false;
    while let Some(work) = from.engine.poll_transmit(u32::MAX) {
        moved = true;
        cost.work_requests += u64::from(work.work_requests());
        cost.completions += 2;
        if let Transmit::Credit { publish, .. } = work {
            cost.credits += 1;
            if let Some(publish) = publish {
                let place = (publish.remote_addr - to.list_address) / stream::TARGET_ENTRY_LEN as u64;
                let entry = to.list.get_mut(place as usize).ok_or("a descriptor outside the list")?;
                *entry = publish.entry;
            }
        }
        let entry = to.list.get(to.engine.wanted_entry()).copied().unwrap_or_default();
        let mut message = work.head().to_vec();
        if let Transmit::SendData { len, .. } = work {
            message.resize(message.len() + len as usize, 0);
        }
        let event = to.engine.handle_message(&message, entry).map_err(|e| format!("{e:?}"))?;
        if let stream::Event::Credit { clear_entry: Some(index) } = event {
            *to.list.get_mut(index).ok_or("no such entry")? = Default::default();
        }
        from.engine.handle_transmit_complete().map_err(|e| format!("{e:?}"))?;
    }
    Ok(moved)
}

/// Sends `messages` of `octets` each to a reader that takes every one at once. Both ends offer `extensions`; without any
/// they are to each other what a Linux peer is.
///
/// # Errors
/// A sentence, when the engines do not get on with each other.
fn stream_of(messages: u64, octets: u64, extensions: Extensions) -> Result<Cost, String> {
    let (mut a, mut b) = connected(extensions)?;
    let mut cost = Cost { messages, work_requests: 0, completions: 0, credits: 0 };
    for _ in 0..messages {
        pass(&mut a, &mut b, octets, &mut cost)?;
    }
    Ok(cost)
}

/// Two ends that know each other.
fn connected(extensions: Extensions) -> Result<(End, End), String> {
    let end = |role, base| End::new(role, base, extensions).map_err(|e| format!("{e:?}"));
    let (mut a, mut b) = (end(Role::Active, 1 << 40)?, end(Role::Passive, 1 << 41)?);
    let (for_b, for_a) = (a.engine.local_conn_data(), b.engine.local_conn_data());
    a.engine.establish(&for_a).map_err(|e| format!("{e:?}"))?;
    b.engine.establish(&for_b).map_err(|e| format!("{e:?}"))?;
    Ok((a, b))
}

/// One message from `from` to `to`, which reads it.
fn pass(from: &mut End, to: &mut End, octets: u64, cost: &mut Cost) -> Result<(), String> {
    from.engine.queue_send(octets).map_err(|e| format!("{e:?}"))?;
    let target = from.engine.queued_offset();
    while from.engine.sent_offset() < target || to.engine.readable() != 0 {
        let mut moved = carry(from, to, cost)?;
        let readable = to.engine.readable();
        to.engine.consume(readable).map_err(|e| format!("{e:?}"))?;
        moved |= readable != 0;
        // An answer takes the credit with it; only what will not wait for one goes now.
        moved |= carry(to, from, cost)?;
        if !moved {
            return Err(format!("stalled at octet {} of {target}", from.engine.sent_offset()));
        }
    }
    Ok(())
}

/// Sends `rounds` requests of `octets`, each of which the other end answers with as many.
///
/// # Errors
/// A sentence, when the engines do not get on with each other.
fn request_and_answer(rounds: u64, octets: u64, extensions: Extensions) -> Result<Cost, String> {
    let (mut a, mut b) = connected(extensions)?;
    let mut cost = Cost { messages: 2 * rounds, work_requests: 0, completions: 0, credits: 0 };
    for _ in 0..rounds {
        pass(&mut a, &mut b, octets, &mut cost)?;
        pass(&mut b, &mut a, octets, &mut cost)?;
    }
    Ok(cost)
}

type Pattern = fn(u64, u64, Extensions) -> Result<Cost, String>;

/// Prints the counts for messages of several sizes.
///
/// # Errors
/// A sentence, when the engines do not get on with each other.
pub(crate) fn print() -> Result<()> {
    let patterns: [(&str, Pattern); 2] =
        [("one way", stream_of), ("requests and answers", request_and_answer)];
    for (peer, extensions) in [("an equal", Extensions::all()), ("a Linux peer", Extensions::empty())] {
        for (pattern, run) in patterns {
            println!("{pattern}, {peer}; each per message, both ends:");
            println!("octets per message   work requests   completions   credit messages");
            for octets in [1_u64, 64, 1024, 4096, 65_536, 1 << 20] {
                let cost = run(1000, octets, extensions).map_err(|message| anyhow!(message))?;
                let per = |n: u64| n as f64 / cost.messages as f64;
                let (work, completions) = (per(cost.work_requests), per(cost.completions));
                println!("{octets:>18} {work:>15.2} {completions:>13.2} {:>17.3}", per(cost.credits));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{request_and_answer, stream_of};
    use stream::Extensions;

    #[test]
    fn between_equals_a_small_message_costs_one_work_request_beside_the_credits() {
        let cost = stream_of(10_000, 64, Extensions::all()).unwrap();
        assert!(cost.work_requests - 2 * cost.credits <= cost.messages, "{cost:?}");
        assert!(cost.credits * 50 < cost.messages, "{cost:?}");
    }

    #[test]
    fn a_small_message_costs_two_work_requests_beside_the_credits() {
        let cost = stream_of(10_000, 64, Extensions::empty()).unwrap();
        assert!(cost.work_requests - 2 * cost.credits <= 2 * cost.messages, "{cost:?}");
        assert!(cost.credits * 50 < cost.messages, "{cost:?}");
    }

    #[test]
    fn between_equals_credit_goes_with_the_answers() {
        let cost = request_and_answer(10_000, 64, Extensions::all()).unwrap();
        // What is left are the regions of the ring.
        assert!(cost.credits * 900 < cost.messages, "{cost:?}");
        let without = Extensions::all().difference(Extensions::CREDIT);
        assert!(request_and_answer(10_000, 64, without).unwrap().credits > 5 * cost.credits);
    }

    #[test]
    fn a_large_message_is_cut_by_the_ring_only() {
        let cost = stream_of(100, 1 << 20, Extensions::all()).unwrap();
        // Half rings of 64 KiB: 16 pieces a message, each with the credit that makes room for the next.
        assert!(cost.work_requests <= cost.messages * 16 * 4 + 8, "{cost:?}");
    }
}
