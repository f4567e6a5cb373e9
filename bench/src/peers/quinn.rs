//! QUIC through quinn: one connection with one bidirectional stream each. TLS can't be turned off, so these
//! figures include encryption.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, Incoming, MtuDiscoveryConfig, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use crate::load::{Connect, Listen, Stream};
use crate::net::udp;
use crate::plan::DATAGRAM;

/// Datagrams as large as everybody's, and no end for idle connections.
fn transport() -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(DATAGRAM as u16);
    let mut transport = TransportConfig::default();
    transport.initial_mtu(DATAGRAM as u16).mtu_discovery_config(Some(discovery)).max_idle_timeout(None);
    Arc::new(transport)
}

/// A bidirectional stream, with the connection that it keeps alive.
pub struct QuicStream {
    receiver: RecvStream,
    sender: SendStream,
    _connection: Connection,
}

impl Stream for QuicStream {}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receiver), cx, buf)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.sender), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.sender), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.sender), cx)
    }
}

/// The server side.
pub struct Listener {
    address: SocketAddr,
    accepted: mpsc::Receiver<io::Result<QuicStream>>,
}

/// The server side, on any free port, with a certificate made for this run.
pub fn listen() -> Result<Listener> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)?;
    config.transport_config(transport());
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), udp()?, Arc::new(TokioRuntime))?;
    let address = endpoint.local_addr()?;
    let (accepting, accepted) = mpsc::channel(1_024);
    tokio::spawn(async move {
        // A handshake takes turns with the client, so each runs apart from the others.
        while let Some(incoming) = endpoint.accept().await {
            let accepting = accepting.clone();
            tokio::spawn(async move { accepting.send(first_stream(incoming).await).await });
        }
    });
    Ok(Listener { address, accepted })
}

async fn first_stream(incoming: Incoming) -> io::Result<QuicStream> {
    let connection = incoming.await?;
    let (sender, receiver) = connection.accept_bi().await?;
    Ok(QuicStream { receiver, sender, _connection: connection })
}

impl Listen for Listener {
    type Stream = QuicStream;

    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    async fn accept(&mut self) -> io::Result<QuicStream> {
        self.accepted.recv().await.unwrap_or_else(|| Err(io::Error::other("the endpoint is gone")))
    }
}

/// The client side: one socket for all connections.
pub struct Connector {
    endpoint: Endpoint,
    address: SocketAddr,
}

/// The client side.
pub fn connector(address: SocketAddr) -> Result<Connector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport());
    let mut endpoint = Endpoint::new(EndpointConfig::default(), None, udp()?, Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(config);
    Ok(Connector { endpoint, address })
}

impl Connect for Connector {
    type Stream = QuicStream;

    async fn connect(&self) -> io::Result<QuicStream> {
        let connecting = self.endpoint.connect(self.address, "localhost").map_err(io::Error::other)?;
        let connection = connecting.await?;
        let (sender, receiver) = connection.open_bi().await?;
        Ok(QuicStream { receiver, sender, _connection: connection })
    }
}

/// Takes any certificate: server and client are of the same run, and of the same machine.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
