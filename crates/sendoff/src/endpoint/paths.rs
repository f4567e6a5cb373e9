//! What earlier connections have learned of paths: how large a datagram gets to a host.
//!
//! The first connection over a small path pays for what it finds out, with segments that don't get through (see
//! `path_mtu.rs` of sendoff-proto); those after it begin with what fits.

use super::shared::EndpointShared;
use crate::{hosts::Hosts, lock::lock};
use sendoff_proto::Connection;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Instant,
};

/// The paths of an endpoint, and of the sockets that were opened in its name: bytes of UDP payload that get there.
#[derive(Default)]
pub(super) struct Paths(Mutex<Arc<Mutex<Hosts<usize>>>>);

impl Paths {
    /// From now on both know the same; what was known here alone is forgotten.
    fn share(&self, other: &Self) {
        let hosts = lock(&other.0).clone();
        *lock(&self.0) = hosts;
    }

    fn learn(&self, now: Instant, host: IpAddr, mtu: usize) {
        let hosts = lock(&self.0).clone();
        lock(&hosts).learn(now, host, mtu);
    }

    fn mtu(&self, now: Instant, host: IpAddr) -> Option<usize> {
        let hosts = lock(&self.0).clone();
        lock(&hosts).get(now, host)
    }
}

impl EndpointShared {
    /// A connection begins with what is known of its path.
    pub(super) fn apply_known_path(&self, now: Instant, host: IpAddr, connection: &mut Connection) {
        if let Some(mtu) = self.paths.mtu(now, host) {
            connection.limit_mtu(mtu);
            // That is no news here.
            _ = connection.take_new_mtu();
        }
    }

    /// Its connections, and those of this endpoint, learn from each other.
    pub(super) fn share_paths(&self, now: Instant, child: &EndpointShared) {
        child.paths.share(&self.paths);
        for connection in child.connections() {
            child.apply_known_path(now, connection.peer().ip(), &mut connection.lock().connection);
        }
    }

    /// Keeps what a connection, whose lock the caller holds, has just learned.
    pub(super) fn note_path(&self, now: Instant, peer: SocketAddr, connection: &mut Connection) {
        let Some(mtu) = connection.take_new_mtu() else { return };
        let conv = connection.conv().value();
        tracing::debug!(conv, %peer, mtu, "larger datagrams don't get through: smaller ones from now on");
        self.paths.learn(now, peer.ip(), mtu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Conv, KcpEndpoint};
    use sendoff_proto::Opening;
    use std::fmt::{self, Write};
    use tracing::{
        Event, Level, Metadata, Subscriber,
        field::{Field, Visit},
        span,
    };

    fn host(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn sockets_opened_in_the_name_of_an_endpoint_know_what_it_knows() {
        let (parent, child, now) = (Paths::default(), Paths::default(), Instant::now());
        parent.learn(now, host(1), 1_350);
        child.share(&parent);
        child.learn(now, host(2), 1_200);
        assert_eq!((child.mtu(now, host(1)), parent.mtu(now, host(2))), (Some(1_350), Some(1_200)));
    }

    /// Remembers each event: its level and its fields.
    #[derive(Default)]
    struct Log(Arc<Mutex<Vec<(Level, String)>>>);

    struct Fields(String);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            write!(self.0, "{field}={value:?} ").expect("a string");
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut fields = Fields(String::new());
            event.record(&mut fields);
            lock(&self.0).push((*event.metadata().level(), fields.0));
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn a_step_of_path_mtu_is_logged_once_and_below_what_an_operator_sees() {
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let (shared, now) = (&endpoint.shared, Instant::now());
        let peer = SocketAddr::from((host(1), 7));
        let open = || {
            let config = Arc::new(Config::new());
            Connection::new(config, Conv::new(9).unwrap(), Opening::Waiting, now, 1)
        };
        let log = Log::default();
        let seen = log.0.clone();
        let _logging = tracing::subscriber::set_default(log);
        let mut first = open();
        shared.note_path(now, peer, &mut first);
        assert_eq!(*lock(&seen), [], "nothing is new");
        first.limit_mtu(1_350);
        for _ in 0..3 {
            shared.note_path(now, peer, &mut first);
        }
        let text = "message=larger datagrams don't get through: smaller ones from now on";
        let expected = format!("{text} conv=9 peer=10.0.0.1:7 mtu=1350 ");
        assert_eq!(*lock(&seen), [(Level::DEBUG, expected)]);
        // Who begins with that has no news.
        let mut second = open();
        shared.apply_known_path(now, peer.ip(), &mut second);
        assert_eq!(second.mtu(), 1_350);
        shared.note_path(now, peer, &mut second);
        assert_eq!(lock(&seen).len(), 1);
    }
}
