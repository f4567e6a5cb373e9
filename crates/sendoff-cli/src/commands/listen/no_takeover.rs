//! `--takeover` where processes can't share a socket: there is none.

use super::Listening;
use crate::exit::Usage;
use sendoff::{Address, KcpEndpoint, Options};
use std::{future::pending, path::Path};

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
