//! **Purpose**: the replica's encoding, and the check that bytes are field elements.
//!
//! **Invariants**
//! - replica = label of the last layer + data, modulo the field's order.
//! - Bytes that are not the canonical form of a field element are found before they are used: the
//!   library refuses them, and reducing them would lose data.
//!
//! **Source**: storage-proofs-porep 19.1 `encode`.

use crate::shape::NODE_BYTES;

pub use hesper_poseidon::add_fr as encode;

/// The order of the BLS12-381 scalar field, little-endian.
const ORDER: [u8; 32] = [
    0x01, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0x02, 0xa4, 0xbd, 0x53,
    0x05, 0xd8, 0xa1, 0x09, 0x08, 0xd8, 0x39, 0x33, 0x48, 0x7d, 0x9d, 0x29, 0x53, 0xa7, 0xed, 0x73,
];

/// Index of the first node that is not a canonical field element.
pub fn first_out_of_field(nodes: &[u8]) -> Option<usize> {
    let (nodes, _) = nodes.as_chunks::<NODE_BYTES>();
    nodes.iter().position(|node| node[31] >= ORDER[31] && node.iter().rev().ge(ORDER.iter().rev()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_first_value_out_of_the_field() {
        let mut below = ORDER;
        below[0] = 0;
        let mut above = [0; 32];
        above[31] = 0x74;
        assert_eq!(first_out_of_field(&below), None);
        assert_eq!(first_out_of_field(&[below, ORDER].concat()), Some(1));
        assert_eq!(first_out_of_field(&[above, ORDER].concat()), Some(0));
        assert_eq!(first_out_of_field(&[]), None);
    }
}
