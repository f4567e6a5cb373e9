//! Sums of products over whole shards, by the widest instructions that the processor has.
//!
//! Several rows are made at once, so that each byte of input is loaded once for all of them. The loop is written
//! once, in [`vector`]; each instruction set gives it a register and a multiplication.

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::{fmt, ops::Range};

/// Factors as the kernels want them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Factors {
    bytes: Vec<u8>,
    /// Each as a matrix of bits, for GFNI.
    #[cfg(target_arch = "x86_64")]
    affine: Vec<u64>,
}

impl Factors {
    pub(crate) fn prepare(&mut self, values: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(values);
        #[cfg(target_arch = "x86_64")]
        {
            self.affine.clear();
            self.affine.extend(values.iter().map(|&value| super::gf::AFFINE[usize::from(value)]));
        }
    }
}

/// What is to be done: `range` of row r of the output (which begins at r × `stride`) is, or is raised by, the sum of
/// `range` of each input times its factor, which stands in row r, column `column` + n, of a table of `columns`.
#[derive(Clone, Debug)]
pub(crate) struct Product<'a> {
    pub(crate) factors: &'a Factors,
    pub(crate) columns: usize,
    pub(crate) column: usize,
    pub(crate) inputs: &'a [&'a [u8]],
    pub(crate) rows: usize,
    pub(crate) stride: usize,
    pub(crate) range: Range<usize>,
    /// Whether the output is replaced, not raised.
    pub(crate) set: bool,
}

impl Product<'_> {
    /// Panics if anything reaches out of bounds. The proofs of the kernels stand on this.
    fn check(&self, out: &[u8]) {
        assert!(self.inputs.iter().all(|input| self.range.end <= input.len()));
        if let Some(last) = self.rows.checked_sub(1) {
            assert!(self.range.end <= self.stride || last == 0);
            assert!(last * self.stride + self.range.end <= out.len());
            let factors = last * self.columns + self.column + self.inputs.len();
            assert!(self.column + self.inputs.len() <= self.columns && factors <= self.factors.bytes.len());
            #[cfg(target_arch = "x86_64")]
            assert_eq!(self.factors.affine.len(), self.factors.bytes.len());
        }
    }
}

/// An implementation that this processor can run: only [`best`](Self::best) and [`all`](Self::all) make one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Ssse3,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    GfniAvx2,
    #[cfg(target_arch = "x86_64")]
    GfniAvx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// The fastest one.
    pub(crate) fn best() -> Self {
        Self::all().last().unwrap_or(Self(Kind::Scalar))
    }

    /// All that this processor can run, from the slowest to the fastest.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        const KINDS: &[Kind] = &[
            Kind::Scalar,
            #[cfg(target_arch = "x86_64")]
            Kind::Ssse3,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2,
            #[cfg(target_arch = "x86_64")]
            Kind::GfniAvx2,
            #[cfg(target_arch = "x86_64")]
            Kind::GfniAvx512,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon,
        ];
        KINDS.iter().copied().filter(|kind| kind.runs_here()).map(Self)
    }

    /// Does it. Panics if anything reaches out of bounds.
    #[inline]
    pub(crate) fn run(self, product: Product<'_>, out: &mut [u8]) {
        product.check(out);
        if product.rows == 0 || product.range.is_empty() {
            return;
        }
        match self.0 {
            Kind::Scalar => scalar::run(&product, out),
            #[cfg(target_arch = "x86_64")]
            kind => x86::run(kind, &product, out),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => neon::run(&product, out),
        }
    }
}

impl Kind {
    /// Asks the processor; the standard library remembers the answer.
    fn runs_here(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => is_x86_feature_detected!("ssse3"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("gfni"),
            #[cfg(target_arch = "x86_64")]
            Self::GfniAvx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("gfni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
