//! What makes listeners and streams fit where others are expected: axum's `serve`, tonic's servers.

#[cfg(feature = "axum")]
mod axum;
mod connections;
#[cfg(feature = "tonic")]
mod tonic;

pub use connections::Connections;
