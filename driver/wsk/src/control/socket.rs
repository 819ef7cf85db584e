//! WskControlSocket: which operation a request is, and how it is answered.

use super::ioctl::Ioctl;
use super::option::Setting;
use super::{Answer, Brought, Reply};
use crate::connection::ControlRequest;
use crate::options::Options;
use crate::system::SystemSocket;
use abi::NTSTATUS;
use abi::status::{
    STATUS_FILE_FORCED_CLOSED, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
};
use abi::wsk::{PFN_WSK_RECEIVE_EX_EVENT, WSK_CONTROL_SOCKET_TYPE, WskGetOption, WskIoctl, WskSetOption};
use abi::wskrdma::WSKRDMA_PATH_TCP;
use irp::OwnedIrp;
use kernel::pool::Shared;

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// WskSocket.
    Created,
    /// WskBind was called; a listening socket listens.
    Bound,
    /// Connected, for good: also when the connection is lost.
    Connected,
    /// What it ran over is gone.
    Dead,
    /// WskCloseSocket was called.
    Closing,
}

/// What a decision depends on besides the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_CONNECTION_SOCKET or WSK_FLAG_STREAM_SOCKET.
    pub(crate) category: u32,
    pub(crate) stage: Stage,
    /// WSKRDMA_PATH_*.
    pub(crate) path: u32,
    /// The events that cannot be disabled.
    pub(crate) static_events: u32,
    /// What SO_RCVBUF is when nobody has set it.
    pub(crate) receive_buffer: u32,
}

impl Standing {
    /// Why no request is served any more.
    ///
    /// # Errors
    /// FILE_FORCED_CLOSED: the socket is dead. INVALID_DEVICE_STATE: it is being closed.
    pub(crate) const fn admits(&self) -> Result<(), NTSTATUS> {
        match self.stage {
            Stage::Dead => Err(STATUS_FILE_FORCED_CLOSED),
            Stage::Closing => Err(STATUS_INVALID_DEVICE_STATE),
            Stage::Created | Stage::Bound | Stage::Connected => Ok(()),
        }
    }
}

/// What a socket is asked beyond its options.
#[derive(Clone, Copy)]
pub(crate) enum Question {
    /// SO_CONDITIONAL_ACCEPT.
    ConditionalAccept(bool),
    /// SIO_WSK_QUERY_IDEAL_SEND_BACKLOG.
    IdealSendBacklog,
    /// SIO_WSK_QUERY_RECEIVE_BACKLOG.
    ReceiveBacklog,
    /// SIO_WSK_QUERY_INSPECT_ID.
    InspectId,
    /// SIO_WSK_SET_TCP_SILENT_MODE.
    Silence,
    /// SIO_WSK_SET_RECEIVE_EX_CALLBACK.
    ReceiveEx(Option<PFN_WSK_RECEIVE_EX_EVENT>),
    /// SIO_WSKRDMA_QUERY_PATH.
    Path,
}

/// A socket that WskControlSocket works on.
pub(crate) trait Controlled: Send + Sync + Sized + 'static {
    /// Runs `f` with the options and where the socket stands, under its lock. IRQL <= DISPATCH_LEVEL.
    fn with_options<R>(&self, f: impl FnOnce(&Standing, &mut Options) -> R) -> R;

    /// Answers a question.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE: not in this state. INVALID_DEVICE_REQUEST: not this socket.
    fn ask(this: &Shared<Self>, question: Question) -> Result<Reply, NTSTATUS>;

    /// Begins to use the system's socket that requests can be passed to, if the system serves any: it is not closed before
    /// [`end_use`](Self::end_use).
    fn begin_use(&self) -> Option<SystemSocket>;

    /// Ends one use of the system's socket, which is closed now if that is due.
    fn end_use(this: &Shared<Self>);

    /// A request for the system's socket has come, and there is none: has one made, or completes `irp` NOT_SUPPORTED.
    /// IRQL <= DISPATCH_LEVEL.
    fn ask_for_twin(this: &Shared<Self>, request: ControlRequest, irp: OwnedIrp);

    /// SO_WSK_EVENT_CALLBACK; completes `irp` if there is one. Returns what WskControlSocket returns.
    fn events(this: &Shared<Self>, mask: u32, irp: Option<OwnedIrp>) -> NTSTATUS;
}

/// A use of the system's socket that belongs to a socket.
pub(crate) struct TwinUse<'a, T: Controlled> {
    owner: &'a Shared<T>,
    pub(crate) twin: SystemSocket,
}

impl<'a, T: Controlled> TwinUse<'a, T> {
    /// `None`: there is no such socket.
    pub(crate) fn begin(owner: &'a Shared<T>) -> Option<Self> {
        let twin = owner.begin_use()?;
        Some(Self { owner, twin })
    }
}

impl<T: Controlled> Drop for TwinUse<'_, T> {
    fn drop(&mut self) {
        T::end_use(self.owner);
    }
}

/// A request that is decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// WskSetOption.
    Set(Setting),
    /// WskGetOption.
    Get(Setting),
    /// WskIoctl; the level does not count.
    Ioctl(Ioctl),
}

impl Operation {
    /// Finds the operation; `Ok(None)`: only the system may know it.
    ///
    /// # Errors
    /// INVALID_PARAMETER: no such type of request.
    pub(crate) fn find(
        request: WSK_CONTROL_SOCKET_TYPE,
        code: u32,
        level: u32,
    ) -> Result<Option<Self>, NTSTATUS> {
        if request == WskSetOption {
            Ok(Setting::find(level, code).map(Self::Set))
        } else if request == WskGetOption {
            Ok(Setting::find(level, code).map(Self::Get))
        } else if request == WskIoctl {
            Ok(Ioctl::find(code).map(Self::Ioctl))
        } else {
            Err(STATUS_INVALID_PARAMETER)
        }
    }

    /// Whether an IRP has to be there. Where it does not it may be all the same.
    pub(crate) const fn needs_irp(self) -> bool {
        match self {
            Self::Set(setting) | Self::Get(setting) => setting.needs_irp(),
            Self::Ioctl(ioctl) => ioctl.needs_irp(),
        }
    }

    /// Whether, without an IRP, there has to be a place for the size of the output.
    pub(crate) const fn needs_returned(self) -> bool {
        matches!(self, Self::Ioctl(Ioctl::InspectId))
    }

    /// Octets of the input whose first member points to an NPI identifier; `None`: there is no such member.
    pub(crate) const fn names_npi(self) -> Option<usize> {
        match self {
            Self::Set(Setting::EventCallback) => Some(size_of::<abi::wsk::WSK_EVENT_CALLBACK_CONTROL>()),
            Self::Ioctl(Ioctl::RegisterExtension) => Some(size_of::<abi::wsk::WSK_EXTENSION_CONTROL_IN>()),
            _ => None,
        }
    }

    /// The categories of socket that have it.
    const fn categories(self) -> u32 {
        match self {
            Self::Set(setting) | Self::Get(setting) => setting.categories(),
            Self::Ioctl(ioctl) => ioctl.categories(),
        }
    }

    /// Decides, and does what is to be done here.
    pub(crate) fn decide<T: Controlled>(self, socket: &Shared<T>, brought: &Brought) -> Answer {
        let decided = socket.with_options(|standing, options| self.under_lock(standing, options, brought));
        match decided {
            Decision::Answer(answer) => answer,
            Decision::Ask(question @ Question::ConditionalAccept(_)) => {
                T::ask(socket, question).map_or_else(Answer::fail, Answer::Both)
            }
            Decision::Ask(question) => Answer::Done(T::ask(socket, question)),
        }
    }

    /// The decision, with the socket's lock held.
    pub(super) fn under_lock(
        self,
        standing: &Standing,
        options: &mut Options,
        brought: &Brought,
    ) -> Decision {
        if let Err(status) = standing.admits() {
            return Answer::fail(status).into();
        }
        if self.categories() & standing.category == 0 {
            return Answer::fail(match self {
                Self::Set(_) | Self::Get(_) => STATUS_NOT_SUPPORTED,
                Self::Ioctl(_) => STATUS_INVALID_DEVICE_REQUEST,
            })
            .into();
        }
        let tcp = standing.path == WSKRDMA_PATH_TCP;
        match self {
            Self::Set(setting) => {
                setting.set(standing, options, brought).unwrap_or_else(Answer::fail_decision)
            }
            Self::Get(_) if tcp => Answer::System.into(),
            Self::Get(setting) => setting.get(standing, options).into(),
            Self::Ioctl(ioctl) if tcp && ioctl.is_the_transports() => Answer::System.into(),
            Self::Ioctl(ioctl) => {
                ioctl.decide(standing, options, brought).unwrap_or_else(|status| Answer::fail(status).into())
            }
        }
    }
}

/// What is found under the socket's lock.
pub(crate) enum Decision {
    Answer(Answer),
    /// The socket answers, once the lock is dropped.
    Ask(Question),
}

impl From<Answer> for Decision {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}
