//! **Purpose**: field operations on whole buffers: encoding, decoding and SnapDeals.
//!
//! **Invariants**: operands may be any 256-bit integers, results are canonical.

use crate::field::{self, Fr};
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::{Backend, NODE_BYTES};

/// What is done with each node.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    Add,
    Sub,
    MulAdd,
    SubMul,
}

/// `out = a + b`, node by node (encoding: data plus key).
///
/// # Panics
/// When the lengths differ or are no multiple of 32, or the backend is not available.
pub fn add_fr(backend: Backend, a: &[u8], b: &[u8], out: &mut [u8]) {
    run(backend, Operation::Add, a, b, a, out);
}

/// `out = a - b`, node by node (decoding: replica minus key).
///
/// # Panics
/// When the lengths differ or are no multiple of 32, or the backend is not available.
pub fn sub_fr(backend: Backend, a: &[u8], b: &[u8], out: &mut [u8]) {
    run(backend, Operation::Sub, a, b, a, out);
}

/// `out = a + b * rho`, node by node (SnapDeals: key plus data times rho).
///
/// # Panics
/// When the lengths differ or are no multiple of 32, or the backend is not available.
pub fn mul_add_fr(backend: Backend, a: &[u8], b: &[u8], rho: &[u8], out: &mut [u8]) {
    run(backend, Operation::MulAdd, a, b, rho, out);
}

/// `out = (a - b) * rho_inverse`, node by node (SnapDeals: replica minus key, over rho).
///
/// # Panics
/// When the lengths differ or are no multiple of 32, or the backend is not available.
pub fn sub_mul_fr(backend: Backend, a: &[u8], b: &[u8], rho_inverse: &[u8], out: &mut [u8]) {
    run(backend, Operation::SubMul, a, b, rho_inverse, out);
}

/// Replaces each node by its inverse; zero stays zero. One inversion serves the whole buffer.
///
/// # Panics
/// When the length is no multiple of 32.
pub fn invert_fr(values: &mut [u8]) {
    assert!(values.len().is_multiple_of(NODE_BYTES), "invert_fr of {} bytes", values.len());
    let nodes = values.as_chunks_mut::<NODE_BYTES>().0;
    let mut product = field::ONE;
    let before: Vec<Fr> = nodes
        .iter()
        .map(|node| {
            let before = product;
            let value = field::reduce(field::load(node));
            if value != field::ZERO {
                product = field::mul(product, value);
            }
            before
        })
        .collect();
    let mut inverse = field::invert(product);
    for (node, before) in nodes.iter_mut().zip(before).rev() {
        let value = field::reduce(field::load(node));
        if value == field::ZERO {
            node.fill(0);
            continue;
        }
        field::store(field::mul(inverse, before), node);
        inverse = field::mul(inverse, value);
    }
}

fn run(backend: Backend, operation: Operation, a: &[u8], b: &[u8], factor: &[u8], out: &mut [u8]) {
    backend.check();
    assert!(
        out.len().is_multiple_of(NODE_BYTES)
            && [a, b, factor].iter().all(|operand| operand.len() == out.len()),
        "a batch of field operations on {} bytes needs operands of the same length",
        out.len()
    );
    let done = match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512Ifma => {
            // SAFETY: `Backend::check` has found the features `avx512f` and `avx512ifma`.
            unsafe { ifma::batch::run(operation, a, b, factor, out) }
        }
        _ => 0,
    };
    scalar(operation, &a[done..], &b[done..], &factor[done..], &mut out[done..]);
}

/// The operation in 64-bit limbs.
fn scalar(operation: Operation, a: &[u8], b: &[u8], factor: &[u8], out: &mut [u8]) {
    let operands = a.as_chunks().0.iter().zip(b.as_chunks().0).zip(factor.as_chunks().0);
    for (out, ((a, b), factor)) in out.as_chunks_mut().0.iter_mut().zip(operands) {
        let load = |bytes: &[u8; NODE_BYTES]| field::reduce(field::load(bytes));
        let (a, b) = (load(a), load(b));
        let result = match operation {
            Operation::Add => field::add(a, b),
            Operation::Sub => field::sub(a, b),
            Operation::MulAdd => field::add(a, field::mul(b, load(factor))),
            Operation::SubMul => field::mul(field::sub(a, b), load(factor)),
        };
        field::store(result, out);
    }
}
