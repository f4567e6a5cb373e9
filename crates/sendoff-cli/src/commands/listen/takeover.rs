//! `--takeover PATH`: a new process takes the port of an old one, and no conversation notices.
//!
//! Whoever listens has a Unix socket at PATH, where the next one asks:
//!
//! | | the old one | the new one |
//! |---|---|---|
//! | 1 | | connects to PATH |
//! | 2 | sends the UDP socket; or says why not | |
//! | 3 | | makes its endpoint, and its own socket beside PATH; says that it is ready |
//! | 4 | passes on what isn't its own, and says so; closes its socket at PATH | |
//! | 5 | | renames its socket onto PATH; is listening |
//!
//! All that may well fail comes before step 4. Who fails or dies before it has changed nothing: the old one serves on, or
//! the new one ends without having read a datagram. If the old one dies after it, the new one reads the socket. If the
//! new one dies after it, the old one refuses newcomers until its conversations have ended; what is left at PATH, if
//! anything, is a socket of nobody, which the next one takes. The old one goes away as after SIGTERM.

use super::{Listening, Taken};
use crate::{commands::open, exit::Usage};
use anyhow::{Context, anyhow, bail};
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
    process::getuid,
};
use sendoff::{Address, Config, KcpEndpoint, KcpListener, Options};
use std::{
    fs,
    future::pending,
    io::{self, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    net::UdpSocket,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixListener,
    time::{sleep, timeout},
};

/// What goes along with the socket: the version of what follows.
const VERSION: u8 = 2;

/// What is said instead: the reason follows, up to the end.
const REFUSED: u8 = b'-';

/// Bytes of a reason at most.
const REASON: u64 = 256;

/// How long it rests when the system has no file descriptor for another.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long the old one may take to answer. What comes then is bounded by the library.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens, in the place of the process that has its socket at `path` if there is one.
///
/// # Errors
/// A usage error. The old process doesn't hand its port over, or has another. What [`open::bind`] says.
pub(super) async fn listen(path: &Path, address: &Address, options: Options) -> anyhow::Result<Listening> {
    if address.scheme() != "kcp" {
        return Err(Usage("--takeover: only kcp:// can be taken over".into()).into());
    }
    let drivers = options.kcp.drivers_count();
    if drivers > 1 {
        return Err(Usage(format!("--takeover: only with one driver, not --drivers {drivers}")).into());
    }
    check(path)?;
    let inherited = ask(path).with_context(|| format!("cannot take over by {}", path.display()))?;
    let mut post = Post::beside(path)?;
    let Some(inherited) = inherited else {
        let listener = open::bind(address, options).await?;
        post.publish()?;
        return Ok(Listening { listener, post: Some(post), taken: None });
    };
    let listener = inherited.listen(address, options.kcp).await;
    let listener = listener.with_context(|| format!("cannot take over by {}", path.display()))?;
    // Whoever comes is ours: from here on there is no way back.
    let (post, no_post) = match post.publish() {
        Ok(()) => (Some(post), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Ok(Listening { listener: listener.into(), post, taken: Some(Taken { no_post }) })
}

/// Whether there may be, or is, a socket of ours: nothing else is ever replaced.
fn check(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => {
            Err(Usage(format!("--takeover {}: there is something else than a socket", path.display())).into())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// What a new process gets from an old one: the port, and what that one passes on.
struct Inherited {
    socket: UdpSocket,
    stream: UnixStream,
}

fn ask(path: &Path) -> anyhow::Result<Option<Inherited>> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let socket = receive_socket(&stream).map_err(|error| match error.downcast_ref::<io::Error>() {
        Some(late) if late.kind() == io::ErrorKind::WouldBlock => {
            anyhow!("the process there doesn't answer within {PATIENCE:?}")
        }
        _ => error,
    })?;
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
        (1, [REFUSED], None) => {
            let mut reason = Vec::new();
            stream.take(REASON).read_to_end(&mut reason)?;
            bail!("the process there refuses: {}", String::from_utf8_lossy(&reason))
        }
        (0, ..) => bail!("the process there hands nothing over"),
        _ => bail!("the process there is of another version"),
    }
}

impl Inherited {
    async fn listen(self, address: &Address, config: Config) -> anyhow::Result<KcpListener> {
        let asked = address.socket().map_or(0, |(_, port)| port);
        let port = self.socket.local_addr()?.port();
        if asked != 0 && asked != port {
            bail!("the process there has port {port}, not {asked}");
        }
        Ok(KcpListener::take_over(self.socket, self.stream, config).await?)
    }
}

/// Where a successor asks. The file goes with it, unless a successor has it.
pub(super) struct Post {
    listener: UnixListener,
    /// Where it is to be.
    path: PathBuf,
    /// Where it is.
    at: PathBuf,
    /// Which file it is.
    id: (u64, u64),
    /// It is left to a successor.
    left: bool,
}

impl Post {
    /// Listens under another name in the same directory: whatever hinders that is found before anything is changed.
    fn beside(path: &Path) -> anyhow::Result<Self> {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut at = path.as_os_str().to_owned();
        at.push(format!(".{:08x}", u32::from_le_bytes(random)));
        let at = PathBuf::from(at);
        let named = || format!("cannot listen at {}", at.display());
        let listener = UnixListener::bind(&at).with_context(named)?;
        let made = || {
            // Who comes is looked at besides.
            fs::set_permissions(&at, fs::Permissions::from_mode(0o600))?;
            id(&at)
        };
        let id = made().inspect_err(|_| _ = fs::remove_file(&at)).with_context(named)?;
        Ok(Self { listener, path: path.to_owned(), at, id, left: false })
    }

    /// Takes the path; whoever had it has ended, or has been taken over.
    fn publish(&mut self) -> anyhow::Result<()> {
        check(&self.path)?;
        fs::rename(&self.at, &self.path)
            .with_context(|| format!("cannot listen at {}", self.path.display()))?;
        self.at.clone_from(&self.path);
        Ok(())
    }

    /// Returns once another process has the port: what is new goes there, and nobody is waited for at the path. Whoever
    /// asks and doesn't take it is no matter.
    pub(super) async fn handed_over(post: Option<Self>, endpoint: Option<&KcpEndpoint>) {
        let (Some(mut post), Some(endpoint)) = (post, endpoint) else { return pending().await };
        loop {
            let Ok((stream, _)) = post.listener.accept().await else {
                sleep(EXHAUSTED).await;
                continue;
            };
            // It may take the path at any time from now on.
            post.left = true;
            let given = async {
                let stream = timeout(PATIENCE, give(stream, endpoint)).await??;
                endpoint.hand_over(stream).await?;
                anyhow::Ok(())
            };
            match given.await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the port wasn't handed over"),
            }
            post.left = false;
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if !self.left && id(&self.at).is_ok_and(|there| there == self.id) {
            _ = fs::remove_file(&self.at);
        }
    }
}

/// Which file that is: while somebody listens at it, there is no other with this number.
fn id(path: &Path) -> io::Result<(u64, u64)> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

/// Gives the socket to who asks, or says why not.
async fn give(mut stream: tokio::net::UnixStream, endpoint: &KcpEndpoint) -> anyhow::Result<UnixStream> {
    let socket = match for_whom(&stream, endpoint) {
        Ok(socket) => socket,
        Err(why) => {
            let said = format!("{}{why}", char::from(REFUSED));
            stream.write_all(said.as_bytes()).await?;
            return Err(why);
        }
    };
    stream.async_io(Interest::WRITABLE, || send_socket(&stream, &socket)).await?;
    Ok(stream.into_std()?)
}

/// The socket, if it can be handed over, and to whoever asks.
fn for_whom(stream: &tokio::net::UnixStream, endpoint: &KcpEndpoint) -> anyhow::Result<UdpSocket> {
    let (own, theirs) = (getuid().as_raw(), stream.peer_cred()?.uid());
    if theirs != own && theirs != 0 {
        bail!("user {theirs} asks for the port of user {own}");
    }
    endpoint.share_socket().map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => {
            anyhow!(
                "the process before the running one still has connections, and reads the port until it ends"
            )
        }
        _ => error.into(),
    })
}

fn send_socket(stream: &tokio::net::UnixStream, socket: &UdpSocket) -> io::Result<()> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(stream, &[IoSlice::new(&[VERSION])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
