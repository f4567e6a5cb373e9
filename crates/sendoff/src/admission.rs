//! Who is let in: openings that the application decides on before they are answered, and addresses that it doesn't
//! want to hear at all.

use crate::{Conv, KcpEndpoint, KcpListener, KcpStream, PeerKind, code, stream::ConnectionShared};
use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

impl KcpListener {
    /// The next opening, to be accepted or refused. Cancel safe; several tasks may wait, also in
    /// [`accept`](Self::accept).
    ///
    /// From the first call on, an opening is not answered before it is decided on: its peer waits, and sends what
    /// rides with its opening again. So one that is refused costs a place of the 1,024 that wait, and the data that it
    /// has brought, within the limits of all that are not accepted yet; the peer gets `ConnectionRefused` with the code,
    /// and never thinks that it was connected. Openings that came before the first call, and all of them with
    /// [`Config::prove`](crate::Config::prove) (which has to answer for the proof), are connections already: to refuse
    /// one is to reset it.
    ///
    /// Decide soon: clients give up after their connect timeout (5 s by default). What hasn't proven its address and is
    /// not accepted within 10 s is forgotten.
    ///
    /// ```
    /// use sendoff::{KcpListener, code};
    ///
    /// async fn serve(listener: KcpListener, is_welcome: fn(std::net::IpAddr) -> bool) -> std::io::Result<()> {
    ///     loop {
    ///         let incoming = listener.incoming().await?;
    ///         if !is_welcome(incoming.peer().ip()) {
    ///             incoming.refuse(code::BUSY);
    ///             continue;
    ///         }
    ///         let (stream, _peer) = incoming.accept();
    ///         tokio::spawn(async move { drop(stream) });
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Only when the endpoint was closed or its socket is dead; never for what a peer did.
    pub async fn incoming(&self) -> io::Result<Incoming> {
        self.endpoint().incoming().await
    }

    /// From now on, addresses for which `lets_in` is false can't open a connection: whatever they send is dropped before
    /// it is decrypted or looked at, is never answered, and is counted
    /// ([`dropped_filtered`](crate::EndpointStats::dropped_filtered)). Connections that there are go on.
    ///
    /// It is asked for each batch of datagrams that comes from one address, by the task that drives the socket: it must
    /// be quick, and neither block nor panic. Addresses are canonical (IPv4 is never dressed as IPv6), and can be forged
    /// until they are proven. A later call replaces it.
    ///
    /// ```
    /// # async fn example() -> std::io::Result<()> {
    /// let listener = sendoff::KcpListener::bind("127.0.0.1:0").await?;
    /// listener.filter(|peer| peer.ip().is_loopback());
    /// # Ok(()) }
    /// ```
    pub fn filter(&self, lets_in: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) {
        self.endpoint().filter(lets_in);
    }
}

impl KcpEndpoint {
    /// The next opening, to be accepted or refused: see [`KcpListener::incoming`].
    ///
    /// # Errors
    /// Only when the endpoint was closed or its socket is dead; never for what a peer did.
    pub async fn incoming(&self) -> io::Result<Incoming> {
        self.shared().admission.holds.store(true, Ordering::Relaxed);
        let connection = poll_fn(|cx| self.shared().poll_arrival(cx)).await?;
        Ok(Incoming { connection, decided: false })
    }

    /// Which addresses may open connections here: see [`KcpListener::filter`].
    pub fn filter(&self, lets_in: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) {
        self.shared().admission.set_filter(Arc::new(lets_in));
    }
}

/// A peer that wants to open a connection: see [`KcpListener::incoming`]. Dropped, it is refused with
/// [`code::BUSY`](crate::code::BUSY).
#[must_use = "dropped, it is refused"]
pub struct Incoming {
    connection: Arc<ConnectionShared>,
    decided: bool,
}

impl Incoming {
    /// Who asks. An address can be forged until [`is_address_proven`](Self::is_address_proven).
    pub fn peer(&self) -> SocketAddr {
        self.connection.peer()
    }

    /// Our address that it was sent to, where the platform tells; else the listener's.
    pub fn local_addr(&self) -> SocketAddr {
        self.connection.local_addr()
    }

    /// The conversation id.
    pub fn conv(&self) -> Conv {
        self.connection.conv()
    }

    /// What kind of peer it is: extended or stock.
    pub fn peer_kind(&self) -> PeerKind {
        self.connection.peer_kind()
    }

    /// Whether the peer has shown that it gets what is sent to its address: with a cookie, which an endpoint under
    /// pressure asks for.
    pub fn is_address_proven(&self) -> bool {
        self.connection.lock().connection.is_address_proven()
    }

    /// Lets it in. If the endpoint was closed meanwhile, or the peer has gone, the stream says so.
    pub fn accept(mut self) -> (KcpStream, SocketAddr) {
        self.decided = true;
        self.connection.admit();
        (KcpStream::new(self.connection.clone()), self.connection.peer())
    }

    /// Turns it away with a code, which the peer finds in its [`Ending`](crate::Ending). From 16 on codes are the
    /// application's; 0 is sent as [`code::BUSY`](crate::code::BUSY), and [`code::IN_USE`](crate::code::IN_USE) makes the
    /// peer try again under another name. For 10 s what it repeats is answered likewise, and opens nothing.
    ///
    /// A stock peer can't be told: what it sends is dropped for 10 s.
    pub fn refuse(mut self, code: u32) {
        self.decided = true;
        self.connection.turn_away(code);
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.decided {
            self.connection.turn_away(code::BUSY);
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt_as("Incoming", f)
    }
}

type Filter = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// What an application has said of those who come.
#[derive(Default)]
pub(crate) struct Admission {
    /// Openings wait for a decision before they are answered.
    holds: AtomicBool,
    is_filtering: AtomicBool,
    filter: RwLock<Option<Filter>>,
    filtered: AtomicU64,
    refused: AtomicU64,
}

impl Admission {
    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    fn set_filter(&self, filter: Filter) {
        *self.filter.write().unwrap_or_else(PoisonError::into_inner) = Some(filter);
        self.is_filtering.store(true, Ordering::Release);
    }

    /// Whether the filter lets that address in.
    #[inline]
    pub(crate) fn lets_in(&self, peer: SocketAddr) -> bool {
        if !self.is_filtering.load(Ordering::Acquire) {
            return true;
        }
        // Taken out, so that it may set another one.
        let filter = self.filter.read().unwrap_or_else(PoisonError::into_inner).clone();
        filter.is_none_or(|lets_in| lets_in(peer))
    }

    pub(crate) fn count_filtered(&self, datagrams: usize) {
        self.filtered.fetch_add(datagrams as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Datagrams that were filtered, and openings that were refused.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.filtered.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}
