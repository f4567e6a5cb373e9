//! Eight blocks in step with AVX2.
//!
//! The compiler makes scalar code of the portable loops over lanes: this is three times as fast.

#![allow(unsafe_code)] // A function compiled for AVX2 may only be called where there is AVX2.

use super::{BLOCK, DOUBLE_ROUNDS, QUARTERS, STREAM};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_extract_epi64, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

/// The key stream of eight blocks from `first` on. False, and nothing done, on a processor without AVX2.
pub(super) fn blocks(input: &[u32; 16], first: u64, stream: &mut [u8; STREAM]) -> bool {
    let able = std::arch::is_x86_feature_detected!("avx2");
    if able {
        // SAFETY: the processor has AVX2, as the line above has asked it.
        unsafe { blocks_with_avx2(input, first, stream) };
    }
    able
}

#[target_feature(enable = "avx2")]
fn blocks_with_avx2(input: &[u32; 16], first: u64, stream: &mut [u8; STREAM]) {
    let mut start = input.map(|word| _mm256_set1_epi32(word.cast_signed()));
    let counter = |shift: u32| {
        let part = |lane: u64| (first.wrapping_add(lane) >> shift) as i32;
        _mm256_setr_epi32(part(0), part(1), part(2), part(3), part(4), part(5), part(6), part(7))
    };
    (start[8], start[9]) = (counter(0), counter(32));
    let mut state = start;
    for _ in 0..DOUBLE_ROUNDS {
        for [a, b, c, d] in QUARTERS {
            step::<7, 25>(&mut state, b, a, d);
            step::<9, 23>(&mut state, c, b, a);
            step::<13, 19>(&mut state, d, c, b);
            step::<18, 14>(&mut state, a, d, c);
        }
    }
    for (word, start) in state.iter_mut().zip(start) {
        *word = _mm256_add_epi32(*word, start);
    }
    for (half, words) in state.as_chunks::<8>().0.iter().enumerate() {
        for (lane, row) in transposed(words).into_iter().enumerate() {
            let at = lane * BLOCK + half * 32;
            store(row, &mut stream[at..at + 32]);
        }
    }
}

/// `to ^= (x + y) <<< LEFT`; RIGHT is 32 - LEFT.
#[inline]
#[target_feature(enable = "avx2")]
fn step<const LEFT: i32, const RIGHT: i32>(state: &mut [__m256i; 16], to: usize, x: usize, y: usize) {
    let sum = _mm256_add_epi32(state[x], state[y]);
    let turned = _mm256_or_si256(_mm256_slli_epi32::<LEFT>(sum), _mm256_srli_epi32::<RIGHT>(sum));
    state[to] = _mm256_xor_si256(state[to], turned);
}

/// From eight words of eight lanes to eight lanes of eight words.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(words: &[__m256i; 8]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = *words;
    // Pairs, then fours of words; each half of a vector is four lanes of its own.
    let four = |a, b, c, d| {
        let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (low_2, high_2) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(low, low_2),
            _mm256_unpackhi_epi64(low, low_2),
            _mm256_unpacklo_epi64(high, high_2),
            _mm256_unpackhi_epi64(high, high_2),
        ]
    };
    let (first, second) = (four(a, b, c, d), four(e, f, g, h));
    std::array::from_fn(|lane| {
        let (first, second) = (first[lane % 4], second[lane % 4]);
        if lane < 4 {
            _mm256_permute2x128_si256::<0x20>(first, second)
        } else {
            _mm256_permute2x128_si256::<0x31>(first, second)
        }
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(vector: __m256i, out: &mut [u8]) {
    let words = [
        _mm256_extract_epi64::<0>(vector),
        _mm256_extract_epi64::<1>(vector),
        _mm256_extract_epi64::<2>(vector),
        _mm256_extract_epi64::<3>(vector),
    ];
    for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}
