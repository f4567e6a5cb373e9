use super::*;
use crate::fec::gf;
use proptest::prelude::*;

/// What `product` asks for, one byte after the other.
fn plainly(product: &Product<'_>, values: &[u8], out: &mut [u8]) {
    for row in 0..product.rows {
        for at in product.range.clone() {
            let place = &mut out[row * product.stride + at];
            let start = if product.set { 0 } else { *place };
            *place = product.inputs.iter().enumerate().fold(start, |sum, (n, input)| {
                sum ^ gf::mul(values[row * product.columns + product.column + n], input[at])
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn all_kernels_do_the_same_at_any_length_and_alignment(
        rows in 1_usize..10,
        inputs in 0_usize..20,
        spare in 0_usize..3,
        (start, len) in (0_usize..70, 0_usize..400),
        offset in 0_usize..64,
        set: bool,
        seed: u64,
    ) {
        let mut state = seed | 1;
        let mut random = |len: usize| -> Vec<u8> {
            (0..len).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            }).collect()
        };
        let (end, columns) = (start + len, inputs + 2 * spare);
        let values = random(rows * columns);
        let mut factors = Factors::default();
        factors.prepare(&values);
        let storage: Vec<Vec<u8>> = (0..inputs).map(|_| random(offset + end + spare)).collect();
        let inputs: Vec<&[u8]> = storage.iter().map(|input| &input[offset..]).collect();
        let stride = end + spare;
        let before = random(offset + rows * stride);
        let product = Product {
            factors: &factors, columns, column: spare, inputs: &inputs, rows, stride, range: start..end, set,
        };
        let mut expected = before.clone();
        plainly(&product, &values, &mut expected[offset..]);
        for kernel in Kernel::all() {
            let mut out = before.clone();
            kernel.run(product.clone(), &mut out[offset..]);
            prop_assert!(out == expected, "{kernel:?} differs");
        }
    }
}

#[test]
fn every_factor_is_right_in_every_kernel() {
    let all: Vec<u8> = (0..=255).collect();
    for factor in 0..=255 {
        let mut factors = Factors::default();
        factors.prepare(&[factor]);
        let expected: Vec<u8> = all.iter().map(|&byte| gf::mul(factor, byte)).collect();
        for kernel in Kernel::all() {
            let mut out = vec![0; 256];
            let product = Product {
                factors: &factors,
                columns: 1,
                column: 0,
                inputs: &[&all],
                rows: 1,
                stride: 256,
                range: 0..256,
                set: true,
            };
            kernel.run(product, &mut out);
            assert_eq!(out, expected, "{kernel:?}, factor {factor}");
        }
    }
}

#[test]
#[should_panic(expected = "assertion failed")]
fn an_input_that_is_too_short_is_no_undefined_behaviour() {
    let mut factors = Factors::default();
    factors.prepare(&[1]);
    let (product, mut out) = (
        Product {
            factors: &factors,
            columns: 1,
            column: 0,
            inputs: &[&[0; 15]],
            rows: 1,
            stride: 16,
            range: 0..16,
            set: true,
        },
        [0; 16],
    );
    Kernel::best().run(product, &mut out);
}

#[test]
fn the_fastest_kernel_is_the_last_of_those_that_run_here() {
    let all: Vec<_> = Kernel::all().collect();
    println!("{all:?}");
    assert_eq!(all[0], Kernel(Kind::Scalar));
    assert_eq!(Kernel::best(), *all.last().unwrap());
}
