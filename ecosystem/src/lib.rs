//! sendoff under what people use: examples and tests. Nothing to import.
//!
//! ```no_run
//! use axum::{Router, extract::ConnectInfo, routing::get};
//! use sendoff::{AnyListener, Peer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let app = Router::new().route("/", get(|ConnectInfo(peer): ConnectInfo<Peer>| async move { peer.to_string() }));
//! let listener = AnyListener::bind("kcp://[::]:8080").await?; // or tcp://
//! axum::serve(listener, app.into_make_service_with_connect_info::<Peer>()).await
//! # }
//! ```
