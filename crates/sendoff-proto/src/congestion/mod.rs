//! Congestion control: how many segments may be in flight, beside what the windows allow.

mod classic;
mod unlimited;

pub(crate) use classic::Classic;
pub(crate) use unlimited::Unlimited;

use std::fmt::Debug;

/// What the connection has to know and say to keep a congestion window.
///
/// Windows are in segments. All methods are called in the order of events; none may block or fail.
pub(crate) trait Controller: Debug + Send + Sync {
    /// `una` has moved: something was delivered. `remote_window` is what the peer has room for.
    fn on_delivered(&mut self, remote_window: u32);
    /// Segments were sent again because later ones had been acknowledged.
    fn on_fast_retransmit(&mut self, in_flight: u32, resend: u32);
    /// A retransmission timer ran out.
    fn on_timeout(&mut self);
    /// Segments that may be in flight.
    fn window(&self) -> u32;
    /// A copy, so that a whole connection can be cloned.
    fn boxed_clone(&self) -> Box<dyn Controller>;
}

impl Clone for Box<dyn Controller> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}
