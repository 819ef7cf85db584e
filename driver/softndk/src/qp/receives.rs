//! Posted receives, in posting order: the queue of one queue pair, or one that several share.

use abi::NTSTATUS;
use abi::status::{STATUS_DATA_OVERRUN, STATUS_NO_MORE_ENTRIES};
use kernel::pool::{AllocError, PoolSlice};

use super::element::Element;
use crate::opaque::Opaque;
use crate::tag;

#[derive(Clone, Copy, Debug)]
struct Receive {
    context: Opaque,
    elements: usize,
}

/// A ring of receives.
#[derive(Debug)]
pub(crate) struct Receives {
    requests: PoolSlice<Receive>,
    elements: PoolSlice<Element>,
    elements_max: usize,
    head: usize,
    len: usize,
}

impl Receives {
    /// Room for `depth` receives of up to `elements_max` elements each.
    pub(crate) fn new(depth: u32, elements_max: u32) -> Result<Self, AllocError> {
        let (depth, elements_max) = (depth as usize, elements_max as usize);
        let empty = Receive { context: Opaque(core::ptr::null_mut()), elements: 0 };
        Ok(Self {
            requests: PoolSlice::try_new_with(tag::OBJECT, depth, |_| empty)?,
            elements: PoolSlice::try_new_with(tag::OBJECT, depth * elements_max, |_| Element::default())?,
            elements_max,
            head: 0,
            len: 0,
        })
    }

    /// Receives in the queue.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Appends a receive.
    ///
    /// # Errors
    /// `STATUS_DATA_OVERRUN`: too many elements; `STATUS_NO_MORE_ENTRIES`: the queue is full.
    pub(crate) fn push(
        &mut self,
        context: Opaque,
        elements: impl ExactSizeIterator<Item = Element>,
    ) -> Result<(), NTSTATUS> {
        let count = elements.len();
        if count > self.elements_max {
            return Err(STATUS_DATA_OVERRUN);
        }
        let depth = self.requests.len();
        let at = (self.head + self.len).checked_rem(depth).unwrap_or(0);
        let first = at * self.elements_max;
        let request = self.requests.get_mut(at).filter(|_| self.len < depth);
        let (Some(request), Some(places)) = (request, self.elements.get_mut(first..first + count)) else {
            return Err(STATUS_NO_MORE_ENTRIES);
        };
        *request = Receive { context, elements: count };
        for (place, element) in places.iter_mut().zip(elements) {
            *place = element;
        }
        self.len += 1;
        Ok(())
    }

    /// The elements of the oldest receive.
    pub(crate) fn front(&self) -> Option<&[Element]> {
        let request = self.requests.get(self.head).filter(|_| self.len > 0)?;
        let first = self.head * self.elements_max;
        self.elements.get(first..first + request.elements)
    }

    /// Takes the oldest receive: its request context.
    pub(crate) fn pop(&mut self) -> Option<Opaque> {
        if self.len == 0 {
            return None;
        }
        let context = self.requests.get(self.head)?.context;
        self.head = (self.head + 1).checked_rem(self.requests.len()).unwrap_or(0);
        self.len -= 1;
        Some(context)
    }

    /// Moves the oldest receive to the end of `to`, if there is one and it fits.
    pub(crate) fn move_to(&mut self, to: &mut Self) -> bool {
        let (Some(request), Some(elements)) = (self.requests.get(self.head), self.front()) else {
            return false;
        };
        let moved = to.push(request.context, elements.iter().copied()).is_ok();
        if moved {
            self.pop();
        }
        moved
    }
}
