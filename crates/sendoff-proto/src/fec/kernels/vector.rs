//! The loop over vectors, for any instruction set.
//!
//! Unsafe because it reads and writes through pointers: with bounds checks in the innermost loop it
//! has several times the instructions.
#![allow(unsafe_code)]

use super::Product;

/// Rows that are made at once: their sums stay in registers.
const ROWS: usize = 4;

/// A register of bytes of GF(2⁸), and what can be done with it.
///
/// # Safety
///
/// All methods need the instruction set of the type. `load` and `store` read and write [`BYTES`](Self::BYTES) bytes,
/// `load_part` and `store_part` the first `len` of them, at pointers of any alignment.
pub(super) trait Vector: Copy {
    /// Bytes of a register.
    const BYTES: usize;
    /// An input, made ready to be multiplied by several factors.
    type Split: Copy;
    /// A factor, made ready to multiply several inputs.
    type Factor: Copy;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const u8) -> Self;
    unsafe fn store(self, to: *mut u8);
    unsafe fn load_part(from: *const u8, len: usize) -> Self;
    unsafe fn store_part(self, to: *mut u8, len: usize);
    unsafe fn split(self) -> Self::Split;
    /// Factor number `at`, which must be there.
    unsafe fn factor(product: &Product<'_>, at: usize) -> Self::Factor;
    unsafe fn add_product(self, input: Self::Split, factor: Self::Factor) -> Self;
}

/// Does what [`Product`] says.
///
/// # Safety
///
/// The instruction set of `V` is there, and [`Product::check`] has passed.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(product: &Product<'_>, out: &mut [u8]) {
    let mut row = 0;
    while row < product.rows {
        // SAFETY: as promised by the caller; `row` + the rows that are made is at most `product.rows`.
        unsafe {
            match product.rows - row {
                1 => rows::<V, 1>(product, out, row),
                2 => rows::<V, 2>(product, out, row),
                3 => rows::<V, 3>(product, out, row),
                _ => rows::<V, ROWS>(product, out, row),
            }
        }
        row += ROWS;
    }
}

/// Makes R rows, from `row` on.
#[inline(always)]
unsafe fn rows<V: Vector, const R: usize>(product: &Product<'_>, out: &mut [u8], row: usize) {
    let out = out.as_mut_ptr();
    let (mut at, end) = (product.range.start, product.range.end);
    // SAFETY: `check` has made sure that every input has `end` bytes, that row r of `out` lies in it up to
    // r × stride + end, and that a factor is there for each row and input. `at` + the length that is
    // touched is at most `end` in each of the three steps.
    unsafe {
        while at + 2 * V::BYTES <= end {
            step::<V, R, 2>(product, out, row, at, V::BYTES);
            at += 2 * V::BYTES;
        }
        if at + V::BYTES <= end {
            step::<V, R, 1>(product, out, row, at, V::BYTES);
            at += V::BYTES;
        }
        if at < end {
            step::<V, R, 1>(product, out, row, at, end - at);
        }
    }
}

/// Makes C registers, of `len` bytes each, of R rows. `len` is that of a register, or shorter if C is 1.
#[inline(always)]
unsafe fn step<V: Vector, const R: usize, const C: usize>(
    product: &Product<'_>,
    out: *mut u8,
    row: usize,
    at: usize,
    len: usize,
) {
    // SAFETY: the caller vouches for `at..at + C × len` in every input and every row, and for the factors.
    unsafe {
        let load = |from: *const u8| if len == V::BYTES { V::load(from) } else { V::load_part(from, len) };
        let place = |r: usize, c: usize| out.add((row + r) * product.stride + at + c * V::BYTES);
        let mut sums = [[V::zero(); C]; R];
        if !product.set {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = load(place(r, c));
                }
            }
        }
        let factors = row * product.columns + product.column;
        for (n, input) in product.inputs.iter().enumerate() {
            let from = input.as_ptr().add(at);
            let mut split = [V::zero().split(); C];
            for (c, split) in split.iter_mut().enumerate() {
                *split = load(from.add(c * V::BYTES)).split();
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = V::factor(product, factors + r * product.columns + n);
                for (sum, split) in sums.iter_mut().zip(split) {
                    *sum = sum.add_product(split, factor);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                if len == V::BYTES { sum.store(place(r, c)) } else { sum.store_part(place(r, c), len) }
            }
        }
    }
}

/// Copies the first bytes of a register's worth: for instruction sets that can't load a part.
///
/// # Safety
///
/// `len` is at most N, and so many bytes may be read at `from`.
#[inline(always)]
pub(super) unsafe fn padded<const N: usize>(from: *const u8, len: usize) -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: as promised; the array is a new place.
    unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len) };
    bytes
}
