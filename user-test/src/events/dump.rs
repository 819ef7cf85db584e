//! The recorder's pages in a dump, wherever they lie.
//!
//! A dump has the machine's pages in an order of its own, so each page of the recorder stands for itself. Its mark is looked for at
//! every multiple of eight octets.

use crate::failure::Failure;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use trace::Recorded;
use trace::recorder::{MARK, PAGE, events_of_page};

/// Octets that are read at a time.
const CHUNK: usize = 1 << 20;
/// What the mark is aligned to.
const ALIGNMENT: usize = 8;

/// Every event in the file, in order, each once.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<Recorded>, Failure> {
    let failed = |e: std::io::Error| Failure::Failed(format!("cannot read {}: {e}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let mut events = Vec::new();
    // The end of what was read before may be the beginning of a page.
    let mut window = Vec::with_capacity(CHUNK + PAGE);
    loop {
        let kept = window.len();
        let read = (&mut file).take(CHUNK as u64).read_to_end(&mut window).map_err(failed)?;
        let searched = look(&window, &mut events);
        if read == 0 {
            break;
        }
        debug_assert!(searched <= kept + read);
        window.drain(..searched);
    }
    events.sort_by_key(|recorded| recorded.sequence);
    events.dedup_by_key(|recorded| recorded.sequence);
    Ok(events)
}

/// Takes the events of every whole page. Returns how many octets need not be looked at again.
fn look(octets: &[u8], events: &mut Vec<Recorded>) -> usize {
    let mut place = 0;
    while let Some(page) = octets.get(place..place + PAGE) {
        if page.starts_with(&MARK) {
            events.extend(events_of_page(page));
        }
        place += ALIGNMENT;
    }
    place.min(octets.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace::recorder::CAPACITY;
    use trace::{Event, Kind, Recorder};

    /// A recorder's memory, as the crash of a machine would have it.
    fn memory(recorder: &Recorder) -> Vec<u8> {
        let size = size_of::<Recorder>();
        // SAFETY: the recorder is plain atomics that nobody writes now.
        let octets = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(recorder).cast::<u8>(), size) };
        octets.to_vec()
    }

    #[test]
    fn pages_are_found_in_any_order_at_any_place_and_once() {
        let recorder = Box::new(Recorder::new());
        let many = CAPACITY as u64 + 5;
        for value in 1..=many {
            recorder.record(value, &Event { value, ..Event::new(Kind::Closed) });
        }
        let memory = memory(&recorder);
        let mut dump = vec![0xA5; 3 * ALIGNMENT];
        // Far enough apart that pages lie across the borders of what is read at a time.
        for page in memory.chunks_exact(PAGE).rev() {
            dump.extend_from_slice(page);
            dump.resize(dump.len() + (300 << 10), 0x77);
        }
        dump.extend_from_slice(&memory);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory.dmp");
        std::fs::write(&file, &dump).unwrap();
        let events = read(&file).unwrap();
        assert!(events.iter().map(|e| e.event.value).eq(6..=many), "{} events", events.len());
    }

    #[test]
    fn another_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("other");
        std::fs::write(&file, [MARK.as_slice(), &[0xFF; 5000]].concat()).unwrap();
        assert_eq!(read(&file).unwrap(), []);
        std::fs::write(&file, b"").unwrap();
        assert_eq!(read(&file).unwrap(), []);
        assert!(read(&folder.path().join("missing")).unwrap_err().message().contains("missing"));
    }
}
