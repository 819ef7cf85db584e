//! Processors.

use abi::nt::{GROUP_AFFINITY, PROCESSOR_NUMBER};

use crate::raw;

/// A processor of the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processor(PROCESSOR_NUMBER);

impl Processor {
    /// The one that the caller runs on: a hint, since it may be another one a moment later, except at DISPATCH_LEVEL
    /// (`KeGetCurrentProcessorNumberEx`). IRQL ≤ DISPATCH_LEVEL, after [`init`](crate::init).
    #[must_use]
    pub fn current() -> Self {
        Self(raw::current_processor())
    }

    /// This processor alone, for a function that takes a set of them.
    #[must_use]
    pub fn affinity(self) -> GROUP_AFFINITY {
        let Self(PROCESSOR_NUMBER { Group, Number, .. }) = self;
        GROUP_AFFINITY { Mask: 1_usize.checked_shl(u32::from(Number)).unwrap_or(0), Group, Reserved: [0; 3] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_one_bit_of_its_group() {
        for number in [0, 5, 63] {
            let processor = Processor(PROCESSOR_NUMBER { Group: 2, Number: number, Reserved: 0 });
            let affinity = processor.affinity();
            assert_eq!((affinity.Group, affinity.Mask, affinity.Reserved), (2, 1 << number, [0; 3]));
        }
    }

    #[test]
    fn a_thread_that_stays_where_it_is_sees_one_processor() {
        assert_eq!(Processor::current(), Processor::current());
    }
}
