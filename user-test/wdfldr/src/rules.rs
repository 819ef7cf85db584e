//! The framework's rules about lengths and versions.

use abi::NTSTATUS;
use abi::nt::{METHOD_BUFFERED, METHOD_FROM_CTL_CODE, METHOD_IN_DIRECT, METHOD_NEITHER};
use abi::status::{STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST};

/// Functions in the table: KMDF 1.31 and 1.33.
pub(crate) const FUNCTION_COUNT: usize = 458;

/// Counts of the released versions whose clients hold a pointer to the table (1.15 and later).
const RELEASED: [u32; 8] = [444, 446, 448, 451, 453, 454, 458, 458];

/// Whether the library binds a client that was built for `count` functions.
pub(crate) fn is_released(count: u32) -> bool {
    RELEASED.contains(&count)
}

/// Which of the two buffers of a device control request is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What the caller sent.
    Input,
    /// Room for the reply.
    Output,
}

/// Whether the I/O manager's copy may be handed out as a buffer of `length` bytes, of which the driver needs
/// `minimum`.
///
/// # Errors
///
/// INVALID_DEVICE_REQUEST where there is no such copy, BUFFER_TOO_SMALL for a short buffer and for every empty one.
pub(crate) fn check_buffer(
    code: u32,
    direction: Direction,
    length: u32,
    minimum: usize,
) -> Result<(), NTSTATUS> {
    let method = METHOD_FROM_CTL_CODE(code);
    let has_copy = match direction {
        Direction::Input => method != METHOD_NEITHER,
        // The second buffer of the direct methods is described by an MDL, which nobody here asks for.
        Direction::Output => method == METHOD_BUFFERED,
    };
    if !has_copy {
        return Err(STATUS_INVALID_DEVICE_REQUEST);
    }
    if length == 0 || (length as usize) < minimum {
        return Err(STATUS_BUFFER_TOO_SMALL);
    }
    Ok(())
}

/// Whether `information` bytes may be reported for a request with room for `output`.
///
/// For direct input the second buffer is also an input, so the count says nothing about the caller's memory.
pub(crate) fn is_information_plausible(code: u32, output: u32, information: usize) -> bool {
    METHOD_FROM_CTL_CODE(code) == METHOD_IN_DIRECT || information <= output as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::nt::{CTL_CODE, FILE_ANY_ACCESS, FILE_DEVICE_NETWORK, METHOD_OUT_DIRECT};

    fn code(method: u32) -> u32 {
        CTL_CODE(FILE_DEVICE_NETWORK, 0x800, method, FILE_ANY_ACCESS)
    }

    #[test]
    fn an_empty_buffer_is_too_small_even_if_nothing_is_needed() {
        let buffered = code(METHOD_BUFFERED);
        assert_eq!(check_buffer(buffered, Direction::Input, 0, 0), Err(STATUS_BUFFER_TOO_SMALL));
        assert_eq!(check_buffer(buffered, Direction::Output, 4, 5), Err(STATUS_BUFFER_TOO_SMALL));
        assert_eq!(check_buffer(buffered, Direction::Output, 5, 5), Ok(()));
    }

    #[test]
    fn raw_addresses_are_never_handed_out() {
        for direction in [Direction::Input, Direction::Output] {
            let result = check_buffer(code(METHOD_NEITHER), direction, 8, 0);
            assert_eq!(result, Err(STATUS_INVALID_DEVICE_REQUEST));
        }
        let direct = code(METHOD_OUT_DIRECT);
        assert_eq!(check_buffer(direct, Direction::Input, 8, 8), Ok(()));
        assert_eq!(check_buffer(direct, Direction::Output, 8, 8), Err(STATUS_INVALID_DEVICE_REQUEST));
    }

    #[test]
    fn more_information_than_room_is_a_bug() {
        assert!(is_information_plausible(code(METHOD_BUFFERED), 8, 8));
        assert!(!is_information_plausible(code(METHOD_BUFFERED), 8, 9));
        assert!(is_information_plausible(code(METHOD_IN_DIRECT), 0, 9));
    }

    #[test]
    fn only_counts_of_released_versions_bind() {
        assert!(is_released(444) && is_released(FUNCTION_COUNT as u32));
        assert!(!is_released(445) && !is_released(459) && !is_released(438));
    }
}
