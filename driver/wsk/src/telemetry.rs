//! What the driver tells of while it runs: to its recorder, and to whoever listens by ETW.
//!
//! Any IRQL <= DISPATCH_LEVEL, also with a lock held: nothing waits.

use kernel::{etw, time};
use trace::tracelogging::{Encoded, PROVIDER_METADATA};
use trace::{Event, Recorded, Recorder, keyword};

/// In the image, so that a kernel dump has it.
static RECORDER: Recorder = Recorder::new();
/// What ETW is shown.
static METADATA: [u8; PROVIDER_METADATA.len()] = PROVIDER_METADATA;

/// The last events.
#[must_use]
pub fn recorder() -> &'static Recorder {
    &RECORDER
}

/// Begins to offer the events to ETW, where the system has it. IRQL: PASSIVE_LEVEL.
pub fn open() {
    let (number, first, second, last) = trace::tracelogging::GUID;
    let id = abi::nt::GUID { Data1: number, Data2: first, Data3: second, Data4: last };
    etw::register(&id, &METADATA);
}

/// Ends that. Nothing is told any more. IRQL: PASSIVE_LEVEL.
pub fn close() {
    etw::unregister();
}

/// Tells of an event.
pub fn tell(event: &Event) {
    let time = time::interrupt_time_100ns();
    let sequence = RECORDER.record(time, event);
    let (level, category) = (event.kind.level() as u8, event.kind.keyword());
    if etw::is_enabled(level, category) {
        let recorded = Recorded { sequence, time, event: *event };
        let encoded = Encoded::new(&recorded, etw::asks_for(keyword::ADDRESSES));
        etw::write(level, category, &METADATA, encoded.metadata, encoded.payload());
    }
}
