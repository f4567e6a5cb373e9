//! `memory://`: streams within a process, for tests of applications.

mod pipe;
mod sides;

use super::{Acceptor, AnyListener, AnyStream, BoxFuture, Options, Peer, Transport};
use crate::{Address, code, lock::lock, settings, stream::Wakers};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::poll_fn,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// Connections that wait to be accepted at most; further ones are refused.
const ACCEPT_QUEUE: usize = 1_024;

/// Bytes that are on the way in one direction at most.
const BUFFER_BYTES: usize = 64 * 1024;

/// Streams of bytes within a process, for tests of applications: nothing is lost, and no socket is needed.
///
/// Addresses are `memory://NAME`. The names belong to this value: clones share them, another `MemoryTransport` knows
/// nothing of them. Both sides are told everything: codes and reasons when the other finishes, and the code when it
/// aborts. Up to 64 KiB are on the way in each direction; then a write waits until something is read. Works in tokio's
/// paused time, where nothing takes any.
#[derive(Clone, Default)]
pub struct MemoryTransport {
    registry: Arc<Registry>,
}

#[derive(Default)]
struct Registry {
    listeners: Mutex<HashMap<String, Arc<Listening>>>,
    clients: AtomicU64,
}

/// A name that somebody listens at.
struct Listening {
    name: String,
    lobby: Mutex<Lobby>,
}

#[derive(Default)]
struct Lobby {
    arrivals: VecDeque<(AnyStream, Peer)>,
    acceptors: Wakers,
    closed: bool,
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport").finish_non_exhaustive()
    }
}

impl MemoryTransport {
    /// One without any listener.
    pub fn new() -> Self {
        Self::default()
    }

    fn open(&self, address: &Address) -> io::Result<AnyStream> {
        let name = name_of(address, true)?;
        let nobody = || io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody listens at {name}"));
        let listening = lock(&self.registry.listeners).get(&name).cloned().ok_or_else(nobody)?;
        let number = self.registry.clients.fetch_add(1, Ordering::Relaxed) + 1;
        let (here, there) =
            (Peer::named("memory", format!("{name}#{number}")), Peer::named("memory", &*listening.name));
        let (client, server) = sides::pair(here.clone(), there, BUFFER_BYTES);
        let acceptors = {
            let mut lobby = lock(&listening.lobby);
            if lobby.closed {
                return Err(nobody());
            }
            if lobby.arrivals.len() >= ACCEPT_QUEUE {
                let text = format!("{name}: {ACCEPT_QUEUE} connections wait to be accepted");
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
            }
            lobby.arrivals.push_back((server, here));
            lobby.acceptors.take()
        };
        acceptors.wake();
        Ok(client)
    }

    fn listen(&self, address: &Address) -> io::Result<MemoryAcceptor> {
        let name = name_of(address, false)?;
        let mut listeners = lock(&self.registry.listeners);
        if listeners.contains_key(&name) {
            let text = format!("cannot listen at {name}: somebody does already");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        let listening = Arc::new(Listening { name: name.clone(), lobby: Mutex::default() });
        listeners.insert(name, listening.clone());
        Ok(MemoryAcceptor { listening, registry: self.registry.clone() })
    }
}

/// What stands behind the `://`. There are no settings.
fn name_of(address: &Address, connect: bool) -> io::Result<String> {
    settings::of_address(address, connect, &Options::new())?;
    Ok(address.place().to_string())
}

impl Transport for MemoryTransport {
    fn scheme(&self) -> &'static str {
        "memory"
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyStream>> {
        Box::pin(async move { self.open(address) })
    }

    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyListener>> {
        Box::pin(async move { Ok(AnyListener::new(self.listen(address)?)) })
    }
}

struct MemoryAcceptor {
    listening: Arc<Listening>,
    registry: Arc<Registry>,
}

impl MemoryAcceptor {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(AnyStream, Peer)>> {
        let mut lobby = lock(&self.listening.lobby);
        if let Some(arrival) = lobby.arrivals.pop_front() {
            return Poll::Ready(Ok(arrival));
        }
        if lobby.closed {
            return Poll::Ready(Err(super::listener::closed_here()));
        }
        let crowd = lobby.acceptors.register(cx.waker());
        drop(lobby);
        crowd.wake();
        Poll::Pending
    }
}

impl Acceptor for MemoryAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyStream, Peer)>> {
        Box::pin(poll_fn(|cx| self.poll_accept(cx)))
    }

    fn local(&self) -> Peer {
        Peer::named("memory", &*self.listening.name)
    }

    fn close(&self) {
        let (arrivals, acceptors) = {
            let mut lobby = lock(&self.listening.lobby);
            if lobby.closed {
                // Somebody else may listen at the name by now.
                return;
            }
            lobby.closed = true;
            (std::mem::take(&mut lobby.arrivals), lobby.acceptors.take())
        };
        lock(&self.registry.listeners).remove(&self.listening.name);
        acceptors.wake();
        // As a system does with connections that nobody has accepted.
        for (mut stream, _) in arrivals {
            stream.abort(code::GOING_AWAY);
        }
    }
}

impl Drop for MemoryAcceptor {
    fn drop(&mut self) {
        self.close();
    }
}
