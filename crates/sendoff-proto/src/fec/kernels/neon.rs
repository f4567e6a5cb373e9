//! AArch64: table look-ups of sixteen bytes.
//!
//! Unsafe because of the instructions, and the pointers that loads and stores take.
#![allow(unsafe_code)]

use super::{
    super::gf::NIBBLES,
    Product,
    vector::{self, Vector, padded},
};
use std::arch::aarch64::*;

/// Does what `product` says. NEON was found on this processor, and `check` has passed.
pub(super) fn run(product: &Product<'_>, out: &mut [u8]) {
    // SAFETY: `Kernel::all` makes this kernel only if the processor has NEON, and nobody else makes one;
    // `Kernel::run` has called `check`.
    unsafe { neon(product, out) }
}

#[target_feature(enable = "neon")]
unsafe fn neon(product: &Product<'_>, out: &mut [u8]) {
    // SAFETY: the instructions are there, as the caller has promised with the rest.
    unsafe { vector::run::<Table16>(product, out) }
}

#[derive(Clone, Copy)]
struct Table16(uint8x16_t);

// Each method's SAFETY: the caller has the instruction set and vouches for the pointers, as the trait demands.
impl Vector for Table16 {
    const BYTES: usize = 16;
    type Split = (uint8x16_t, uint8x16_t);
    type Factor = (uint8x16_t, uint8x16_t);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Self(unsafe { vdupq_n_u8(0) })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above.
        Self(unsafe { vld1q_u8(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: see above.
        unsafe { vst1q_u8(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: see above; the copy has 16 bytes.
        unsafe { Self::load(padded::<16>(from, len).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        let mut bytes = [0; 16];
        // SAFETY: see above; the array has 16 bytes.
        unsafe {
            self.store(bytes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, len);
        }
    }

    #[inline(always)]
    unsafe fn split(self) -> Self::Split {
        // SAFETY: see above.
        unsafe { (vandq_u8(self.0, vdupq_n_u8(15)), vshrq_n_u8::<4>(self.0)) }
    }

    #[inline(always)]
    unsafe fn factor(product: &Product<'_>, at: usize) -> Self::Factor {
        // SAFETY: see above; factor `at` is there, and a table has 32 bytes.
        unsafe {
            let table = NIBBLES[usize::from(*product.factors.bytes.get_unchecked(at))].as_ptr();
            (vld1q_u8(table), vld1q_u8(table.add(16)))
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, (low, high): Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: see above.
        unsafe {
            let product = veorq_u8(vqtbl1q_u8(factor.0, low), vqtbl1q_u8(factor.1, high));
            Self(veorq_u8(self.0, product))
        }
    }
}
