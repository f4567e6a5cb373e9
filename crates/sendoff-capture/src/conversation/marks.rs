//! What is remarkable about a segment.

use std::{fmt, ops::BitOr};

/// A set of remarks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Marks(u16);

impl Marks {
    /// Data that wasn't seen before.
    pub const NEW: Marks = Marks(1);
    /// New data, after later data: what went first was lost before the capture, or overtaken.
    pub const LATE: Marks = Marks(1 << 1);
    /// Sent again by its sender.
    pub const RETRANSMISSION: Marks = Marks(1 << 2);
    /// A retransmission after later data was acknowledged, and soon: it didn't wait for its timeout. Judged, not known.
    pub const FAST: Marks = Marks(1 << 3);
    /// A copy, made by the network or the capture: the same ts.
    pub const DUPLICATE: Marks = Marks(1 << 4);
    /// Data that the receiver had covered before, as the capture shows.
    pub const NEEDLESS: Marks = Marks(1 << 5);
    /// A number too far off to be watched.
    pub const BEYOND: Marks = Marks(1 << 6);
    /// It uses the last room that the other side has told.
    pub const FILLS_WINDOW: Marks = Marks(1 << 7);
    /// Its sender has room no more.
    pub const CLOSES_WINDOW: Marks = Marks(1 << 8);
    /// Its sender has room again.
    pub const OPENS_WINDOW: Marks = Marks(1 << 9);
    /// It was lost, and came back by forward error correction.
    pub const RECOVERED: Marks = Marks(1 << 10);
    /// Its data begins as an extension block does, but it is none that counts.
    pub const BROKEN_BLOCK: Marks = Marks(1 << 11);

    /// It came back by forward error correction, when its data had been seen or acknowledged before. What its sender did
    /// is told where that was seen.
    pub const KNOWN: Marks = Marks(1 << 12);

    /// Each with its word, in the order in which they are told. NEW goes without saying.
    const WORDS: [(Marks, &'static str); 12] = [
        (Self::RECOVERED, "recovered"),
        (Self::KNOWN, "known already"),
        (Self::LATE, "late"),
        (Self::RETRANSMISSION, "retransmission"),
        (Self::FAST, "fast"),
        (Self::DUPLICATE, "duplicate"),
        (Self::NEEDLESS, "needless: acknowledged before"),
        (Self::BEYOND, "number too far off to be followed"),
        (Self::FILLS_WINDOW, "fills the window"),
        (Self::CLOSES_WINDOW, "closes the window"),
        (Self::OPENS_WINDOW, "opens the window"),
        (Self::BROKEN_BLOCK, "no valid extension block"),
    ];

    /// Whether one of `marks` is set.
    pub fn has(self, marks: Marks) -> bool {
        self.0 & marks.0 != 0
    }

    /// As a number: a bit for each.
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    /// Each bit with its word. NEW has none.
    pub(crate) fn table() -> impl Iterator<Item = (u16, &'static str)> {
        Self::WORDS.into_iter().map(|(mark, word)| (mark.0, word))
    }

    /// Adds some.
    pub(crate) fn set(&mut self, marks: Marks) {
        self.0 |= marks.0;
    }

    /// Takes some away.
    pub(crate) fn clear(&mut self, marks: Marks) {
        self.0 &= !marks.0;
    }

    /// The words for all that are set.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().filter(move |(mark, _)| self.has(*mark)).map(|(_, word)| word)
    }

    /// Whether there is anything to tell.
    pub fn is_remarkable(self) -> bool {
        self.0 & !Self::NEW.0 != 0
    }
}

impl BitOr for Marks {
    type Output = Marks;

    fn bitor(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let new = self.has(Self::NEW).then_some("new");
        f.debug_set().entries(new.into_iter().chain(self.words())).finish()
    }
}
