//! Destinations where RDMA has just failed, so that the next connection need not wait for the same failure.
//!
//! Pure: the caller brings the time and the lock.

use core::net::SocketAddr;
use heapless::Vec;

/// Destinations that are remembered; a further one takes the place of the oldest.
const PLACES: usize = 64;

/// Failures of the last while, oldest first.
#[derive(Debug)]
pub struct Misses {
    /// How long a failure is remembered, in units of 100 ns.
    retry_after: u64,
    entries: Vec<Miss, PLACES>,
}

#[derive(Debug)]
struct Miss {
    remote: SocketAddr,
    /// When it failed, in units of 100 ns.
    at: u64,
}

impl Misses {
    /// Remembers each failure for `retry_after` units of 100 ns; 0: not at all.
    #[must_use]
    pub const fn new(retry_after: u64) -> Self {
        Self { retry_after, entries: Vec::new() }
    }

    /// RDMA to `remote` has failed. `now` is the time in units of 100 ns, here and below; it never goes back.
    pub fn remember(&mut self, remote: SocketAddr, now: u64) {
        let remote = destination(remote);
        self.forget_old(now);
        self.entries.retain(|miss| miss.remote != remote);
        if self.retry_after == 0 {
            return;
        }
        if self.entries.is_full() {
            self.entries.remove(0);
        }
        // There is room.
        let _ = self.entries.push(Miss { remote, at: now });
    }

    /// Whether RDMA to `remote` has failed less than the time to remember ago.
    #[must_use]
    pub fn remembers(&mut self, remote: SocketAddr, now: u64) -> bool {
        self.remaining(remote, now).is_some()
    }

    /// For how long the failure to `remote` is still remembered, in units of 100 ns; `None`: it is not.
    #[must_use]
    pub fn remaining(&mut self, remote: SocketAddr, now: u64) -> Option<u64> {
        let remote = destination(remote);
        self.forget_old(now);
        let miss = self.entries.iter().find(|miss| miss.remote == remote)?;
        Some(self.retry_after.saturating_sub(now.saturating_sub(miss.at)))
    }

    /// RDMA to `remote` has succeeded.
    pub fn forget(&mut self, remote: SocketAddr) {
        let remote = destination(remote);
        self.entries.retain(|miss| miss.remote != remote);
    }

    fn forget_old(&mut self, now: u64) {
        let retry_after = self.retry_after;
        self.entries.retain(|miss| now.saturating_sub(miss.at) < retry_after);
    }
}

/// The address without what does not tell destinations apart.
fn destination(mut remote: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut remote {
        v6.set_flowinfo(0);
    }
    remote
}

#[cfg(test)]
mod tests;
