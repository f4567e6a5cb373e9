//! No congestion control (`nc = 1`): only the windows of both sides bound what is in flight.

use super::Controller;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlimited;

impl Controller for Unlimited {
    fn on_delivered(&mut self, _remote_window: u32) {}

    fn on_fast_retransmit(&mut self, _in_flight: u32, _resend: u32) {}

    fn on_timeout(&mut self) {}

    #[inline]
    fn window(&self) -> u32 {
        u32::MAX
    }

    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }
}
