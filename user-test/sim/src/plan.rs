//! What one seed stands for: machines, faults, and the operations of their clients. Drawn beforehand, so that operations can
//! be left out and everything else stays.

use std::fmt;

use ksim::sim::{Random, Settings};
use runtime::AnswerMode;

/// What carries connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fabric {
    /// One machine; its adapter's loopback.
    Loopback,
    /// One machine; the system's TCP under our sockets.
    Tcp,
    /// One machine; iWARP over the system's TCP to itself.
    IwarpToItself,
    /// Two machines; iWARP over TCP between them.
    Iwarp,
    /// One machine; the adapter of a NIC, which comes and goes.
    Nic,
}

impl Fabric {
    /// Machines that it has.
    pub(crate) const fn machines(self) -> usize {
        match self {
            Self::Loopback | Self::Tcp | Self::IwarpToItself | Self::Nic => 1,
            Self::Iwarp => 2,
        }
    }
}

/// What goes wrong, beside what clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Faults {
    /// So many of 65536 allocations fail.
    pub(crate) allocations: u32,
    /// The adapter answers some calls with an error, or not until it is closed.
    pub(crate) provider: bool,
    /// The adapter answers calls inline, early and late as it likes; no error.
    pub(crate) timing: bool,
    /// NICs come and go, the system's sockets die, its functions fail.
    pub(crate) breaks: bool,
    /// The driver is unloaded while its clients are at work: it has to wait for them.
    pub(crate) unload: bool,
}

impl Faults {
    /// Whether connections may be lost through no fault of a client.
    pub(crate) const fn any(self) -> bool {
        self.allocations != 0 || self.provider || self.breaks
    }
}

/// What is wrong with a call that a client ought not to make, and that Windows answers with an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Misuse {
    /// WskConnect once more, or before WskBind.
    Connect,
    /// WskBind once more.
    Bind,
    /// WskSend with flags that do not exist.
    SendFlags,
    /// WskReceive with WAITALL and DRAIN.
    ReceiveFlags,
    /// WskSend of more than the chain has.
    ShortChain,
    /// WskDisconnect, abortive, with data.
    AbortiveData,
    /// No IRP.
    NoIrp,
}

/// What happens to a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Break {
    /// The NIC is torn out, put in again, NDK on it switched off, on.
    TearOut,
    PutIn,
    NdkOff,
    NdkOn,
    /// A socket of the system dies.
    KillSystemSocket(usize),
    /// A function of the system fails once.
    FailSystem(usize),
}

/// One thing that a client does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// WskSocket and WskBind of a listening socket at a port of its machine.
    Listen { slot: usize, port: u16, stream: bool },
    /// WskSocket and WskBind of a connection socket.
    Open { slot: usize, port: u16, stream: bool, events: bool },
    /// WskAccept, for a slot.
    Accept { on: usize, slot: usize, events: bool },
    /// WskConnect to a port of a machine.
    Connect { slot: usize, machine: usize, port: u16 },
    /// WskSend.
    Send { slot: usize, length: usize, pieces: usize },
    /// WskReceive; on a socket with callbacks one of no octets.
    Receive { slot: usize, length: usize, all: bool },
    /// Waits for the oldest request of a socket, at most so many microseconds.
    Await { slot: usize, limit: u64 },
    /// IoCancelIrp of a request of a socket, counted from the oldest.
    Cancel { slot: usize, nth: usize },
    /// WskDisconnect, graceful with so many octets, or abortive.
    Disconnect { slot: usize, length: usize, abortive: bool },
    /// WskRelease of what callbacks have kept.
    Release { slot: usize },
    /// WskGetLocalAddress and WskGetRemoteAddress.
    Addresses { slot: usize },
    /// A call that is refused.
    Misuse { slot: usize, what: Misuse },
    /// WskCloseSocket.
    Close { slot: usize },
    /// Lets time pass, in microseconds.
    Pause { time: u64 },
    /// Something breaks, or is mended.
    Break(Break),
    /// The driver is told to unload.
    Unload,
}

/// A deed and who does it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// Number in the whole plan.
    pub(crate) number: usize,
    pub(crate) actor: usize,
    pub(crate) deed: Deed,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3} client {}: {:?}", self.number, self.actor, self.deed)
    }
}

/// A seed, read out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) schedule: Settings,
    pub(crate) fabric: Fabric,
    /// Whether RDMA is preferred or required, where it is used.
    pub(crate) required: bool,
    pub(crate) adapter_answers: AnswerMode,
    pub(crate) system_answers: ksim::wsk::Answers,
    pub(crate) ring_octets: u32,
    pub(crate) send_octets: u32,
    pub(crate) zero_copy_octets: u32,
    /// Of the system's TCP.
    pub(crate) receive_window: usize,
    /// Clients make their calls at DISPATCH_LEVEL.
    pub(crate) raised: bool,
    pub(crate) faults: Faults,
    pub(crate) actors: usize,
    pub(crate) steps: Vec<Step>,
}

/// Lengths that sends and receives have.
const LENGTHS: &[usize] = &[1, 2, 7, 64, 100, 1000, 1460, 4096, 5000, 16_384, 20_000, 40_000];
/// Slots of an actor; its listening socket has the first one.
pub(crate) const SLOTS: usize = 6;
/// Where listening sockets are.
pub(crate) const LISTEN_PORT: u16 = 5000;
/// Where connecting sockets are.
const CONNECT_PORT: u16 = 2000;

impl Plan {
    /// Reads a seed.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let fabrics = [Fabric::Loopback, Fabric::Nic, Fabric::Tcp, Fabric::IwarpToItself, Fabric::Iwarp];
        let fabric = random.pick(&fabrics).unwrap_or(Fabric::Loopback);
        let answers = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];
        let adapter_answers = random.pick(&answers).unwrap_or(AnswerMode::Inline);
        let system = [ksim::wsk::Answers::Inline, ksim::wsk::Answers::Later];
        let mut faults = match random.below(12) {
            0 | 1 => Faults { allocations: random.pick(&[50, 400, 3000]).unwrap_or(0), ..Faults::default() },
            2 => Faults { provider: true, timing: true, ..Faults::default() },
            3 => Faults { allocations: 200, provider: true, timing: true, breaks: true, unload: false },
            4 | 5 => Faults { timing: true, ..Faults::default() },
            6 | 7 => Faults { breaks: true, timing: random.chance(1, 2), ..Faults::default() },
            _ => Faults::default(),
        };
        // Two machines share one account of IRPs, so neither can be unloaded before the other one is idle.
        faults.unload = random.chance(1, 4) && fabric.machines() == 1;
        let pairs = random.pick(&[1, 1, 2, 3]).unwrap_or(1);
        let mut plan = Self {
            seed,
            schedule: Settings::draw(seed),
            fabric,
            // iWARP listens at the very port, so TCP cannot.
            required: random.chance(1, 2) || matches!(fabric, Fabric::Iwarp | Fabric::IwarpToItself),
            adapter_answers,
            system_answers: random.pick(&system).unwrap_or(ksim::wsk::Answers::Inline),
            ring_octets: random.pick(&[16 << 10, 20 << 10, 32 << 10, 128 << 10]).unwrap_or(32 << 10),
            send_octets: random.pick(&[16 << 10, 32 << 10, 128 << 10]).unwrap_or(32 << 10),
            zero_copy_octets: random.pick(&[0, 1, 4096, 16 << 10]).unwrap_or(0),
            raised: random.chance(1, 4),
            faults,
            receive_window: random.pick(&[1000, 8 << 10, 64 << 10]).unwrap_or(64 << 10),
            actors: 3,
            steps: Vec::new(),
        };
        plan.draw_steps(&mut random, pairs);
        plan
    }

    /// The address of a machine.
    pub(crate) fn machine_of(&self, actor: usize) -> usize {
        actor % self.fabric.machines()
    }

    fn draw_steps(&mut self, random: &mut Random, pairs: usize) {
        // The first actor listens, the second one connects.
        let stream = random.chance(1, 4);
        self.push(0, Deed::Listen { slot: 0, port: LISTEN_PORT, stream });
        for pair in 1..=pairs {
            let (events, others) = (random.chance(1, 3), random.chance(1, 3));
            let port = CONNECT_PORT + u16::try_from(pair).unwrap_or(0);
            let stream = random.chance(1, 4);
            self.push(0, Deed::Accept { on: 0, slot: pair, events });
            self.push(1, Deed::Open { slot: pair, port, stream, events: others });
            self.push(1, Deed::Connect { slot: pair, machine: self.machine_of(0), port: LISTEN_PORT });
        }
        // Some clients are rough, others only send and receive.
        let rough = random.pick(&[0, 0, 4, 12]).unwrap_or(0);
        let deeds = 6 + random.index(30);
        for _ in 0..deeds {
            let (actor, slot) = (random.index(2), 1 + random.index(pairs));
            let deed = draw_deed(random, slot, rough);
            self.push(actor, deed);
        }
        self.draw_breaks(random);
    }

    /// What the third actor does, who is no client.
    fn draw_breaks(&mut self, random: &mut Random) {
        let times = if self.faults.breaks { 1 + random.index(5) } else { 0 };
        for _ in 0..times {
            self.push(2, Deed::Pause { time: random.pick(&[1, 50, 10_000, 400_000]).unwrap_or(1) });
            let of_nic = [Break::TearOut, Break::PutIn, Break::NdkOff, Break::NdkOn];
            let of_system = [Break::KillSystemSocket(random.index(8)), Break::FailSystem(random.index(7))];
            let kinds = if self.fabric == Fabric::Nic { &of_nic[..] } else { &of_system[..] };
            let what = random.pick(kinds).unwrap_or(Break::FailSystem(0));
            self.push(2, Deed::Break(what));
        }
        if self.faults.unload {
            self.push(2, Deed::Pause { time: random.pick(&[1, 50, 10_000, 400_000]).unwrap_or(1) });
            self.push(2, Deed::Unload);
        }
    }

    fn push(&mut self, actor: usize, deed: Deed) {
        let number = self.steps.len();
        self.steps.push(Step { number, actor, deed });
    }

    /// Leaves steps out.
    pub(crate) fn leave_out(&mut self, numbers: &[usize]) {
        self.steps.retain(|step| !numbers.contains(&step.number));
    }
}

/// A deed on a connected socket; `rough` of 100 may end it.
fn draw_deed(random: &mut Random, slot: usize, rough: u64) -> Deed {
    let length = random.pick(LENGTHS).unwrap_or(1);
    if random.chance(rough, 100) {
        return match random.below(6) {
            0 | 1 => Deed::Cancel { slot, nth: random.index(3) },
            2 => Deed::Disconnect { slot, length: 0, abortive: true },
            3 => Deed::Disconnect { slot, length, abortive: false },
            4 => Deed::Close { slot },
            _ => {
                let all = [
                    Misuse::Connect,
                    Misuse::Bind,
                    Misuse::SendFlags,
                    Misuse::ReceiveFlags,
                    Misuse::ShortChain,
                    Misuse::AbortiveData,
                    Misuse::NoIrp,
                ];
                Deed::Misuse { slot, what: random.pick(&all).unwrap_or(Misuse::Bind) }
            }
        };
    }
    match random.below(20) {
        0..=7 => Deed::Send { slot, length, pieces: 1 + random.index(3) },
        8..=13 => Deed::Receive { slot, length, all: random.chance(1, 4) },
        14..=16 => Deed::Await { slot, limit: random.pick(&[1, 100, 10_000]).unwrap_or(1) },
        17 => Deed::Addresses { slot },
        18 => Deed::Release { slot },
        _ => Deed::Pause { time: random.pick(&[1, 50, 5000, 300_000]).unwrap_or(1) },
    }
}
