//! `WskControlClient`: what concerns a client and none of its sockets.

use abi::NTSTATUS;
use abi::ndk::{WSK_PROVIDER_NDK_DISPATCH, WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH};
use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED, STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS,
};
use abi::wsk::*;

use super::events::OF_CONNECTIONS;
use super::lists::transport_bytes;
use super::options::event_mask;
use super::world::World;

/// Status, output, and the size the client is told.
type Answer = (NTSTATUS, Vec<u8>, usize);

fn status(status: NTSTATUS) -> Answer {
    (status, Vec::new(), 0)
}

impl World {
    /// Does what a call without an IRP asks for.
    pub(super) fn control_client(&mut self, client: usize, code: u32, input: &[u8], room: usize) -> Answer {
        let word = input.first_chunk().map(|&word| usize::from_le_bytes(word));
        match code {
            WSK_TRANSPORT_LIST_QUERY => {
                let bytes = transport_bytes(&self.transports);
                let size = bytes.len();
                if size > room {
                    (STATUS_BUFFER_OVERFLOW, Vec::new(), size)
                } else {
                    (STATUS_SUCCESS, bytes, size)
                }
            }
            WSK_TRANSPORT_LIST_CHANGE => status(STATUS_REQUEST_NOT_ACCEPTED),
            WSK_CACHE_SD => {
                // The client passes a variable that holds the descriptor.
                let Some(descriptor) = word.filter(|&word| word != 0 && room >= 8) else {
                    return status(STATUS_INVALID_PARAMETER);
                };
                self.keep_descriptor(descriptor);
                (STATUS_SUCCESS, descriptor.to_le_bytes().to_vec(), 8)
            }
            WSK_RELEASE_SD => status(match word {
                Some(descriptor) if self.drop_descriptor(descriptor) => STATUS_SUCCESS,
                _ => STATUS_INVALID_PARAMETER,
            }),
            WSK_TDI_DEVICENAME_MAPPING | WSK_TDI_BEHAVIOR if self.has_sockets(client) => {
                status(STATUS_INVALID_DEVICE_STATE)
            }
            WSK_TDI_DEVICENAME_MAPPING => status(match input.len() {
                length if length < size_of::<WSK_TDI_MAP_INFO>() => STATUS_INVALID_PARAMETER,
                _ => STATUS_SUCCESS,
            }),
            WSK_TDI_BEHAVIOR => status(match input.len() {
                length if length < size_of::<u32>() => STATUS_INVALID_PARAMETER,
                _ => STATUS_SUCCESS,
            }),
            WSK_SET_STATIC_EVENT_CALLBACKS => status(self.fix_events(client, input)),
            WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH => self.ndk_dispatch(room),
            _ => status(STATUS_NOT_SUPPORTED),
        }
    }

    fn has_sockets(&self, client: usize) -> bool {
        self.clients.get(&client).is_some_and(|client| client.sockets != 0)
    }

    fn fix_events(&mut self, client: usize, input: &[u8]) -> NTSTATUS {
        const KNOWN: u32 = OF_CONNECTIONS | WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE_FROM;
        let mask = match event_mask(input) {
            Ok(mask) => mask,
            Err(status) => return status,
        };
        if mask == 0 || mask & !KNOWN != 0 {
            return STATUS_INVALID_PARAMETER;
        }
        if self.has_sockets(client) {
            return STATUS_INVALID_DEVICE_STATE;
        }
        if let Some(client) = self.clients.get_mut(&client) {
            client.fixed_events |= mask;
        }
        STATUS_SUCCESS
    }

    fn ndk_dispatch(&self, room: usize) -> Answer {
        let Some(dispatch) = self.ndk else { return status(STATUS_NOT_SUPPORTED) };
        let size = size_of::<WSK_PROVIDER_NDK_DISPATCH>();
        if room < size {
            return (STATUS_BUFFER_TOO_SMALL, Vec::new(), size);
        }
        let mut bytes = (dispatch.WskOpenNdkAdapter as usize).to_le_bytes().to_vec();
        bytes.extend((dispatch.WskCloseNdkAdapter as usize).to_le_bytes());
        (STATUS_SUCCESS, bytes, size)
    }

    /// One more reference to a cached security descriptor.
    pub(super) fn keep_descriptor(&mut self, descriptor: usize) {
        if descriptor != 0 {
            *self.descriptors.entry(descriptor).or_default() += 1;
        }
    }

    /// One reference less; `false` if there is none.
    fn drop_descriptor(&mut self, descriptor: usize) -> bool {
        let Some(count) = self.descriptors.get_mut(&descriptor) else { return false };
        *count -= 1;
        if *count == 0 {
            self.descriptors.remove(&descriptor);
        }
        true
    }
}
