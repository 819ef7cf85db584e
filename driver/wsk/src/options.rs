//! A socket's options, as its client has set them.
//!
//! Most of them say something about TCP: they are kept to be reported, to be inherited, and to be set on a twin that comes
//! later. A twin that is there is told of each at once, with the client's own IRP.

use crate::sharing::Sharing;

/// The options of one socket. Lives under the socket's lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// SO_KEEPALIVE.
    pub(crate) keepalive: bool,
    /// SIO_KEEPALIVE_VALS: milliseconds until the first question, and between further ones.
    pub(crate) keepalive_times: Option<(u32, u32)>,
    /// SO_RCVBUF: octets; `None` is the provider's own size.
    pub(crate) receive_buffer: Option<u32>,
    /// SO_CONDITIONAL_ACCEPT.
    pub(crate) conditional_accept: bool,
    /// SO_EXCLUSIVEADDRUSE.
    pub(crate) exclusive: bool,
    /// SO_REUSEADDR.
    pub(crate) reuse: bool,
    /// TCP_NODELAY.
    pub(crate) no_delay: bool,
    /// SIO_LOOPBACK_FAST_PATH.
    pub(crate) loopback_fast_path: bool,
}

impl Options {
    /// How the socket shares its address.
    pub(crate) const fn sharing(&self) -> Sharing {
        match (self.exclusive, self.reuse) {
            (true, _) => Sharing::Exclusive,
            (false, true) => Sharing::Reuse,
            (false, false) => Sharing::None,
        }
    }

    /// What a new socket has.
    pub(crate) const NEW: Self = Self {
        keepalive: false,
        keepalive_times: None,
        receive_buffer: None,
        conditional_accept: false,
        exclusive: false,
        reuse: false,
        no_delay: false,
        loopback_fast_path: false,
    };

    /// What a connection has that was accepted on this socket: SO_KEEPALIVE and SO_RCVBUF by their pages, and what else a
    /// transport's connection takes over from its listener.
    pub(crate) const fn inherited(&self) -> Self {
        Self {
            keepalive: self.keepalive,
            keepalive_times: self.keepalive_times,
            receive_buffer: self.receive_buffer,
            no_delay: self.no_delay,
            ..Self::NEW
        }
    }
}
