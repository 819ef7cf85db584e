//! Pool tags of this crate.

use kernel::pool::PoolTag;

/// Objects, links, queues.
pub(crate) const OBJECT: PoolTag = PoolTag::new(b"WrSo");
/// Pending callbacks.
pub(crate) const JOB: PoolTag = PoolTag::new(b"WrSj");
/// Region and mapping tables, page lists.
pub(crate) const MEMORY: PoolTag = PoolTag::new(b"WrSm");
/// Port space.
pub(crate) const PORT: PoolTag = PoolTag::new(b"WrSp");
/// Streams of iWARP, and octets on their way.
pub(crate) const STREAM: PoolTag = PoolTag::new(b"WrSt");
