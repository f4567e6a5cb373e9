//! A listener as a stream of connections.

use crate::{AnyListener, AnyStream, KcpListener, KcpStream, transport::BoxFuture};
use futures_core::Stream;
use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The connections that a listener accepts, as a `Stream`: what tonic's `serve_with_incoming` takes, and combinators
/// of streams.
///
/// After the error with which the listener ends, it ends too. Dropping it stops accepting.
pub struct Connections<S> {
    /// Accepts one more; `None` after the end.
    accept: Option<Box<dyn FnMut() -> BoxFuture<'static, io::Result<S>> + Send>>,
    accepting: Option<BoxFuture<'static, io::Result<S>>>,
}

impl KcpListener {
    /// Its connections as a `Stream`, each accepted. Each says by itself who opened it: [`KcpStream::peer_addr`].
    pub fn into_stream(self) -> Connections<KcpStream> {
        let listener = Arc::new(self);
        Connections::new(move || {
            let listener = listener.clone();
            Box::pin(async move { Ok(listener.accept().await?.0) })
        })
    }
}

impl AnyListener {
    /// Its connections as a `Stream`. Each says by itself who opened it: [`AnyStream::peer`].
    pub fn into_stream(self) -> Connections<AnyStream> {
        let listener = Arc::new(self);
        Connections::new(move || {
            let listener = listener.clone();
            Box::pin(async move { Ok(listener.accept().await?.0) })
        })
    }
}

impl<S> Connections<S> {
    fn new(accept: impl FnMut() -> BoxFuture<'static, io::Result<S>> + Send + 'static) -> Self {
        Self { accept: Some(Box::new(accept)), accepting: None }
    }
}

impl<S> Stream for Connections<S> {
    type Item = io::Result<S>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { accept, accepting } = &mut *self;
        let Some(next) = accept else { return Poll::Ready(None) };
        let accepted = ready!(accepting.get_or_insert_with(next).as_mut().poll(cx));
        *accepting = None;
        if accepted.is_err() {
            *accept = None;
        }
        Poll::Ready(Some(accepted))
    }
}

impl<S> fmt::Debug for Connections<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("ended", &self.accept.is_none()).finish_non_exhaustive()
    }
}
