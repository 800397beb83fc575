//! **Purpose**: field operations on buffers, eight nodes per vector.
//!
//! **Invariants**: operands are any 256-bit integers; each result ends in a Montgomery product, so
//! that it is below twice the order and the store makes it canonical.
//!
//! **Source**: [`super::lanes`].

use std::arch::x86_64::{_mm512_add_epi64, _mm512_and_si512, _mm512_srai_epi64, _mm512_sub_epi64};

use super::lanes::{self, LIMBS, Lanes, MASK, broadcast};
use super::transpose::{self, LANES};
use crate::NODE_BYTES;
use crate::batch::Operation;

/// 2^260 modulo the order: a product with it only reduces.
const ONE: [u64; LIMBS] = lanes::split([
    0x0000_0022_ffff_ffdd,
    0x8d12_9397_0039_6c23,
    0xff17_76e6_aedf_7745,
    0x2682_1fa1_4f77_df20,
]);

/// 2^520 modulo the order: a product with it multiplies by 2^260.
const R: [u64; LIMBS] = lanes::split([
    0x99e9_9103_f29c_6cf0,
    0x3113_8b57_9276_63d9,
    0x9f77_15f1_ba1c_0ed6,
    0x09ff_646c_c027_3c82,
]);

/// Does the operation on as many whole vectors of nodes as there are; returns their bytes.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn run(
    operation: Operation,
    a: &[u8],
    b: &[u8],
    factor: &[u8],
    out: &mut [u8],
) -> usize {
    const VECTOR: usize = LANES * NODE_BYTES;
    let operands = a.as_chunks::<VECTOR>().0.iter().zip(b.as_chunks::<VECTOR>().0);
    let operands = operands.zip(factor.as_chunks::<VECTOR>().0);
    let out = out.as_chunks_mut::<VECTOR>().0;
    for (out, ((a, b), factor)) in out.iter_mut().zip(operands) {
        let load = |bytes: &[u8; VECTOR]| transpose::load(bytes, NODE_BYTES);
        let result = match operation {
            Operation::Add => reduce(&sum(&load(a), &load(b))),
            Operation::Sub => reduce(&difference(&load(a), &load(b))),
            Operation::MulAdd => {
                let b = lanes::mul(&load(b), &lanes::broadcast_all(&R));
                lanes::mul_add(&b, &load(factor), &load(a), &lanes::broadcast_all(&ONE))
            }
            Operation::SubMul => {
                let difference = difference(&load(a), &load(b));
                let difference = lanes::mul(&difference, &lanes::broadcast_all(&R));
                lanes::mul(&difference, &load(factor))
            }
        };
        transpose::store(&result, out);
    }
    out.len() * VECTOR
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduce(x: &Lanes) -> Lanes {
    lanes::mul(x, &lanes::broadcast_all(&ONE))
}

/// `a + b`, below 2^257.
#[inline]
#[target_feature(enable = "avx512f")]
fn sum(a: &Lanes, b: &Lanes) -> Lanes {
    let mut sum = *a;
    for (sum, b) in sum.iter_mut().zip(b) {
        *sum = _mm512_add_epi64(*sum, *b);
    }
    lanes::carry(sum)
}

/// `a - b` plus three times the order, which is above any `b`; below 2^258.
#[inline]
#[target_feature(enable = "avx512f")]
fn difference(a: &Lanes, b: &Lanes) -> Lanes {
    let mut difference = *a;
    let mut borrow = broadcast(0);
    for i in 0..LIMBS {
        let above = _mm512_add_epi64(a[i], broadcast(3 * lanes::ORDER[i]));
        let limb = _mm512_add_epi64(_mm512_sub_epi64(above, b[i]), borrow);
        borrow = _mm512_srai_epi64::<52>(limb);
        difference[i] = _mm512_and_si512(limb, broadcast(MASK));
    }
    difference
}
