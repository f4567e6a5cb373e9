//! One interface over every transport: the address chooses.
//!
//! ```text
//! AnyListener::bind(address) ─┐                        ┌─ TcpTransport
//! AnyStream::connect(address)─┴─ Transports ── scheme ─┼─ UdpTransport      each gives a ReadSide, a WriteSide
//!                                                      ├─ KcpTransport      and a Link for every connection
//!                                                      └─ one of your own
//! ```

mod deadline;
mod departure;
mod dial;
mod ends;
mod kcp;
mod link;
mod listener;
mod memory;
mod options;
mod peer;
mod stats;
mod stream;
mod tcp;
mod udp;

pub use kcp::{KcpLink, KcpTransport};
pub use link::{Link, ReadSide, WriteSide};
pub use listener::{Acceptor, AnyListener};
pub use memory::MemoryTransport;
pub use options::{Options, TcpOptions, UdpOptions};
pub use peer::Peer;
pub use stats::{StreamStats, TransportStats};
pub use stream::{AnyReadHalf, AnyReuniteError, AnyStream, AnyWriteHalf};
pub use tcp::{TcpStats, TcpTransport};
pub use udp::{UdpStats, UdpTransport};

use crate::{Address, AddressError, IntoAddress};
use std::{collections::BTreeMap, fmt, future::Future, io, pin::Pin, sync::Arc};

/// A future in a box: what a dyn-safe trait can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to carry streams or messages: TCP, UDP, KCP, or one of your own (TLS, QUIC, a Unix socket).
///
/// Register it with [`Transports::with`]; then addresses with its scheme lead to it.
pub trait Transport: Send + Sync + 'static {
    /// The scheme of its addresses, in lower case.
    fn scheme(&self) -> &'static str;

    /// Opens a connection. Dropping the future opens nothing.
    ///
    /// # Errors
    /// `InvalidInput` for an address or a setting that it doesn't take; else why nobody was reached.
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyStream>>;

    /// Listens.
    ///
    /// # Errors
    /// `InvalidInput` for an address or a setting that it doesn't take; else why the address can't be had.
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyListener>>;
}

/// The transports that addresses lead to, by scheme.
///
/// ```
/// # use sendoff::{AnyStream, MemoryTransport, Options, Transports};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let transports = Transports::new(Options::new()).with(MemoryTransport::new());
/// let listener = transports.bind("memory://here").await?;
/// let (client, server) = tokio::join!(transports.connect("memory://here"), listener.accept());
/// # let _: (AnyStream, _) = (client?, server?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Transports {
    by_scheme: BTreeMap<&'static str, Arc<dyn Transport>>,
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_scheme.keys()).finish()
    }
}

impl Default for Transports {
    fn default() -> Self {
        Self::new(Options::new())
    }
}

impl Transports {
    /// `tcp://`, `udp://` and `kcp://`, with these options.
    pub fn new(options: Options) -> Self {
        Self { by_scheme: BTreeMap::new() }
            .with(KcpTransport::new(options.kcp))
            .with(TcpTransport::new(options.tcp))
            .with(UdpTransport::new(options.udp))
    }

    /// One more; it takes the place of another with the same scheme.
    #[must_use]
    pub fn with(mut self, transport: impl Transport) -> Self {
        self.by_scheme.insert(transport.scheme(), Arc::new(transport));
        self
    }

    /// Connects by the transport that the address names.
    ///
    /// # Errors
    /// `InvalidInput` names the part of the address that is wrong; else as [`Transport::connect`].
    pub async fn connect(&self, address: impl IntoAddress) -> io::Result<AnyStream> {
        let address = address.into_address()?;
        self.of(&address)?.connect(&address).await
    }

    /// Listens by the transport that the address names.
    ///
    /// # Errors
    /// `InvalidInput` names the part of the address that is wrong; else as [`Transport::bind`].
    pub async fn bind(&self, address: impl IntoAddress) -> io::Result<AnyListener> {
        let address = address.into_address()?;
        self.of(&address)?.bind(&address).await
    }

    fn of(&self, address: &Address) -> Result<&Arc<dyn Transport>, AddressError> {
        self.by_scheme.get(address.scheme()).ok_or_else(|| {
            let known: Vec<_> = self.by_scheme.keys().map(|scheme| format!("{scheme}://")).collect();
            let problem = format!("unknown scheme {}:// (there are {})", address.scheme(), known.join(", "));
            AddressError::new(address, problem)
        })
    }
}
