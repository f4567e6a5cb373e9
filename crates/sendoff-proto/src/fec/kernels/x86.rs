//! x86-64: byte shuffles as tables of sixteen (SSSE3, AVX2), or multiplication by a matrix of bits (GFNI).
//!
//! Unsafe because of the instructions, which not every processor has, and the pointers that loads and stores take.
#![allow(unsafe_code)]

use super::{
    super::gf::NIBBLES,
    Kind, Product,
    vector::{self, Vector, padded},
};
use std::arch::x86_64::*;

/// Does what `product` says. `kind` is one that was found on this processor, and `check` has passed.
#[inline]
pub(super) fn run(kind: Kind, product: &Product<'_>, out: &mut [u8]) {
    // SAFETY: `Kernel::all` makes a kernel only if the processor has its instructions, and nobody else makes
    // one; `Kernel::run` has called `check`.
    unsafe {
        match kind {
            Kind::Scalar => super::scalar::run(product, out),
            Kind::Ssse3 => ssse3(product, out),
            Kind::Avx2 => avx2(product, out),
            Kind::GfniAvx2 => gfni_avx2(product, out),
            Kind::GfniAvx512 => gfni_avx512(product, out),
        }
    }
}

#[target_feature(enable = "ssse3")]
unsafe fn ssse3(product: &Product<'_>, out: &mut [u8]) {
    // SAFETY: the instructions are there, as the caller has promised with the rest.
    unsafe { vector::run::<Shuffle16>(product, out) }
}

#[target_feature(enable = "avx2")]
unsafe fn avx2(product: &Product<'_>, out: &mut [u8]) {
    // SAFETY: the instructions are there, as the caller has promised with the rest.
    unsafe { vector::run::<Shuffle32>(product, out) }
}

#[target_feature(enable = "avx2,gfni")]
unsafe fn gfni_avx2(product: &Product<'_>, out: &mut [u8]) {
    // SAFETY: the instructions are there, as the caller has promised with the rest.
    unsafe { vector::run::<Affine32>(product, out) }
}

#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn gfni_avx512(product: &Product<'_>, out: &mut [u8]) {
    // SAFETY: the instructions are there, as the caller has promised with the rest.
    unsafe { vector::run::<Affine64>(product, out) }
}

/// SSSE3.
#[derive(Clone, Copy)]
struct Shuffle16(__m128i);

// Each method's SAFETY: the caller has the instruction set and vouches for the pointers, as the trait demands.
impl Vector for Shuffle16 {
    const BYTES: usize = 16;
    type Split = (__m128i, __m128i);
    type Factor = (__m128i, __m128i);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm_setzero_si128() })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm_loadu_si128(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: see above.
        unsafe { _mm_storeu_si128(to.cast(), self.0) }
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
        unsafe {
            let mask = _mm_set1_epi8(15);
            (_mm_and_si128(self.0, mask), _mm_and_si128(_mm_srli_epi64::<4>(self.0), mask))
        }
    }

    #[inline(always)]
    unsafe fn factor(product: &Product<'_>, at: usize) -> Self::Factor {
        // SAFETY: see above; factor `at` is there, and a table has 32 bytes.
        unsafe {
            let table = NIBBLES[usize::from(*product.factors.bytes.get_unchecked(at))].as_ptr();
            (_mm_loadu_si128(table.cast()), _mm_loadu_si128(table.add(16).cast()))
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, (low, high): Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: see above.
        unsafe {
            let product = _mm_xor_si128(_mm_shuffle_epi8(factor.0, low), _mm_shuffle_epi8(factor.1, high));
            Self(_mm_xor_si128(self.0, product))
        }
    }
}

/// AVX2.
#[derive(Clone, Copy)]
struct Shuffle32(__m256i);

// Each method's SAFETY: the caller has the instruction set and vouches for the pointers, as the trait demands.
impl Vector for Shuffle32 {
    const BYTES: usize = 32;
    type Split = (__m256i, __m256i);
    type Factor = (__m256i, __m256i);

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: see above; the copy has 32 bytes.
        unsafe { Self::load(padded::<32>(from, len).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        let mut bytes = [0; 32];
        // SAFETY: see above; the array has 32 bytes.
        unsafe {
            self.store(bytes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, len);
        }
    }

    #[inline(always)]
    unsafe fn split(self) -> Self::Split {
        // SAFETY: see above.
        unsafe {
            let mask = _mm256_set1_epi8(15);
            (_mm256_and_si256(self.0, mask), _mm256_and_si256(_mm256_srli_epi64::<4>(self.0), mask))
        }
    }

    #[inline(always)]
    unsafe fn factor(product: &Product<'_>, at: usize) -> Self::Factor {
        // SAFETY: see above; factor `at` is there, and a table has 32 bytes.
        unsafe {
            let table = NIBBLES[usize::from(*product.factors.bytes.get_unchecked(at))].as_ptr();
            let both_halves = |at| _mm256_broadcastsi128_si256(_mm_loadu_si128(table.add(at).cast()));
            (both_halves(0), both_halves(16))
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, (low, high): Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: see above.
        unsafe {
            let product =
                _mm256_xor_si256(_mm256_shuffle_epi8(factor.0, low), _mm256_shuffle_epi8(factor.1, high));
            Self(_mm256_xor_si256(self.0, product))
        }
    }
}

/// AVX2 and GFNI.
#[derive(Clone, Copy)]
struct Affine32(__m256i);

// Each method's SAFETY: the caller has the instruction set and vouches for the pointers, as the trait demands.
impl Vector for Affine32 {
    const BYTES: usize = 32;
    type Split = __m256i;
    type Factor = __m256i;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: see above; the copy has 32 bytes.
        unsafe { Self::load(padded::<32>(from, len).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        // SAFETY: see above: the same register as Shuffle32's, and AVX2 is there.
        unsafe { Shuffle32(self.0).store_part(to, len) }
    }

    #[inline(always)]
    unsafe fn split(self) -> Self::Split {
        self.0
    }

    #[inline(always)]
    unsafe fn factor(product: &Product<'_>, at: usize) -> Self::Factor {
        // SAFETY: see above; factor `at` is there.
        unsafe { _mm256_set1_epi64x(*product.factors.affine.get_unchecked(at) as i64) }
    }

    #[inline(always)]
    unsafe fn add_product(self, input: Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(self.0, _mm256_gf2p8affine_epi64_epi8::<0>(input, factor)) })
    }
}

/// AVX-512 and GFNI.
#[derive(Clone, Copy)]
struct Affine64(__m512i);

// Each method's SAFETY: the caller has the instruction set and vouches for the pointers, as the trait demands.
impl Vector for Affine64 {
    const BYTES: usize = 64;
    type Split = __m512i;
    type Factor = __m512i;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const u8, len: usize) -> Self {
        // SAFETY: see above; bytes that the mask leaves out are not touched.
        Self(unsafe { _mm512_maskz_loadu_epi8(first(len), from.cast()) })
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut u8, len: usize) {
        // SAFETY: see above; bytes that the mask leaves out are not touched.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), first(len), self.0) }
    }

    #[inline(always)]
    unsafe fn split(self) -> Self::Split {
        self.0
    }

    #[inline(always)]
    unsafe fn factor(product: &Product<'_>, at: usize) -> Self::Factor {
        // SAFETY: see above; factor `at` is there.
        unsafe { _mm512_set1_epi64(*product.factors.affine.get_unchecked(at) as i64) }
    }

    #[inline(always)]
    unsafe fn add_product(self, input: Self::Split, factor: Self::Factor) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_xor_si512(self.0, _mm512_gf2p8affine_epi64_epi8::<0>(input, factor)) })
    }
}

/// A mask of the first `len` bytes of 64.
fn first(len: usize) -> u64 {
    1_u64.checked_shl(len as u32).map_or(u64::MAX, |bit| bit - 1)
}
