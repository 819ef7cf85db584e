//! A system without `ExAllocatePool2`, such as Windows Server 2019, and one that does not tell its processors apart. It is a
//! process of its own, because routines are looked up once.

use wskrdma_kernel as kernel;

use kernel::pool::{PoolSlice, PoolTag};
use kernel::processor::Processor;
use kernel::region::Region;

#[test]
fn memory_is_zeroed_all_the_same() {
    ksim::routine::hide("ExAllocatePool2");
    let tag = PoolTag::new(b"Olde");
    let region = Region::try_new(tag, 5000).unwrap();
    let mut bytes = vec![1; 5000];
    region.read(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
    let slice = PoolSlice::try_new_with(tag, 3, |index| index).unwrap();
    assert_eq!(slice[..], [0, 1, 2]);
    assert_eq!(ksim::pool::outstanding(b"Olde"), 2);
    drop((region, slice));
    assert_eq!(ksim::leaks(), []);
}

#[test]
fn every_processor_is_the_first_one() {
    ksim::routine::hide("KeGetCurrentProcessorNumberEx");
    let affinity = Processor::current().affinity();
    assert_eq!((affinity.Group, affinity.Mask), (0, 1));
}
