//! What the requests to the device are answered by: no adapters and no sockets yet.

use abi::NTSTATUS;
use abi::status::STATUS_INVALID_DEVICE_REQUEST;
use control::driver::{CONTRACT_VERSION, Row, Source, StatusHeader, Work};

use crate::settings::Settings;

/// Everything behind the device, from the start of the driver to its unloading.
#[derive(Debug)]
pub(crate) struct Provider;

impl Provider {
    /// Starts. PASSIVE_LEVEL.
    ///
    /// # Errors
    ///
    /// None yet.
    pub(crate) fn start(_settings: Settings) -> Result<Self, NTSTATUS> {
        Ok(Self)
    }

    /// Answers IRP_MJ_DEVICE_CONTROL with a METHOD_BUFFERED code: the first `input` bytes of `buffer` are the question, the reply
    /// has at most `output`. Returns the status and the length of the reply. PASSIVE_LEVEL.
    pub(crate) fn device_control(
        &self,
        code: u32,
        buffer: &mut [u8],
        input: usize,
        output: usize,
    ) -> (NTSTATUS, usize) {
        control::driver::handle(code, buffer, input, output, self)
    }

    /// Answers IRP_MJ_INTERNAL_DEVICE_CONTROL, which only kernel mode can send; otherwise as [`Self::device_control`].
    pub(crate) fn internal_device_control(
        &self,
        _code: u32,
        _buffer: &mut [u8],
        _input: usize,
        _output: usize,
    ) -> (NTSTATUS, usize) {
        (STATUS_INVALID_DEVICE_REQUEST, 0)
    }
}

impl Source for Provider {
    fn header(&self) -> StatusHeader {
        StatusHeader {
            contract: CONTRACT_VERSION,
            adapters: 0,
            sockets: 0,
            irps_outstanding: 0,
            total: Work::default(),
        }
    }

    fn rows(&self, _sink: &mut dyn FnMut(Row) -> bool) {}
}
