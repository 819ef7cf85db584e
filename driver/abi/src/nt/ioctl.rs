//! Device control codes (`devioctl.h`, *Defining I/O Control Codes*).

/// How the I/O manager passes the buffers: one copy in `AssociatedIrp.SystemBuffer` for both directions.
pub const METHOD_BUFFERED: u32 = 0;
/// Input copied, second buffer locked for reading by the device.
pub const METHOD_IN_DIRECT: u32 = 1;
/// Input copied, second buffer locked for writing by the device.
pub const METHOD_OUT_DIRECT: u32 = 2;
/// User addresses as they are.
pub const METHOD_NEITHER: u32 = 3;

pub const FILE_ANY_ACCESS: u32 = 0;
pub const FILE_READ_ACCESS: u32 = 1;
pub const FILE_WRITE_ACCESS: u32 = 2;

pub const FILE_DEVICE_NETWORK: u32 = 0x12;
pub const FILE_DEVICE_UNKNOWN: u32 = 0x22;

/// `CTL_CODE` (`devioctl.h`): device type, function (private ones from 0x800), `METHOD_*` and `FILE_*_ACCESS`.
#[must_use]
pub const fn CTL_CODE(DeviceType: u32, Function: u32, Method: u32, Access: u32) -> u32 {
    (DeviceType << 16) | (Access << 14) | (Function << 2) | Method
}

/// `METHOD_FROM_CTL_CODE` (`devioctl.h`).
#[must_use]
pub const fn METHOD_FROM_CTL_CODE(ctrlCode: u32) -> u32 {
    ctrlCode & 3
}

/// `DEVICE_TYPE_FROM_CTL_CODE` (`devioctl.h`).
#[must_use]
pub const fn DEVICE_TYPE_FROM_CTL_CODE(ctrlCode: u32) -> u32 {
    ctrlCode >> 16
}
