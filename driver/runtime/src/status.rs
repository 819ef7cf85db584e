//! The status tree, from the provider's view of itself.

use abi::NTSTATUS;
use control::Address;
use control::driver::{
    ACTION_NEVER, ACTION_PREFER, ACTION_REQUIRE, ADAPTER_DISABLED, ADAPTER_FAILED, ADAPTER_GOING,
    ADAPTER_OPEN, ADAPTER_STUCK, ADAPTER_UNFIT, ADAPTER_WRONG_VERSION, AdapterRow, CONTRACT_VERSION,
    EventRow, NO_INTERFACE, PATH_NONE, PATH_RDMA, PATH_TCP, PolicyVerdict, ReasonRow, Row, RuleRow,
    SocketRow, Source, StatusHeader, TEXT_SIZE, WhyReply, Work,
};
use core::fmt;
use core::net::SocketAddr;
use trace::{Recorded, Snapshot};
use wsk::policy::{Action, PolicyBuilder};
use wsk::{AdapterView, Hardware, InterfaceView, Provider, SocketView, Standing, View, telemetry};

/// A provider, and who finds its adapters, as the IOCTL handlers see them.
pub(crate) struct Tree<'a>(pub(crate) &'a Provider, pub(crate) Option<&'a Hardware>);

impl Tree<'_> {
    /// The sum over sockets that `counts` takes and over `closed`, each connection once.
    fn sum(&self, closed: impl Fn() -> Snapshot, counts: impl Fn(&SocketView) -> bool) -> (u32, Snapshot) {
        self.0.census(|| {
            let (total, mut sockets) = (trace::Counters::new(), 0u32);
            total.add(&closed());
            self.0.view(&mut |view| {
                if let View::Socket(socket) = view
                    && counts(&socket)
                {
                    total.add(&socket.work);
                    sockets = sockets.saturating_add(1);
                }
                true
            });
            (sockets, total.snapshot())
        })
    }

    /// An adapter that connections may run over.
    fn open_adapter(&self, a: &AdapterView) -> AdapterRow {
        let (connections, work) = self.sum(|| self.closed_work(a.index), |s| s.interface == Some(a.index));
        AdapterRow { connections, work: self::work(&work), ..open_adapter(a) }
    }

    /// What closed connections of an adapter have done, as of now.
    fn closed_work(&self, index: u32) -> Snapshot {
        let mut closed = Snapshot::ZERO;
        self.0.view(&mut |view| match view {
            View::Adapter(a) if a.index == index => {
                closed = a.work;
                false
            }
            View::Adapter(_) => true,
            View::Socket(_) => false,
        });
        closed
    }
}

impl Source for Tree<'_> {
    fn header(&self) -> StatusHeader {
        let (_, total) = self.sum(|| self.0.totals().snapshot(), |_| true);
        StatusHeader {
            contract: CONTRACT_VERSION,
            adapters: 0,
            sockets: 0,
            irps_outstanding: u32::try_from(irp::account().outstanding()).unwrap_or(u32::MAX),
            reasons: 0,
            reserved: 0,
            total: work(&total),
        }
    }

    fn rows(&self, sink: &mut dyn FnMut(Row) -> bool) {
        let mut more = true;
        let closed = self.1.map(Hardware::view).unwrap_or_default();
        for row in closed.iter().filter_map(unopened) {
            more = more && sink(Row::Adapter(row));
        }
        if !more {
            return;
        }
        self.0.view(&mut |view| {
            more = sink(match view {
                View::Adapter(a) => Row::Adapter(self.open_adapter(&a)),
                View::Socket(s) => Row::Socket(socket(&s)),
            });
            more
        });
        for (reason, count) in self.0.reasons().iter().filter(|(_, count)| *count != 0) {
            more = more && sink(Row::Reason(ReasonRow { reason: reason.code(), reserved: 0, count }));
        }
    }

    fn events(&self, after: u64, sink: &mut dyn FnMut(EventRow) -> bool) -> (u64, u64) {
        let recorder = telemetry::recorder();
        let last = recorder.last();
        let mut recorded = recorder.after(after).take_while(|recorded| recorded.sequence <= last);
        // The end is the sink's, or there is none more.
        let _end = recorded.try_for_each(|r| if sink(event(&r)) { Ok(()) } else { Err(()) });
        (last, kernel::time::interrupt_time_100ns())
    }

    fn rules(&self, sink: &mut dyn FnMut(RuleRow) -> bool) {
        let policy = self.0.policy();
        let mut texts = policy.rules().iter().map(|rule| RuleRow { text: text(rule) });
        let _all = texts.all(sink);
    }

    fn judge(&self, rules: &str, enforce: bool) -> Result<PolicyVerdict, NTSTATUS> {
        let mut policy = PolicyBuilder::new();
        let (mut right, mut wrong, mut first) = (0u32, 0u32, None);
        for (line, rule) in control::driver::lines(rules) {
            match policy.add(rule) {
                Ok(()) => right = right.saturating_add(1),
                Err(error) => {
                    wrong = wrong.saturating_add(1);
                    first.get_or_insert((line, error));
                }
            }
        }
        let in_force = enforce && wrong == 0;
        if in_force {
            self.0.set_policy(policy.build().map_err(|e| e.status())?);
        }
        let (line, error) = first.map_or((0, [0; TEXT_SIZE]), |(line, error)| (line, text(&error)));
        Ok(PolicyVerdict { rules: right, wrong, line, in_force: in_force.into(), error })
    }

    fn why(&self, local: Option<SocketAddr>, remote: SocketAddr) -> WhyReply {
        let why = self.0.why(local, remote);
        let action = match why.rule.as_ref().map(|(_, rule)| rule.action) {
            None | Some(Action::Prefer) => ACTION_PREFER,
            Some(Action::Require) => ACTION_REQUIRE,
            Some(Action::Never) => ACTION_NEVER,
        };
        let (rule, rule_text) = why.rule.map_or((0, [0; TEXT_SIZE]), |(place, rule)| {
            (u32::try_from(place.saturating_add(1)).unwrap_or(u32::MAX), text(&rule))
        });
        let (route_status, interface_index, adapter, local) = match why.route {
            Ok((identity, local)) => (0, identity.index, identity.name, Address::from(local)),
            Err(status) => (status.cast_unsigned(), NO_INTERFACE, [0; 32], Address::default()),
        };
        WhyReply {
            contract: CONTRACT_VERSION,
            path: if why.rdma { PATH_RDMA } else { PATH_TCP },
            reason: why.reason.code(),
            falls_back: why.falls_back.into(),
            action,
            rule,
            remembered_ms: why
                .remembered
                .map_or(0, |left| u32::try_from(left.div_ceil(10_000)).unwrap_or(u32::MAX)),
            route_status,
            interface_index,
            reserved: 0,
            local,
            adapter,
            rule_text,
        }
    }
}

/// A text as a zero-filled field; what does not fit is left out.
fn text(value: &impl fmt::Display) -> [u8; TEXT_SIZE] {
    struct Field {
        octets: [u8; TEXT_SIZE],
        used: usize,
    }
    impl fmt::Write for Field {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = self.used.saturating_add(text.len());
            self.octets.get_mut(self.used..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
            self.used = end;
            Ok(())
        }
    }
    let mut field = Field { octets: [0; TEXT_SIZE], used: 0 };
    // Rules and what is wrong with them are shorter.
    let _ = fmt::write(&mut field, format_args!("{value}"));
    field.octets
}

/// An event in the form that crosses the boundary.
fn event(recorded: &Recorded) -> EventRow {
    let e = &recorded.event;
    EventRow {
        sequence: recorded.sequence,
        time: recorded.time,
        kind: e.kind.code(),
        reason: u16::try_from(e.reason.code()).unwrap_or(u16::MAX),
        status: e.status.cast_unsigned(),
        value: e.value,
        local: e.local.map(Address::from).unwrap_or_default(),
        remote: e.remote.map(Address::from).unwrap_or_default(),
    }
}

fn socket(s: &SocketView) -> SocketRow {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    SocketRow {
        kind: s.kind,
        path: match s.rdma {
            None => PATH_NONE,
            Some(true) => PATH_RDMA,
            Some(false) => PATH_TCP,
        },
        reason: s.reason.code(),
        state: s.state,
        interface_index: s.interface.unwrap_or(NO_INTERFACE),
        failure: s.failure.map_or(0, NTSTATUS::cast_unsigned),
        sends_waiting: count(s.waiting.0),
        receives_waiting: count(s.waiting.1),
        unsent: s.unsent,
        unread: s.unread,
        local: s.local.map(Address::from).unwrap_or_default(),
        remote: s.remote.map(Address::from).unwrap_or_default(),
        work: work(&s.work),
    }
}

/// An adapter that connections may run over.
fn open_adapter(a: &AdapterView) -> AdapterRow {
    let [answered_twice, events_too_many, entries_too_many, entries_missing, unanswered] = a.faults;
    AdapterRow {
        technology: a.info.technology,
        major: a.info.version.0,
        minor: a.info.version.1,
        interface_index: a.index,
        flags: a.info.flags,
        state: if a.stuck { ADAPTER_STUCK } else { ADAPTER_OPEN },
        status: 0,
        answered_twice,
        events_too_many,
        entries_too_many,
        entries_missing,
        unanswered,
        prepared: a.pool.ready,
        registered: a.registered,
        prepared_hits: a.pool.hits,
        prepared_misses: a.pool.misses,
        name: a.name,
        connections: 0,
        reserved: 0,
        work: Work::default(),
    }
}

/// A NIC that does RDMA and whose adapter is not open.
fn unopened(interface: &InterfaceView) -> Option<AdapterRow> {
    let (state, status) = match interface.standing {
        // A stuck one is among the open ones.
        Standing::Untried | Standing::Open | Standing::Stuck | Standing::NotCapable => return None,
        Standing::Disabled => (ADAPTER_DISABLED, 0),
        Standing::WrongVersion => (ADAPTER_WRONG_VERSION, 0),
        Standing::Unfit => (ADAPTER_UNFIT, 0),
        Standing::Failed(status) => (ADAPTER_FAILED, status.cast_unsigned()),
        Standing::HeldBack => (ADAPTER_GOING, 0),
    };
    Some(AdapterRow {
        technology: 0,
        major: 0,
        minor: 0,
        interface_index: interface.index,
        flags: 0,
        state,
        status,
        answered_twice: 0,
        events_too_many: 0,
        entries_too_many: 0,
        entries_missing: 0,
        unanswered: 0,
        prepared: 0,
        registered: 0,
        prepared_hits: 0,
        prepared_misses: 0,
        name: interface.name,
        connections: 0,
        reserved: 0,
        work: Work::default(),
    })
}

/// Counters in the form that crosses the boundary.
fn work(s: &Snapshot) -> Work {
    Work {
        octets_sent: s.octets_sent,
        octets_received: s.octets_received,
        writes: s.writes,
        sends: s.sends,
        receives: s.receives,
        completions: s.completions,
        credits_sent: s.credits_sent,
        credits_received: s.credits_received,
        stalls: s.stalls,
        octets_copied_out: s.octets_copied_out,
        octets_copied_in: s.octets_copied_in,
        tcp_calls: s.tcp_calls,
        tcp_octets_sent: s.tcp_octets_sent,
        tcp_octets_indicated: s.tcp_octets_indicated,
    }
}
