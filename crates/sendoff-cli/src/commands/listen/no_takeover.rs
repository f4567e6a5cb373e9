//! `--takeover` where processes can't share a socket: there is none.

use crate::exit::Usage;
use sendoff::{Address, AnyListener, Config, KcpEndpoint};
use std::{future::pending, path::Path};

/// # Errors
/// Always.
pub(super) fn listen(_: &Path, _: &Address, _: Config) -> anyhow::Result<Option<AnyListener>> {
    Err(Usage("--takeover: only on Unix".into()).into())
}

/// Where a successor would ask.
pub(super) struct Post;

impl Post {
    /// # Errors
    /// Always.
    pub(super) fn bind(_: &Path) -> anyhow::Result<Self> {
        Err(Usage("--takeover: only on Unix".into()).into())
    }

    /// Never returns.
    pub(super) async fn handed_over(_: Option<&Self>, _: Option<&KcpEndpoint>) {
        pending().await
    }
}
