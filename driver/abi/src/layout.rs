//! Compile-time layout proofs: each foreign structure states its size, alignment and the offset of every field.

/// Asserts size, alignment and the offset of each named field of a foreign type on 64-bit targets.
///
/// `layout!(IRP: 208, 16; Type 0x00, Size 0x02, …)`. A field that is left out is a hole in the proof, so the
/// tests of this crate count the fields.
#[macro_export]
macro_rules! layout {
    ($type:ty: $size:expr, $align:expr; $($field:ident $offset:expr),* $(,)?) => {
        const _: () = {
            assert!(::core::mem::size_of::<$type>() == $size, concat!("size of ", stringify!($type)));
            assert!(::core::mem::align_of::<$type>() == $align, concat!("alignment of ", stringify!($type)));
            $(assert!(
                ::core::mem::offset_of!($type, $field) == $offset,
                concat!("offset of ", stringify!($type), ".", stringify!($field)),
            );)*
        };
    };
}
