//! Lines: where one ends, and what can't be one.

use super::FrameError;
use std::io::BufRead as _;

/// A line at the front of what has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Bytes of the line without its end.
    pub(super) len: usize,
    /// Bytes with it.
    pub(super) whole: usize,
}

/// Finds the first line break, from `scanned` on, before which there is none; `None` when there is none yet.
pub(super) fn find(from: &[u8], scanned: usize, limit: usize) -> Result<Option<Line>, FrameError> {
    // The longest line, with a carriage return and a line feed.
    let reach = from.len().min(limit.saturating_add(2));
    let Some(at) = position(&from[scanned.min(reach)..reach]).map(|at| scanned + at) else {
        return if reach < from.len() || reach > limit.saturating_add(1) {
            Err(FrameError::LineTooLong { limit })
        } else {
            Ok(None)
        };
    };
    let len = at - usize::from(at > 0 && from[at - 1] == b'\r');
    match len > limit {
        true => Err(FrameError::LineTooLong { limit }),
        false => Ok(Some(Line { len, whole: at + 1 })),
    }
}

/// The first line feed. The standard library searches quickly, several bytes at a time.
fn position(from: &[u8]) -> Option<usize> {
    let mut rest = from;
    let passed = rest.skip_until(b'\n').ok()?;
    let at = passed.checked_sub(1)?;
    (from[at] == b'\n').then_some(at)
}

/// Whether a message arrives as it is sent.
pub(super) fn check(message: &[u8]) -> Result<(), FrameError> {
    let at = position(message).or_else(|| message.ends_with(b"\r").then(|| message.len() - 1));
    at.map_or(Ok(()), |at| Err(FrameError::LineBreak { at }))
}
