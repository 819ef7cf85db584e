extern crate std;

use core::mem::{offset_of, size_of};
use std::string::String;
use std::vec::Vec;

use super::*;

/// Names of the structures in a source text whose public members are not exactly those that its `layout!`
/// proves.
pub(crate) fn unproved(source: &str) -> Vec<&str> {
    let members = |body: &str| -> Vec<String> {
        let names = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
        names.map(String::from).collect()
    };
    let proved = |name: &str| -> Vec<String> {
        let start = std::format!("layout!({name}:");
        let Some((_, proof)) = source.split_once(&start) else { return Vec::new() };
        let (proof, _) = proof.split_once(");").expect("the end of a proof");
        let (_, proof) = proof.split_once(';').expect("the size and alignment of a proof");
        proof.split(',').filter_map(|entry| entry.split_whitespace().next()).map(String::from).collect()
    };
    let structures = source.split("pub struct ").skip(1).filter_map(|text| text.split_once(" {\n"));
    structures
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .filter(|(name, text)| {
            let (body, _) = text.split_once("\n}").expect("the end of a structure");
            members(body) != proved(name)
        })
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn every_member_of_every_structure_is_proved() {
    let sources = [
        include_str!("data.rs"),
        include_str!("dispatch.rs"),
        include_str!("info.rs"),
        include_str!("objects.rs"),
        include_str!("rss.rs"),
        include_str!("wskndk.rs"),
    ];
    for source in sources {
        assert_eq!(unproved(source), [""; 0]);
    }
}

#[test]
fn a_member_without_a_proof_is_found() {
    let source = "pub struct A {\n    pub x: u32,\n    pub y: u32,\n}\nlayout!(A: 8, 4; x 0);\n\
                  pub struct B {\n    pub x: u32,\n}\nlayout!(B: 4, 4; x 0x0);\n\
                  pub struct C {\n    pub x: u32,\n}\n";
    assert_eq!(unproved(source), ["A", "C"]);
}

/// A consumer of an old provider may read exactly the slots before the first one of a later version.
#[test]
fn tables_of_older_versions_end_where_the_newer_slots_start() {
    assert_eq!(offset_of!(NDK_CQ_DISPATCH, NdkGetCqResultsEx), 0x30, "NDKPI 1.1");
    assert_eq!(offset_of!(NDK_QP_DISPATCH, NdkSendAndInvalidate), 0x50, "NDKPI 1.1");
    assert_eq!(offset_of!(NDK_CONNECTOR_DISPATCH, NdkCompleteConnectEx), 0x58, "before NDKPI 2.1");
}

#[test]
fn tables_have_as_many_slots_as_their_version_defines() {
    let slots = [
        size_of::<NDK_ADAPTER_DISPATCH>(),
        size_of::<NDK_PD_DISPATCH>(),
        size_of::<NDK_CQ_DISPATCH>(),
        size_of::<NDK_MR_DISPATCH>(),
        size_of::<NDK_MW_DISPATCH>(),
        size_of::<NDK_SRQ_DISPATCH>(),
        size_of::<NDK_QP_DISPATCH>(),
        size_of::<NDK_CONNECTOR_DISPATCH>(),
        size_of::<NDK_LISTENER_DISPATCH>(),
        size_of::<NDK_SHARED_ENDPOINT_DISPATCH>(),
    ]
    .map(|size| size / size_of::<usize>());
    assert_eq!(slots, [9, 8, 7, 7, 3, 4, 11, 13, 5, 3]);
}

/// Windows 8 providers know nothing after `AdapterFlags`.
#[test]
fn short_adapter_info_ends_before_the_technology() {
    assert_eq!(offset_of!(NDK_ADAPTER_INFO, AdapterFlags) + size_of::<u32>(), 0x60);
    assert_eq!(offset_of!(NDK_ADAPTER_INFO, RdmaTechnology), 0x60);
}

#[test]
fn remote_write_contains_local_write() {
    assert!(NDK_OP_FLAG::ALLOW_REMOTE_WRITE.contains(NDK_OP_FLAG::ALLOW_LOCAL_WRITE));
    assert_ne!(NDK_OP_FLAG::ALLOW_REMOTE_WRITE, NDK_OP_FLAG::ALLOW_LOCAL_WRITE);
    assert!(!NDK_OP_FLAG::ALLOW_REMOTE_READ.contains(NDK_OP_FLAG::ALLOW_LOCAL_WRITE));
    assert!(NDK_MR_FLAG::ALLOW_REMOTE_WRITE.contains(NDK_MR_FLAG::ALLOW_LOCAL_WRITE));
    assert_ne!(NDK_MR_FLAG::ALLOW_REMOTE_WRITE, NDK_MR_FLAG::ALLOW_LOCAL_WRITE);
    assert!(!NDK_MR_FLAG::ALLOW_REMOTE_READ.contains(NDK_MR_FLAG::ALLOW_LOCAL_WRITE));
}

/// The two documented traps: DEFER is 0x200, and no flag shares a bit with another but for the write rights.
#[test]
fn flags_are_the_numbers_of_the_header() {
    assert_eq!(NDK_OP_FLAG::all().bits(), 0x3FF);
    assert_eq!(NDK_OP_FLAG::DEFER.bits(), 0x200);
    assert_eq!(NDK_OP_FLAG::RDMA_READ_LOCAL_INVALIDATE.bits(), 0x100);
    assert_eq!(NDK_MR_FLAG::all().bits(), 0xF);
    assert_eq!(NDK_MR_FLAG::empty().bits(), NDK_MR_FLAG_ALLOW_LOCAL_READ);
    assert_eq!(NDK_ADAPTER_FLAG::all().bits(), 0x1_011F);
}

#[test]
fn remote_invalidation_marks_a_receive() {
    assert_eq!(NdkOperationTypeReceiveAndInvalidate, NdkOperationTypeReceive | 0x8000);
    assert_eq!(NdkOperationTypeReceiveAndInvalidate, 32769, "no sign extension of the 16-bit literal");
}

/// `'NDKD'` in C: the first character is the most significant byte.
#[test]
fn control_code_is_the_multi_character_constant() {
    assert_eq!(WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH, 0x4E44_4B44);
}
