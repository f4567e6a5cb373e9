//! The moves of a peer, for those who want to know of them.

use super::{ConnectionShared, wait};
use std::{fmt, net::SocketAddr, sync::Arc};

/// Tells when the peer of a stream goes to another address. Outlives the stream.
///
/// ```
/// # async fn log(stream: &sendoff::KcpStream) {
/// let mut moves = stream.moves();
/// while let Some((from, to)) = moves.next().await {
///     println!("{from} is at {to} now");
/// }
/// # }
/// ```
pub struct Moves {
    connection: Arc<ConnectionShared>,
    last: SocketAddr,
}

impl Moves {
    pub(crate) fn of(connection: &Arc<ConnectionShared>) -> Self {
        Self { connection: connection.clone(), last: connection.peer() }
    }

    /// Waits for the next move: from where, and to where; `None` once the connection has ended. Of several since the
    /// last call only the result is told. Cancel safe.
    pub async fn next(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        let to = wait(|cx| self.connection.poll_moved(cx, self.last)).await?;
        Some((std::mem::replace(&mut self.last, to), to))
    }
}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moves").field("last", &self.last).finish_non_exhaustive()
    }
}
