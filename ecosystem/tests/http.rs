//! axum over KCP and over any transport, with hyper and curl as clients.

mod common;

use common::{Client, app, watched};
use sendoff::{AnyListener, AnyStream, Cause, KcpListener, KcpStream, Party, Peer};
use std::{env, net::SocketAddr, process::Stdio};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    sync::oneshot,
    task::JoinHandle,
};

/// A server over KCP, which ends when it is told to.
struct Server {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = app().into_make_service_with_connect_info::<Peer>();
        let serve = axum::serve(listener, service).with_graceful_shutdown(async move { _ = stopped.await });
        Self { addr, stop, serving: tokio::spawn(async move { serve.await }) }
    }

    async fn client(&self) -> (Client, SocketAddr) {
        let stream = KcpStream::connect(self.addr).await.unwrap();
        let local = stream.local_addr();
        (Client::over(stream).await, local)
    }
}

/// A server over any transport, as long as the runtime lives.
async fn any_server(address: &str) -> String {
    let listener = AnyListener::bind(address).await.unwrap();
    let address = listener.local().to_string();
    let service = app().into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

#[tokio::test]
async fn get_and_post_with_bodies_of_all_sizes_over_kcp() {
    watched(async {
        let server = Server::start().await;
        let (mut client, _) = server.client().await;
        assert_eq!(client.get("/").await, "hello");
        for size in [0, 1, 1_376, 100_000, 4 << 20] {
            let body: Vec<u8> = (0..size).map(|n: usize| (n * n >> 7) as u8).collect();
            assert!(client.post("/echo", body.clone()).await == body, "{size} bytes");
        }
    })
    .await;
}

#[tokio::test]
async fn a_hundred_requests_share_a_connection_that_is_kept_alive() {
    watched(async {
        let server = Server::start().await;
        let (mut client, local) = server.client().await;
        for n in 0..100 {
            assert_eq!(client.get("/peer").await, format!("kcp {local}"));
            assert_eq!(client.post("/echo", format!("request {n}")).await, format!("request {n}"));
        }
    })
    .await;
}

#[tokio::test]
async fn each_handler_learns_who_asks() {
    watched(async {
        let server = Server::start().await;
        let (mut first, first_addr) = server.client().await;
        let (mut second, second_addr) = server.client().await;
        assert_ne!(first_addr, second_addr);
        assert_eq!(first.get("/peer").await, format!("kcp {first_addr}"));
        assert_eq!(second.get("/peer").await, format!("kcp {second_addr}"));
        for scheme in ["tcp", "kcp"] {
            let address = any_server(&format!("{scheme}://127.0.0.1:0")).await;
            let stream = AnyStream::connect(format!("{scheme}://{address}")).await.unwrap();
            let expected = format!("{scheme} {}", stream.local());
            assert_eq!(Client::over(stream).await.get("/peer").await, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_graceful_shutdown_tells_the_clients_the_end() {
    watched(async {
        let server = Server::start().await;
        let (mut idle, _) = server.client().await;
        assert_eq!(idle.get("/").await, "hello");
        let mut bare = KcpStream::connect(server.addr).await.unwrap();
        bare.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 1_000];
        let mut len = 0;
        while !answer[..len].ends_with(b"hello") {
            len += bare.read(&mut answer[len..]).await.unwrap();
        }

        server.stop.send(()).unwrap();
        // The end in order, for hyper and for who reads by himself.
        idle.connection.await.unwrap().unwrap();
        assert_eq!(bare.read(&mut answer).await.unwrap(), 0);
        assert!(bare.peer_farewell().is_some());
        let ended = bare.closed();
        drop(bare);
        let ending = ended.await;
        assert!(ending.is_clean(), "{ending}");
        assert_eq!((ending.by, ending.cause), (Party::Peer, Cause::Closed), "{ending}");
        server.serving.await.unwrap().unwrap();
        KcpStream::connect(server.addr).await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn a_graceful_shutdown_lets_a_request_come_to_its_end() {
    watched(async {
        let server = Server::start().await;
        let mut bare = KcpStream::connect(server.addr).await.unwrap();
        bare.write_all(b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhello")
            .await
            .unwrap();
        // Another client's answer: the server has seen what came before.
        let (mut other, _) = server.client().await;
        assert_eq!(other.get("/").await, "hello");
        server.stop.send(()).unwrap();
        other.connection.await.unwrap().unwrap();
        bare.write_all(b" you!").await.unwrap();
        let mut answer = String::new();
        bare.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("hello you!"), "{answer}");
        drop(bare);
        server.serving.await.unwrap().unwrap();
    })
    .await;
}

/// Runs curl; `None`, with the reason on standard error, where it isn't installed.
async fn curl(arguments: &[&str]) -> Option<String> {
    let output = Command::new("curl").args(["--silent", "--show-error", "--fail"]).args(arguments);
    match { output }.stdin(Stdio::null()).output().await {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "curl: {error}");
            eprintln!("skipped: curl: {error}");
            None
        }
    }
}

#[tokio::test]
async fn curl_asks_over_tcp() {
    watched(async {
        let address = any_server("tcp://127.0.0.1:0").await;
        let url = |path: &str| format!("http://{address}{path}");
        let Some(hello) = curl(&[&url("/")]).await else { return };
        assert_eq!(hello, "hello");
        let peers = curl(&[&url("/peer"), &url("/peer")]).await.unwrap();
        let (first, second) = peers.split_at(peers.len() / 2);
        assert!(first.starts_with("tcp 127.0.0.1:"), "{peers}");
        assert_eq!(first, second, "the connection is kept alive");
        assert_eq!(curl(&["--data", "posted", &url("/echo")]).await.unwrap(), "posted");
    })
    .await;
}
