//! Any processor: two small tables for each factor.

use super::{super::gf::NIBBLES, Product};

pub(super) fn run(product: &Product<'_>, out: &mut [u8]) {
    let range = product.range.clone();
    for row in 0..product.rows {
        let out = &mut out[row * product.stride..][range.clone()];
        if product.set {
            out.fill(0);
        }
        let factors = &product.factors.bytes[row * product.columns + product.column..];
        for (input, &factor) in product.inputs.iter().zip(factors) {
            let table = &NIBBLES[usize::from(factor)];
            for (out, &byte) in out.iter_mut().zip(&input[range.clone()]) {
                *out ^= table[usize::from(byte & 15)] ^ table[16 + usize::from(byte >> 4)];
            }
        }
    }
}
