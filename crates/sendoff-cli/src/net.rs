//! From names as typed to socket addresses, and back.

use anyhow::Context;
use std::net::SocketAddr;

/// The first address of a name.
///
/// # Errors
/// When the name has none.
pub async fn resolve(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let mut found =
        tokio::net::lookup_host((host, port)).await.with_context(|| format!("cannot resolve {host}"))?;
    found.next().with_context(|| format!("cannot resolve {host}: it has no address"))
}

/// The peer in messages: the name as typed, where there was one, and the address that it stands for.
pub fn describe(host: &str, peer: SocketAddr) -> String {
    match host.parse::<std::net::IpAddr>() {
        Ok(_) => peer.to_string(),
        Err(_) if host.contains('%') => peer.to_string(),
        Err(_) => format!("{host} ({peer})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_with_its_address() {
        let peer = "127.0.0.1:9".parse().unwrap();
        assert_eq!(describe("127.0.0.1", peer), "127.0.0.1:9");
        assert_eq!(describe("localhost", peer), "localhost (127.0.0.1:9)");
        let peer = "[::1]:9".parse().unwrap();
        assert_eq!(describe("::1", peer), "[::1]:9");
    }
}
