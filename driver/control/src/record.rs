//! Fixed-layout records: little-endian, no padding that is not a named field, no unsafe.

/// Why bytes are not a record: the buffer holds `got` octets where `need` are the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Octets the record needs.
    pub need: usize,
    /// Octets that were given.
    pub got: usize,
}

/// A structure with one layout on both sides of the boundary.
pub trait Record: Sized {
    /// Octets of the encoded record.
    const SIZE: usize;

    /// Reads the record from the front of `bytes`. Octets behind it are not looked at.
    ///
    /// # Errors
    /// [`Malformed`] when `bytes` is shorter than [`Record::SIZE`].
    fn decode(bytes: &[u8]) -> Result<Self, Malformed>;

    /// Writes the record to the front of `bytes` and returns its length.
    ///
    /// # Errors
    /// [`Malformed`] when `bytes` is shorter than [`Record::SIZE`]; nothing is written then.
    fn encode(&self, bytes: &mut [u8]) -> Result<usize, Malformed>;
}

/// A field of a record, for the reference.
#[derive(Clone, Copy, Debug)]
pub struct FieldLayout {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Octets.
    pub size: usize,
    /// What it is, in lines.
    pub text: &'static [&'static str],
}

/// A record, for the reference.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Its name.
    pub name: &'static str,
    /// Octets.
    pub size: usize,
    /// Its fields, one behind the other.
    pub fields: &'static [FieldLayout],
}

/// A type that may be a field of a record.
pub(crate) trait Field: Sized {
    const SIZE: usize;
    fn take(bytes: &mut &[u8]) -> Option<Self>;
    fn put(&self, bytes: &mut &mut [u8]) -> Option<()>;
}

fn split<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(n)?;
    *bytes = tail;
    Some(head)
}

fn write(bytes: &mut &mut [u8], value: &[u8]) -> Option<()> {
    let (head, tail) = core::mem::take(bytes).split_at_mut_checked(value.len())?;
    head.copy_from_slice(value);
    *bytes = tail;
    Some(())
}

macro_rules! integer_field {
    ($($t:ty),*) => {$(
        impl Field for $t {
            const SIZE: usize = size_of::<$t>();
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(<$t>::from_le_bytes(split(bytes, Self::SIZE)?.try_into().ok()?))
            }
            fn put(&self, bytes: &mut &mut [u8]) -> Option<()> {
                write(bytes, &self.to_le_bytes())
            }
        }
    )*};
}
integer_field!(u16, u32, i32, u64);

impl<const N: usize> Field for [u8; N] {
    const SIZE: usize = N;
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        split(bytes, N)?.try_into().ok()
    }
    fn put(&self, bytes: &mut &mut [u8]) -> Option<()> {
        write(bytes, self)
    }
}

/// Defines a record: a plain structure whose fields lie one behind the other.
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[doc = $text:literal])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis struct $name { $($(#[doc = $text])* pub $field: $type,)* }

        impl $name {
            /// Where its fields lie, and what they are.
            pub const LAYOUT: $crate::Layout = $crate::Layout {
                name: stringify!($name),
                size: <Self as $crate::record::Field>::SIZE,
                fields: &[$($crate::FieldLayout {
                    name: stringify!($field),
                    kind: stringify!($type),
                    size: <$type as $crate::record::Field>::SIZE,
                    text: &[$($text),*],
                },)*],
            };
        }

        impl $crate::record::Field for $name {
            const SIZE: usize = 0 $(+ <$type as $crate::record::Field>::SIZE)*;
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: <$type as $crate::record::Field>::take(bytes)?,)* })
            }
            fn put(&self, bytes: &mut &mut [u8]) -> Option<()> {
                $($crate::record::Field::put(&self.$field, bytes)?;)*
                Some(())
            }
        }

        impl $crate::record::Record for $name {
            const SIZE: usize = <Self as $crate::record::Field>::SIZE;
            fn decode(mut bytes: &[u8]) -> Result<Self, $crate::record::Malformed> {
                let got = bytes.len();
                $crate::record::Field::take(&mut bytes)
                    .ok_or($crate::record::Malformed { need: <Self as $crate::record::Record>::SIZE, got })
            }
            fn encode(&self, mut bytes: &mut [u8]) -> Result<usize, $crate::record::Malformed> {
                let (need, got) = (<Self as $crate::record::Record>::SIZE, bytes.len());
                let short = $crate::record::Malformed { need, got };
                if got < need {
                    return Err(short);
                }
                $crate::record::Field::put(self, &mut bytes).ok_or(short)?;
                Ok(need)
            }
        }
    };
}
pub(crate) use record;
