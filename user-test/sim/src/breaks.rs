//! What happens to a machine, beside what its clients do.

use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use ksim::wsk::Function;

use crate::nic;
use crate::plan::Break;
use crate::report::count;

/// Functions of the system that may fail. Not WskBind: iWARP then takes another port, by which no client could tell its peer.
const FUNCTIONS: [Function; 7] = [
    Function::WskSocket,
    Function::WskAccept,
    Function::WskListen,
    Function::WskConnect,
    Function::WskSend,
    Function::WskReceive,
    Function::WskDisconnect,
];

/// Has it happen.
pub(crate) fn happen(what: Break) {
    count(format!("{what:?}"));
    match what {
        Break::TearOut => nic::tear_out(),
        Break::PutIn => nic::put_in(),
        Break::NdkOff => nic::switch(false),
        Break::NdkOn => nic::switch(true),
        Break::KillSystemSocket(nth) => {
            // In an order that does not depend on where they lie.
            let mut sockets = ksim::wsk::sockets();
            sockets.sort_by_key(|socket| (socket.local, socket.remote, socket.category));
            if let Some(socket) = sockets.get(nth) {
                ksim::wsk::kill(socket.socket);
            }
        }
        Break::FailSystem(nth) => {
            if let Some(function) = FUNCTIONS.get(nth) {
                ksim::wsk::fail_next(*function, STATUS_INSUFFICIENT_RESOURCES);
            }
        }
    }
}
