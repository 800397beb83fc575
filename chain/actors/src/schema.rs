//! **Purpose**: the layout of parameters as data.

/// What stands at one place, in CBOR and in JSON.
#[derive(Clone, Copy, Debug)]
pub enum Schema {
    /// No bytes at all; JSON `null`.
    Nothing,
    /// A number that fits `u64`; JSON number.
    Uint,
    /// A number that fits `i64`; JSON number.
    Int,
    Bool,
    Text,
    /// Byte string; JSON base64, as Go prints `[]byte`.
    Bytes,
    /// Byte string of a fixed length; JSON `0x` and hex.
    Hex(usize),
    /// Byte string with at most 32 bytes, big-endian, no leading zero; JSON `0x` and hex.
    Word,
    /// Signed big integer (byte string: sign byte, big-endian magnitude); JSON decimal text.
    BigInt,
    /// JSON text.
    Address,
    /// JSON `{"/": "bafy…"}`.
    Cid,
    /// RLE+ bytes; JSON the lengths of the runs, the first of them zeros.
    BitField,
    /// Type byte and signature; JSON `{"Type": …, "Data": base64}`.
    Signature,
    /// Text or bytes; JSON text, or `{"Bytes": base64}`.
    Label,
    /// CBOR `null` or the inner thing.
    Option(&'static Schema),
    Array(&'static Schema),
    /// CBOR array of fixed length; JSON object.
    Tuple(&'static [Field]),
    /// CBOR array of two; JSON array of two.
    Pair(&'static Schema, &'static Schema),
    /// Any CBOR, shown as its bytes.
    Any,
}

#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub schema: &'static Schema,
}

/// A tuple with named fields.
macro_rules! tuple {
    ($($name:ident : $schema:expr),* $(,)?) => {
        $crate::schema::Schema::Tuple(&[
            $($crate::schema::Field { name: stringify!($name), schema: &$schema }),*
        ])
    };
}
/// An array of one thing.
macro_rules! array {
    ($schema:expr) => {
        $crate::schema::Schema::Array(&$schema)
    };
}
/// A thing or null.
macro_rules! option {
    ($schema:expr) => {
        $crate::schema::Schema::Option(&$schema)
    };
}
pub(crate) use {array, option, tuple};
