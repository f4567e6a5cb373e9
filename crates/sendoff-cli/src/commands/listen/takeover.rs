//! `--takeover PATH`: a new process takes the port of an old one, and no conversation notices.
//!
//! Whoever listens has a Unix socket at PATH. A new process asks there, gets the UDP socket, and says that it is ready;
//! from then on the same stream carries what isn't the old one's. The old one goes away as after SIGTERM; the new
//! one takes PATH for the next.

use anyhow::{Context, anyhow, bail};
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
    process::getuid,
};
use sendoff::{Address, AnyListener, Config, KcpEndpoint, KcpListener};
use std::{
    cell::Cell,
    fs,
    future::pending,
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    net::UdpSocket,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::UnixListener,
    time::{sleep, timeout},
};

/// What goes along with the socket: the version of what follows.
const VERSION: u8 = 1;

/// The new process is ready.
const READY: u8 = b'+';

/// How long it rests when the system has no file descriptor for another.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long each of the two may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a new process gets from an old one: the port, and what that one passes on.
struct Inherited {
    socket: UdpSocket,
    stream: UnixStream,
}

/// Listens in the place of the process that has its socket at `path`; `None` if there is none.
///
/// # Errors
/// There is one, but it doesn't hand its port over, or has another port.
pub(super) fn listen(path: &Path, address: &Address, config: Config) -> anyhow::Result<Option<AnyListener>> {
    let Some(inherited) = ask(path)? else { return Ok(None) };
    inherited.check_port(address)?;
    let mut ready = inherited.stream.try_clone()?;
    let listener = KcpListener::take_over(inherited.socket, inherited.stream, config)?;
    ready.write_all(&[READY]).context("the process that was to be taken over has gone")?;
    Ok(Some(listener.into()))
}

fn ask(path: &Path) -> anyhow::Result<Option<Inherited>> {
    let named = || format!("cannot take over by {}", path.display());
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(named),
    };
    stream.set_read_timeout(Some(PATIENCE)).with_context(named)?;
    let socket = receive_socket(&stream).with_context(named)?;
    stream.set_read_timeout(None).with_context(named)?;
    Ok(Some(Inherited { socket: socket.into(), stream }))
}

fn receive_socket(stream: &UnixStream) -> anyhow::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut byte)];
        match recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received.map_err(io::Error::from)?,
        }
    };
    let mut sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    match (received.bytes, byte, sockets.next().and_then(|mut sockets| sockets.next())) {
        (1, [VERSION], Some(socket)) => Ok(socket),
        (0, ..) => bail!("the process there hands nothing over"),
        _ => bail!("the process there is of another version"),
    }
}

impl Inherited {
    fn check_port(&self, address: &Address) -> anyhow::Result<()> {
        let asked = address.socket().map_or(0, |(_, port)| port);
        let port = self.socket.local_addr()?.port();
        match asked == 0 || asked == port {
            true => Ok(()),
            false => Err(anyhow!("the process that is to be taken over has port {port}, not {asked}")),
        }
    }
}

/// Where a successor asks. The file goes with it, unless a successor has it.
pub(super) struct Post {
    listener: UnixListener,
    path: PathBuf,
    /// A successor has the path.
    left: Cell<bool>,
}

impl Post {
    /// Takes the path; whoever had it has ended, or is being taken over.
    ///
    /// # Errors
    /// When it can't be had.
    pub(super) fn bind(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("cannot listen at {}", path.display());
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(named),
            _ => {}
        }
        let listener = UnixListener::bind(path).with_context(named)?;
        // Who comes is looked at besides.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(named)?;
        Ok(Self { listener, path: path.to_owned(), left: Cell::new(false) })
    }

    /// Returns once another process has the port: what is new goes there. Whoever asks and doesn't take it is no matter.
    pub(super) async fn handed_over(post: Option<&Self>, endpoint: Option<&KcpEndpoint>) {
        let (Some(post), Some(endpoint)) = (post, endpoint) else { return pending().await };
        loop {
            let Ok((stream, _)) = post.listener.accept().await else {
                sleep(EXHAUSTED).await;
                continue;
            };
            // From now on it may take the path.
            post.left.set(true);
            let given = async {
                let stream = timeout(PATIENCE, give(stream, endpoint)).await??;
                endpoint.hand_over(stream).await?;
                anyhow::Ok(())
            };
            match given.await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the port wasn't handed over"),
            }
            post.left.set(false);
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if !self.left.get() {
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives the socket to who asks, and waits until that one is ready.
async fn give(mut stream: tokio::net::UnixStream, endpoint: &KcpEndpoint) -> anyhow::Result<UnixStream> {
    let (own, theirs) = (getuid().as_raw(), stream.peer_cred()?.uid());
    if theirs != own && theirs != 0 {
        bail!("user {theirs} asks for the port of user {own}");
    }
    let socket = endpoint.share_socket()?;
    stream.async_io(Interest::WRITABLE, || send_socket(&stream, &socket)).await?;
    if stream.read_u8().await? != READY {
        bail!("the answer is no answer");
    }
    Ok(stream.into_std()?)
}

fn send_socket(stream: &tokio::net::UnixStream, socket: &UdpSocket) -> io::Result<()> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(stream, &[IoSlice::new(&[VERSION])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
