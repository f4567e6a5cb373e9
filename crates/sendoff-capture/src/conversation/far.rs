//! Tells a number that is a lie, or has strayed, from a side that has gone elsewhere.

/// Numbers that lie no further apart are near each other.
pub(crate) const NEAR: usize = 1_024;

/// Datagrams in a row with numbers near each other and too far from the rest, after which a side is taken to have gone
/// there.
pub(crate) const MOVED: u32 = 8;

/// Numbers that are too far off: how many datagrams in a row had further ones near each other, and the furthest. One
/// that isn't far off ends the row: make another one then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Far {
    count: u32,
    furthest: u32,
    /// Whether this datagram has been counted.
    counted: bool,
}

impl Far {
    /// What comes now is in another datagram.
    pub(crate) fn new_datagram(&mut self) {
        self.counted = false;
    }

    /// Another one; whether that makes so many that what lies between must be missing from the capture.
    pub(crate) fn has_moved(&mut self, number: u32) -> bool {
        let ahead = number.wrapping_sub(self.furthest) as i32;
        if self.count == 0 || ahead.unsigned_abs() as usize > NEAR {
            *self = Self { count: 1, furthest: number, counted: true };
        } else if ahead > 0 {
            // The same again says nothing: who has gone elsewhere goes on there.
            self.count += u32::from(!self.counted);
            (self.furthest, self.counted) = (number, true);
        }
        self.count >= MOVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(far: &mut Far, numbers: impl IntoIterator<Item = u32>) -> bool {
        far.new_datagram();
        numbers.into_iter().fold(false, |moved, number| moved | far.has_moved(number))
    }

    #[test]
    fn eight_datagrams_in_a_row_with_further_numbers_make_it() {
        let mut far = Far::default();
        let told: Vec<bool> = (0..MOVED).map(|n| datagram(&mut far, [7_000 + n])).collect();
        assert_eq!(told, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn one_datagram_or_one_number_again_and_again_make_nothing() {
        let mut far = Far::default();
        assert!(!datagram(&mut far, 7_000..7_100));
        for _ in 0..100 {
            assert!(!datagram(&mut far, [7_099, 7_050]));
        }
        for n in 0..100 {
            assert!(!datagram(&mut far, [n * 2 * NEAR as u32]), "they aren't near each other");
        }
    }
}
