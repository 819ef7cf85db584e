//! Every NT, WSK and NMR structure proves its size, its alignment and the offset of every member.

use super::{Proof, Structure, proofs, sources, structures};

/// Structures without a proof, or whose proof leaves out, adds or reorders a member.
fn unproved(structures: &[Structure], proofs: &[Proof]) -> Vec<String> {
    let proved = |structure: &&Structure| {
        proofs.iter().any(|proof| {
            proof.name == structure.name && proof.fields.iter().map(|(field, _)| field).eq(&structure.fields)
        })
    };
    structures.iter().filter(|structure| !proved(structure)).map(|structure| structure.name.clone()).collect()
}

/// Only ever behind a pointer, so without a layout.
const OPAQUE: [&str; 1] = ["IO_WORKITEM"];

#[test]
fn every_member_of_every_structure_is_proved() {
    let sources = sources(&["nt", "wsk", "nmr.rs", "netio.rs"]);
    let mut stated: Vec<_> = sources.iter().flat_map(|source| structures(source)).collect();
    let proved: Vec<_> = sources.iter().flat_map(|source| proofs(source)).collect();
    stated.retain(|structure| !OPAQUE.contains(&structure.name.as_str()));
    assert!(stated.len() > 75, "only {} structures were found", stated.len());
    assert_eq!(unproved(&stated, &proved), [""; 0]);
}

#[test]
fn a_missing_member_or_proof_is_noticed() {
    let text = "pub struct A {\n    pub x: u32,\n    y: u32,\n}\nlayout!(A: 8, 4; x 0x0);\n\
                pub union B {\n    pub x: u32,\n}\nlayout!(B: 4, 4; x 0x0);\n\
                pub struct C {\n    pub x: u32,\n}\n";
    assert_eq!(unproved(&structures(text), &proofs(text)), ["A", "C"]);
}
