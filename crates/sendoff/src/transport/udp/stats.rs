//! What is counted of UDP.

/// What a flow of UDP has counted, and the socket that it shares with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpStats {
    /// Datagrams that came and were put into the queue of this flow.
    pub datagrams_received: u64,
    /// Datagrams of this flow that the system took.
    pub datagrams_sent: u64,
    /// Datagrams of this flow that were dropped: its queue was full, or all queues together, or nobody reads it any more.
    pub dropped_queue_full: u64,
    /// Datagrams that were not sent because they are too large.
    pub too_large: u64,
    /// Datagrams that the system refused for this destination (a firewall, a full interface queue).
    pub send_failures: u64,
    /// Empty datagrams that a read passed over, because to a reader 0 bytes are the end.
    pub empty_passed_over: u64,
    /// Of the socket: flows that there are now.
    pub flows: usize,
    /// Of the socket: datagrams dropped, because there are as many flows as there may be.
    pub dropped_too_many_flows: u64,
    /// Of the socket: datagrams dropped, because as many flows wait to be accepted as may.
    pub dropped_backlog: u64,
    /// Of the socket: datagrams dropped that belong to no flow, where none is accepted.
    pub dropped_unknown: u64,
    /// Of the socket: datagrams that the system dropped because its receive buffer was full; `None` where it doesn't tell.
    pub socket_drops: Option<u64>,
}
