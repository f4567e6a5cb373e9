//! gRPC servers of tonic over KCP and over any transport: give
//! [`KcpListener::into_stream`](crate::KcpListener::into_stream) to `serve_with_incoming`.

use crate::{AnyStream, KcpStream};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// With tonic's own type, so that `Request::remote_addr` and `local_addr` know the addresses.
impl Connected for KcpStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: Some(self.local_addr()), remote_addr: Some(self.peer_addr()) }
    }
}

/// With tonic's own type, so that `Request::remote_addr` and `local_addr` know the addresses, where the transport has
/// such.
impl Connected for AnyStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.local().socket_addr(), remote_addr: self.peer().socket_addr() }
    }
}
