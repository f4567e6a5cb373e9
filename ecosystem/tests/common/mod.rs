//! What the tests share: a watchdog, an application, a client.
#![allow(dead_code, reason = "each test file uses its part")]

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit},
    routing::{get, post},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use sendoff::Peer;
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

/// Only turns a hang into a failure.
pub async fn watched<R>(test: impl Future<Output = R>) -> R {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("hangs")
}

/// `/` says hello, `/peer` says to whom, `/echo` sends back what comes.
pub fn app() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<Peer>| async move { format!("{} {peer}", peer.transport()) }),
        )
        .route("/echo", post(|body: Bytes| async move { body }))
        .layer(DefaultBodyLimit::max(16 << 20))
}

/// A connection of hyper's, and the task that drives it.
pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    pub connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    pub async fn get(&mut self, path: &str) -> Bytes {
        self.ask("GET", path, Bytes::new()).await
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Bytes {
        self.ask("POST", path, body.into()).await
    }

    async fn ask(&mut self, method: &str, path: &str, body: Bytes) -> Bytes {
        let request = Request::builder().method(method).uri(path).header("host", "test");
        self.sender.ready().await.unwrap();
        let response: Response<_> =
            self.sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap().to_bytes()
    }
}
