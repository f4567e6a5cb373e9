//! Tells a number that is a lie, or has strayed, from a side that has gone elsewhere.

/// Numbers that lie no further apart are near each other.
pub(crate) const NEAR: usize = 1_024;

/// Numbers in a row, near each other and too far from the rest, after which a side is taken to have gone there.
pub(crate) const MOVED: u32 = 8;

/// Numbers that are too far off: how many in a row lie near each other, and the latest. One that isn't far off ends the
/// row: make another one then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Far {
    count: u32,
    latest: u32,
}

impl Far {
    /// Another one; whether that makes so many that what lies between must be missing from the capture.
    pub(crate) fn has_moved(&mut self, number: u32) -> bool {
        let together = (number.wrapping_sub(self.latest) as i32).unsigned_abs() as usize <= NEAR;
        *self = Self { count: if together { self.count + 1 } else { 1 }, latest: number };
        self.count >= MOVED
    }
}
