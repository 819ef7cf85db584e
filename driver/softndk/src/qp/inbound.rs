//! What a queue pair takes from its peer: the gate, and the receives posted for sends.

use abi::NTSTATUS;
use abi::ndk::NDK_SGE;
use abi::status::{STATUS_DATA_OVERRUN, STATUS_NO_MORE_ENTRIES};
use kernel::pool::{AllocError, PoolSlice};

use super::element::Element;
use crate::opaque::Opaque;
use crate::tag;

/// Whether the peer may reach the memory behind this queue pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// Not connected yet.
    Idle,
    Open,
    /// For ever.
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Receive {
    context: Opaque,
    elements: usize,
}

/// The receive queue, in posting order.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) gate: Gate,
    requests: PoolSlice<Receive>,
    elements: PoolSlice<Element>,
    elements_max: usize,
    head: usize,
    len: usize,
}

impl Inbound {
    pub(crate) fn new(depth: u32, elements_max: u32) -> Result<Self, AllocError> {
        let (depth, elements_max) = (depth as usize, elements_max as usize);
        let empty = Receive { context: Opaque(core::ptr::null_mut()), elements: 0 };
        Ok(Self {
            gate: Gate::Idle,
            requests: PoolSlice::try_new_with(tag::OBJECT, depth, |_| empty)?,
            elements: PoolSlice::try_new_with(tag::OBJECT, depth * elements_max, |_| Element::default())?,
            elements_max,
            head: 0,
            len: 0,
        })
    }

    /// Appends a receive.
    ///
    /// # Errors
    /// `STATUS_DATA_OVERRUN`: too many elements; `STATUS_NO_MORE_ENTRIES`: the queue is full.
    pub(crate) fn push(&mut self, context: Opaque, sgl: &[NDK_SGE]) -> Result<(), NTSTATUS> {
        if sgl.len() > self.elements_max {
            return Err(STATUS_DATA_OVERRUN);
        }
        let depth = self.requests.len();
        let at = (self.head + self.len).checked_rem(depth).unwrap_or(0);
        let first = at * self.elements_max;
        let request = self.requests.get_mut(at).filter(|_| self.len < depth);
        let (Some(request), Some(places)) = (request, self.elements.get_mut(first..first + sgl.len())) else {
            return Err(STATUS_NO_MORE_ENTRIES);
        };
        *request = Receive { context, elements: sgl.len() };
        for (place, sge) in places.iter_mut().zip(sgl) {
            *place = Element::new(sge);
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
}
