//! GF(2⁸) with the polynomial 0x11d: its tables, made by the compiler.

/// x⁸ + x⁴ + x³ + x² + 1.
const POLYNOMIAL: u16 = 0x11d;

/// Order of the multiplicative group; exponents count modulo this.
pub(crate) const ORDER: u32 = 255;

/// Powers of 2, twice in a row, so that a sum of two logarithms needs no reduction.
static EXP: [u8; 512] = exp_table();
static LOG: [u8; 256] = log_table();

/// For each factor: its products with 0..16, then those with 0, 16, .. 240. A product is one of each, added.
pub(crate) static NIBBLES: [[u8; 32]; 256] = nibble_table();

/// For each factor: multiplication by it as a matrix of bits, in the form that `GF2P8AFFINEQB` takes.
#[cfg(target_arch = "x86_64")]
pub(crate) static AFFINE: [u64; 256] = affine_table();

/// The product.
#[cfg(test)]
pub(crate) fn mul(a: u8, b: u8) -> u8 {
    match (a, b) {
        (0, _) | (_, 0) => 0,
        _ => EXP[usize::from(LOG[usize::from(a)]) + usize::from(LOG[usize::from(b)])],
    }
}

/// The exponent of a number that isn't 0.
#[inline]
pub(crate) fn log(a: u8) -> u32 {
    debug_assert_ne!(a, 0);
    u32::from(LOG[usize::from(a)])
}

/// 2 to that power.
#[inline]
pub(crate) fn exp(power: u32) -> u8 {
    EXP[(power % ORDER) as usize]
}

/// The product, without tables.
const fn slow_mul(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a as u16, b, 0);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= POLYNOMIAL;
        }
        b >>= 1;
    }
    product as u8
}

const fn exp_table() -> [u8; 512] {
    let mut table = [0; 512];
    let (mut i, mut power) = (0, 1);
    while i < 512 {
        table[i] = power;
        power = slow_mul(power, 2);
        i += 1;
    }
    table
}

const fn log_table() -> [u8; 256] {
    let (mut table, exp) = ([0; 256], exp_table());
    let mut i = 0;
    while i < 255 {
        table[exp[i] as usize] = i as u8;
        i += 1;
    }
    table
}

const fn nibble_table() -> [[u8; 32]; 256] {
    let mut table = [[0; 32]; 256];
    let mut factor = 0;
    while factor < 256 {
        let mut n = 0;
        while n < 16 {
            table[factor][n] = slow_mul(factor as u8, n as u8);
            table[factor][16 + n] = slow_mul(factor as u8, (n << 4) as u8);
            n += 1;
        }
        factor += 1;
    }
    table
}

#[cfg(target_arch = "x86_64")]
const fn affine_table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut factor = 0;
    while factor < 256 {
        let mut column = 0;
        while column < 8 {
            let product = slow_mul(factor as u8, 1 << column);
            let mut row = 0;
            while row < 8 {
                // The instruction takes the row of result bit `row` from byte 7 - row.
                if product >> row & 1 == 1 {
                    table[factor] |= 1 << ((7 - row) * 8 + column);
                }
                row += 1;
            }
            column += 1;
        }
        factor += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_agree_with_plain_multiplication() {
        for a in 0..=255 {
            for b in 0..=255 {
                let product = slow_mul(a, b);
                assert_eq!(mul(a, b), product, "{a} × {b}");
                let nibbles = &NIBBLES[usize::from(a)];
                assert_eq!(nibbles[usize::from(b & 15)] ^ nibbles[16 + usize::from(b >> 4)], product);
            }
        }
        assert_eq!(mul(0x80, 2), 0x1d);
    }

    #[test]
    fn every_number_but_0_is_a_power_of_2() {
        for a in 1..=255 {
            assert_eq!(exp(log(a)), a);
            assert_eq!(mul(a, exp(ORDER - log(a))), 1, "{a} times its inverse");
        }
        assert_eq!(exp(ORDER), 1);
    }
}
