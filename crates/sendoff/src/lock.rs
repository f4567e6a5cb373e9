//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also where somebody has panicked who held it: a waker, a tap or a filter of the application. What these locks
/// guard is whole after every statement that can panic; at worst a datagram is lost.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
