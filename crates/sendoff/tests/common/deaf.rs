//! A socket without a network.

use sendoff::DatagramSocket;
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

/// Takes all that is sent, and hears nothing. It says what its address is.
pub struct Deaf<F>(pub F);

impl<F: Fn() -> SocketAddr + Send + Sync + 'static> DatagramSocket for Deaf<F> {
    fn local_addr(&self) -> SocketAddr {
        (self.0)()
    }

    fn try_send(&self, _: SocketAddr, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn poll_send_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        Poll::Pending
    }
}
