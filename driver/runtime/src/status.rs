//! The status tree, from the provider's view of itself.

use control::Address;
use control::driver::{
    ADAPTER_DISABLED, ADAPTER_FAILED, ADAPTER_GOING, ADAPTER_OPEN, ADAPTER_STUCK, ADAPTER_UNFIT,
    ADAPTER_WRONG_VERSION, AdapterRow, CONTRACT_VERSION, PATH_NONE, PATH_RDMA, PATH_TCP, ReasonRow, Row,
    SocketRow, Source, StatusHeader, Work,
};
use trace::Snapshot;
use wsk::{AdapterView, Hardware, InterfaceView, Provider, Standing, View};

/// A provider, and who finds its adapters, as the IOCTL handlers see them.
pub(crate) struct Tree<'a>(pub(crate) &'a Provider, pub(crate) Option<&'a Hardware>);

impl Source for Tree<'_> {
    fn header(&self) -> StatusHeader {
        let closed = self.0.totals().snapshot();
        let total = trace::Counters::new();
        total.add(&closed);
        self.0.view(&mut |view| {
            if let View::Socket(socket) = view {
                total.add(&socket.work);
            }
            true
        });
        StatusHeader {
            contract: CONTRACT_VERSION,
            adapters: 0,
            sockets: 0,
            irps_outstanding: u32::try_from(irp::account().outstanding()).unwrap_or(u32::MAX),
            reasons: 0,
            reserved: 0,
            total: work(&total.snapshot()),
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
                View::Adapter(a) => Row::Adapter(open_adapter(&a)),
                View::Socket(s) => Row::Socket(SocketRow {
                    kind: s.kind,
                    path: match s.rdma {
                        None => PATH_NONE,
                        Some(true) => PATH_RDMA,
                        Some(false) => PATH_TCP,
                    },
                    reason: s.reason.code(),
                    state: s.state,
                    local: s.local.map(Address::from).unwrap_or_default(),
                    remote: s.remote.map(Address::from).unwrap_or_default(),
                    work: work(&s.work),
                }),
            });
            more
        });
        for (reason, count) in self.0.reasons().iter().filter(|(_, count)| *count != 0) {
            more = more && sink(Row::Reason(ReasonRow { reason: reason.code(), reserved: 0, count }));
        }
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
