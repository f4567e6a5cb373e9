//! Those who wait for one thing.

use std::task::Waker;

/// Waiting tasks at most. When more come, all are woken: those who still wait register again, those
/// whose futures were dropped are forgotten.
const MAX_WAITING: usize = 64;

/// A waiting task is in it once; the set is emptied when it is woken, so a future that was dropped
/// costs one needless wake at most.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Waiting);

#[derive(Debug, Default)]
enum Waiting {
    #[default]
    None,
    /// By far the most common case, without memory of its own.
    One(Waker),
    Many(Vec<Waker>),
}

impl Wakers {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0, Waiting::None)
    }

    /// Enters a task. What comes back is to be woken once no lock is held: mostly nobody.
    #[must_use]
    pub(crate) fn register(&mut self, waker: &Waker) -> Self {
        let mut crowd = Self::default();
        match &mut self.0 {
            Waiting::None => self.0 = Waiting::One(waker.clone()),
            Waiting::One(one) if one.will_wake(waker) => {}
            Waiting::One(one) => self.0 = Waiting::Many(vec![one.clone(), waker.clone()]),
            Waiting::Many(many) => {
                if !many.iter().any(|w| w.will_wake(waker)) {
                    if many.len() >= MAX_WAITING {
                        crowd.0 = Waiting::Many(std::mem::take(many));
                    }
                    many.push(waker.clone());
                }
            }
        }
        crowd
    }

    /// Takes them out, to be woken once no lock is held.
    #[must_use]
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(crate) fn wake(self) {
        match self.0 {
            Waiting::None => {}
            Waiting::One(waker) => waker.wake(),
            Waiting::Many(many) => many.into_iter().for_each(Waker::wake),
        }
    }
}
