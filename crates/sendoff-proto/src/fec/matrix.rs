//! The code as interpolation.
//!
//! kcp-go's matrix is the Vandermonde matrix (row r, column c = r^c) times the inverse of its top square. So a
//! column of bytes, one of each data shard, is taken as the values of a polynomial at 0, 1, .. data − 1, and the
//! parity shards have its values at data, data + 1, … Any `data` of these values determine it, and
//! Lagrange's formula gives every other one from them: no matrix has to be inverted.

use super::{
    gf,
    kernels::{Factors, Kernel, Product},
};
use std::ops::Range;

/// Added to an exponent, it changes nothing; more than 255 logarithms together.
const NEUTRAL: u32 = 300 * gf::ORDER;

/// Factors by which the values at some points are added up, to give those at other points.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<u8>,
    /// The same in the form that the kernels take.
    factors: Factors,
    /// Scratch: the logarithm of each known point's weight.
    weights: Vec<u32>,
}

impl Matrix {
    /// The factors for all parity shards from all data shards.
    pub(crate) fn parity(data: usize, parity: usize) -> Self {
        let points: Vec<u8> = (0..data + parity).map(|point| point as u8).collect();
        let mut matrix = Self::default();
        matrix.interpolate(&points[..data], &points[data..]);
        matrix
    }

    /// Makes it the matrix that gives the values at `wanted` from those at `known`. All points differ.
    pub(crate) fn interpolate(&mut self, known: &[u8], wanted: &[u8]) {
        (self.rows, self.columns) = (wanted.len(), known.len());
        self.weigh(known);
        self.values.clear();
        for &point in wanted {
            // The logarithm of the product of all distances to the known points.
            let all: u32 = known.iter().map(|&other| gf::log(point ^ other)).sum();
            let factors = known
                .iter()
                .zip(&self.weights)
                .map(|(&other, &weight)| gf::exp(all + NEUTRAL - gf::log(point ^ other) - weight));
            self.values.extend(factors);
        }
        self.factors.prepare(&self.values);
    }

    /// The logarithm of the product of each known point's distances to the others.
    fn weigh(&mut self, known: &[u8]) {
        self.weights.clear();
        self.weights.extend(known.iter().enumerate().map(|(n, &point)| {
            let others = known[..n].iter().chain(&known[n + 1..]);
            others.map(|&other| gf::log(point ^ other)).sum::<u32>()
        }));
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    #[cfg(test)]
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// Fills the target with its rows' products with `inputs`, which belong to the columns from `column` on.
    pub(crate) fn multiply(&self, kernel: Kernel, column: usize, inputs: &[&[u8]], target: Target<'_>) {
        assert!(target.rows <= self.rows && column + inputs.len() <= self.columns);
        let Target { out, stride, rows, range, set } = target;
        let product = Product {
            factors: &self.factors,
            columns: self.columns,
            column,
            inputs,
            rows,
            stride,
            range,
            set,
        };
        kernel.run(product, out);
    }
}

/// Rows of bytes, one `stride` behind the other, that a [`Matrix`] is to make.
pub(crate) struct Target<'a> {
    pub(crate) out: &'a mut [u8],
    pub(crate) stride: usize,
    /// How many: the first ones of the matrix.
    pub(crate) rows: usize,
    /// Which bytes of each row, and of each input.
    pub(crate) range: Range<usize>,
    /// Whether what was there is replaced, not added to.
    pub(crate) set: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parity_of_10_and_3_is_the_one_that_is_known() {
        // From kcp-go's codec (klauspost/reedsolomon 1.12.0).
        let matrix = Matrix::parity(10, 3);
        assert!((0..3).all(|row| matrix.row(row).len() == 10));
        for row in 0..3 {
            // What is equal in all shards is so in the parity: the danger of a wrong ratio.
            assert_eq!(matrix.row(row).iter().fold(0, |sum, factor| sum ^ factor), 1);
        }
    }

    #[test]
    fn one_data_shard_is_repeated_by_its_parity() {
        let matrix = Matrix::parity(1, 254);
        assert!((0..254).all(|row| matrix.row(row) == [1]));
    }

    #[test]
    fn what_is_interpolated_back_is_what_was_there() {
        let (data, values) = (7, [3, 1, 4, 1, 5, 9, 2]);
        let parity = Matrix::parity(data, 4);
        let dot =
            |row: &[u8], values: &[u8]| row.iter().zip(values).fold(0, |sum, (&a, &b)| sum ^ gf::mul(a, b));
        let p: Vec<u8> = (0..4).map(|row| dot(parity.row(row), &values)).collect();
        let mut back = Matrix::default();
        back.interpolate(&[10, 0, 9, 3, 4, 8, 6], &[1, 2, 5]);
        let known = [p[3], values[0], p[2], values[3], values[4], p[1], values[6]];
        for (row, at) in [1, 2, 5].into_iter().enumerate() {
            assert_eq!(dot(back.row(row), &known), values[at]);
        }
    }
}
