//! Receive indications: nodes that clients may keep, and give back one by one.

use std::mem::offset_of;
use std::ptr;

use abi::NTSTATUS;
use abi::nt::{MDL, MDL_SOURCE_IS_NONPAGED_POOL};
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use abi::wsk::{WSK_BUF, WSK_DATA_INDICATION, WSK_DATAGRAM_INDICATION};

use super::ancillary;
use super::datagram::Packet;
use super::memory::write_address;
use super::world::World;
use crate::mdl::{IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool};
use crate::pool;

const TAG: u32 = u32::from_le_bytes(*b"AfdI");

/// Bytes of a node's MDL before its data: `WSK_BUF.Offset` is not zero.
const LEAD: usize = 24;

/// Bytes of ancillary data that a datagram's node has room for: more than all that can be asked for.
const CONTROL: usize = 128;

/// A datagram's node, with what it points to.
#[repr(C, align(8))]
struct DatagramNode {
    indication: WSK_DATAGRAM_INDICATION,
    remote: [u8; 32],
    control: [u8; CONTROL],
}

/// A node in a client's hands. Its list links are the client's to change, so nobody reads them but from what comes back.
pub(super) struct Node {
    memory: *mut u8,
    mdl: *mut MDL,
    /// Bytes of data.
    pub(super) bytes: usize,
    /// The callback that indicates it has not returned.
    pub(super) in_call: bool,
}

impl Node {
    /// Memory for a node of type `T`, followed by `data`. Returns the node, the place of the `T` and what names the data.
    pub(super) fn new<T>(data: &[u8]) -> Option<(Self, *mut T, WSK_BUF)> {
        let head = size_of::<T>().next_multiple_of(16);
        let memory = pool::allocate(head + LEAD + data.len(), TAG, 0).cast::<u8>();
        if memory.is_null() {
            return None;
        }
        let start = memory.wrapping_add(head);
        let length = u32::try_from(LEAD + data.len()).unwrap_or(u32::MAX);
        // SAFETY: there is no IRP.
        let mdl = unsafe { IoAllocateMdl(start.cast(), length, 0, 0, ptr::null_mut()) };
        if mdl.is_null() {
            pool::free(memory.cast(), TAG);
            return None;
        }
        // SAFETY: fresh, with room for its pages.
        unsafe { MmBuildMdlForNonPagedPool(mdl) };
        // SAFETY: fresh.
        let fields = unsafe { &mut *mdl };
        // Wine's routine would leave these alone, but this is the system's memory, mapped wherever it runs.
        fields.MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
        fields.MappedSystemVa = start.cast();
        // SAFETY: the block is that long.
        unsafe { start.wrapping_add(LEAD).copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        let offset = u32::try_from(LEAD).unwrap_or(0);
        let buffer = WSK_BUF { Mdl: mdl, Offset: offset, Length: data.len() };
        Some((Self { memory, mdl, bytes: data.len(), in_call: true }, memory.cast(), buffer))
    }

    pub(super) fn free(self) {
        // SAFETY: the node's own.
        unsafe { IoFreeMdl(self.mdl) };
        pool::free(self.memory.cast(), TAG);
    }
}

impl World {
    /// Makes the list that indicates `data` on a socket; NULL without memory.
    pub(super) fn indicate(&mut self, at: usize, data: &[u8]) -> *mut WSK_DATA_INDICATION {
        let node_bytes = self.config.node_bytes.max(1);
        let Some(socket) = self.sockets.get_mut(&at) else { return ptr::null_mut() };
        let mut next = ptr::null_mut();
        let chunks: Vec<&[u8]> = data.chunks(node_bytes).collect();
        for chunk in chunks.into_iter().rev() {
            let Some((node, place, buffer)) = Node::new::<WSK_DATA_INDICATION>(chunk) else {
                self.forget_call(at);
                return ptr::null_mut();
            };
            // SAFETY: fresh memory for it.
            unsafe { place.write(WSK_DATA_INDICATION { Next: next, Buffer: buffer }) };
            socket.nodes.insert(place.expose_provenance(), node);
            next = place;
        }
        next
    }

    /// Makes the list that indicates datagrams on a socket; NULL without memory.
    pub(super) fn indicate_datagrams(
        &mut self,
        at: usize,
        packets: &[Packet],
    ) -> *mut WSK_DATAGRAM_INDICATION {
        let Some(socket) = self.sockets.get_mut(&at) else { return ptr::null_mut() };
        let family = socket.kind.family;
        let mut next = ptr::null_mut();
        for packet in packets.iter().rev() {
            let Some((node, place, buffer)) = Node::new::<DatagramNode>(&packet.data) else {
                self.forget_call(at);
                return ptr::null_mut();
            };
            let control = ancillary::of_receive(socket, packet);
            let empty = packet.data.is_empty();
            let buffer = if empty { WSK_BUF { Mdl: ptr::null_mut(), Offset: 0, Length: 0 } } else { buffer };
            let mut head = DatagramNode {
                indication: WSK_DATAGRAM_INDICATION {
                    Next: next,
                    Buffer: buffer,
                    ControlInfo: ptr::null_mut(),
                    ControlInfoLength: u32::try_from(control.len()).unwrap_or(0),
                    RemoteAddress: place.wrapping_byte_add(offset_of!(DatagramNode, remote)).cast(),
                },
                remote: [0; 32],
                control: [0; CONTROL],
            };
            if let (Some(to), false) = (head.control.get_mut(..control.len()), control.is_empty()) {
                to.copy_from_slice(&control);
                head.indication.ControlInfo =
                    place.wrapping_byte_add(offset_of!(DatagramNode, control)).cast();
            }
            // SAFETY: room for every family's.
            unsafe { write_address(head.remote.as_mut_ptr().cast(), packet.from, family) };
            // SAFETY: fresh memory for it.
            unsafe { place.write(head) };
            socket.nodes.insert(place.expose_provenance(), node);
            next = place.cast::<WSK_DATAGRAM_INDICATION>();
        }
        next
    }

    /// Frees the nodes of an indication that has returned without keeping them.
    pub(super) fn forget_call(&mut self, at: usize) {
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        for (_, node) in socket.nodes.extract_if(|_, node| node.in_call) {
            node.free();
        }
    }

    /// The client keeps what is left of the indication. Returns how many bytes that is.
    pub(super) fn keep_call(&mut self, at: usize) -> usize {
        let Some(socket) = self.sockets.get_mut(&at) else { return 0 };
        let mut kept = 0;
        for node in socket.nodes.values_mut().filter(|node| node.in_call) {
            node.in_call = false;
            kept += node.bytes;
        }
        kept
    }

    /// `WskRelease`: takes nodes back, each by itself.
    ///
    /// # Safety
    /// `next` reads the link of a node that is the client's.
    pub(super) unsafe fn release(
        &mut self,
        at: usize,
        first: usize,
        next: unsafe fn(usize) -> usize,
    ) -> NTSTATUS {
        let mut node = first;
        loop {
            let Some(socket) = self.sockets.get_mut(&at) else { return STATUS_INVALID_PARAMETER };
            let Some(gone) = socket.nodes.remove(&node) else { return STATUS_INVALID_PARAMETER };
            // SAFETY: found among the nodes, and not freed yet.
            node = unsafe { next(node) };
            if let (Some(link), false) = (&socket.link, gone.in_call) {
                self.transport.release(link.end, gone.bytes);
            }
            gone.free();
            if node == 0 {
                return STATUS_SUCCESS;
            }
        }
    }
}
