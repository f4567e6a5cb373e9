//! Reliable UDP (KCP) for tokio, spoken with unmodified kcp-go, ikcp.c and tokio_kcp peers.
//!
//! [`KcpListener`] and [`KcpStream`] are used as tokio's `TcpListener` and `TcpStream` are;
//! [`KcpEndpoint`] is one socket that both listens and connects.
//!
//! ```
//! use sendoff::{KcpListener, KcpStream};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let listener = KcpListener::bind("127.0.0.1:0").await?;
//! let mut client = KcpStream::connect(listener.local_addr()).await?;
//! client.write_all(b"hello").await?;
//!
//! let (mut server, _peer) = listener.accept().await?;
//! let mut received = [0; 5];
//! server.read_exact(&mut received).await?;
//! assert_eq!(&received, b"hello");
//! client.shutdown().await?; // Ok: the peer's KCP has acknowledged every byte
//! # Ok(()) }
//! ```
//!
//! # What ends how
//! A peer that is sendoff too says how and when it ends: its `finish` is the end of what is read here, with a
//! code and a reason, and a peer that breaks off or dies is an error that holds an [`Ending`]: who, why, and
//! how many bytes of how many were acknowledged. Plain KCP can't say goodbye; towards such a stock peer
//! everything is told that its own wire can tell, and keep-alive (on by default) finds one that has gone.
//!
//! # Features
//! None is on by default.
//!
//! | feature | what it adds |
//! |---|---|
//! | `crypt` | the ciphers of kcp-go and kcptun that are of use today, in pure Rust: [`Crypt`] |
//! | `legacy-ciphers` | `crypt`, and those that are there for old peers: Blowfish, CAST5, SM4, TEA, 3DES, Twofish, XTEA |
//! | `aws-lc-rs` | `crypt`, and AES-GCM by aws-lc-rs (C and assembly), about four times faster |
//! | `axum` | `axum::serve(listener, app)` over [`KcpListener`] and [`AnyListener`]; `ConnectInfo<Peer>` tells who asks |
//! | `tonic` | gRPC servers over [`KcpListener::into_stream`] and [`AnyListener::into_stream`]; `remote_addr` is known |

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

// It shows encryption too.
#[cfg(all(doctest, feature = "crypt"))]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/endings.md")]
struct Endings;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/operations.md")]
struct Operations;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/framing.md")]
struct Messaging;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/transports.md")]
struct TransportsPage;

mod address;
mod admission;
mod ecosystem;
mod endpoint;
mod framing;
mod hosts;
mod listener;
mod lock;
#[doc(hidden)]
pub mod settings;
mod socket;
mod stream;
mod transport;
mod udp;

pub use address::{Address, AddressError, Host, IntoAddress, Place};
pub use admission::Incoming;
pub use ecosystem::Connections;
pub use endpoint::{Departure, EndpointStats, KcpEndpoint};
pub use framing::{
    FrameCodec, FrameError, Framing, Half, MessageReader, MessageWriter, Messages, ParseFramingError, Parts,
};
pub use listener::KcpListener;
pub use sendoff_proto::{
    Backoff, Cause, Cipher, Config, ConfigError, Congestion, ConnectionStats, Conv, Crypt, CryptError,
    DatagramSocket, Direction, Ending, Farewell, Fec, FecError, FecStats, Key, MessageError, MessageTooLarge,
    Mode, NoDelay, OpenError, Opener, ParseConvError, Party, PeerKind, Profile, Role, Sealer, SeqNumber,
    Silence, SocketOptions, Tap, TappedDatagram, Timestamp, Wire, code, code_name, wire,
};
pub use stream::{KcpStream, Moves, ReadHalf, ReuniteError, WriteHalf};
pub use transport::{
    Acceptor, AnyListener, AnyReadHalf, AnyReuniteError, AnyStream, AnyWriteHalf, BoxFuture, KcpLink,
    KcpTransport, Link, MemoryTransport, Options, Peer, ReadSide, StreamStats, TcpOptions, TcpStats,
    TcpTransport, Transport, TransportStats, Transports, UdpOptions, UdpStats, UdpTransport, WriteSide,
};
