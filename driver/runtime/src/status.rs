//! The status tree, from the provider's view of itself.

use control::Address;
use control::driver::{
    AdapterRow, CONTRACT_VERSION, PATH_NONE, PATH_RDMA, PATH_TCP, ReasonRow, Row, SocketRow, Source,
    StatusHeader, Work,
};
use trace::Snapshot;
use wsk::{Provider, View};

/// A provider as the IOCTL handlers see it.
pub(crate) struct Tree<'a>(pub(crate) &'a Provider);

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
        self.0.view(&mut |view| {
            more = sink(match view {
                View::Adapter(a) => Row::Adapter(AdapterRow {
                    technology: a.info.technology,
                    major: a.info.version.0,
                    minor: a.info.version.1,
                    interface_index: 0,
                    flags: a.info.flags,
                    name: a.name,
                }),
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
