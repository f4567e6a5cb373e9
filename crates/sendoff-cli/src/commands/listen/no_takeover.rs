//! `--takeover` where processes can't share a socket: there is none.

use crate::exit::Usage;
use sendoff::{Address, AnyListener, KcpEndpoint, Options};
use std::{future::pending, path::Path};

/// Who listens, and may be taken over in turn.
pub(super) struct Listening {
    pub(super) listener: AnyListener,
    pub(super) post: Option<Post>,
    pub(super) taken: Option<Taken>,
}

/// The port was another process's.
pub(super) struct Taken {
    pub(super) no_post: Option<String>,
}

/// # Errors
/// Always.
pub(super) async fn listen(_: &Path, _: &Address, _: Options) -> anyhow::Result<Listening> {
    Err(Usage("--takeover: only on Unix".into()).into())
}

/// Where a successor would ask.
pub(super) struct Post;

impl Post {
    /// Never returns.
    pub(super) async fn handed_over(_: Option<Self>, _: Option<&KcpEndpoint>) {
        pending().await
    }
}
