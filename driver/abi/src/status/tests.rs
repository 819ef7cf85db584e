use super::*;

#[test]
fn severity_decides_success() {
    for status in [STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_PENDING, STATUS_EVENT_PENDING] {
        assert!(nt_success(status), "{status:#x}");
    }
    for status in [STATUS_BUFFER_OVERFLOW, STATUS_NO_MORE_ENTRIES, STATUS_CANCELLED, STATUS_NOINTERFACE] {
        assert!(!nt_success(status), "{status:#x}");
    }
}
