//! gRPC over KCP and over any transport: tonic's health service, asked once and watched.

mod common;

use common::watched;
use hyper_util::rt::TokioIo;
use sendoff::{AnyListener, AnyStream, KcpListener, KcpStream};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    Code, Request, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, Server, Uri},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_check_response::ServingStatus as Answer, health_client::HealthClient},
    server::{HealthReporter, health_reporter},
};
use tower::service_fn;

/// Both addresses of each request.
type Seen = Arc<Mutex<Vec<(Option<SocketAddr>, Option<SocketAddr>)>>>;

struct Health {
    reporter: HealthReporter,
    seen: Seen,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// Serves over whatever `incoming` brings.
macro_rules! serve {
    ($incoming:expr) => {{
        let (reporter, service) = health_reporter();
        reporter.set_service_status("demo", ServingStatus::Serving).await;
        let seen = Seen::default();
        let noted = seen.clone();
        let service = InterceptedService::new(service, move |request: Request<()>| {
            noted.lock().unwrap().push((request.remote_addr(), request.local_addr()));
            Ok::<_, Status>(request)
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown($incoming, async move { _ = stopped.await });
        Health { reporter, seen, stop, serving: tokio::spawn(serve) }
    }};
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn over_kcp(addr: SocketAddr) -> Channel {
    let connect =
        service_fn(
            move |_: Uri| async move { Ok::<_, io::Error>(TokioIo::new(KcpStream::connect(addr).await?)) },
        );
    Endpoint::from_static("http://kcp").connect_with_connector(connect).await.unwrap()
}

#[tokio::test]
async fn a_health_check_and_a_watch_over_kcp() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let server = serve!(listener.into_stream());
        let mut client = HealthClient::new(over_kcp(addr).await);
        let answer = client.check(about("demo")).await.unwrap().into_inner();
        assert_eq!(answer.status(), Answer::Serving);
        assert_eq!(client.check(about("unknown")).await.unwrap_err().code(), Code::NotFound);

        let mut statuses = client.watch(about("demo")).await.unwrap().into_inner();
        assert_eq!(statuses.message().await.unwrap().unwrap().status(), Answer::Serving);
        server.reporter.set_service_status("demo", ServingStatus::NotServing).await;
        assert_eq!(statuses.message().await.unwrap().unwrap().status(), Answer::NotServing);

        let seen = server.seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 3);
        let remote = seen[0].0.unwrap();
        assert!(remote.ip().is_loopback() && remote != addr);
        assert!(seen.iter().all(|both| *both == (Some(remote), Some(addr))), "{seen:?}");

        drop(statuses);
        server.stop.send(()).unwrap();
        server.serving.await.unwrap().unwrap();
        client.check(about("demo")).await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn a_health_check_over_any_transport() {
    watched(async {
        for scheme in ["tcp", "kcp"] {
            let listener = AnyListener::bind(format!("{scheme}://127.0.0.1:0")).await.unwrap();
            let address = format!("{scheme}://{}", listener.local());
            let local = listener.local().socket_addr();
            let server = serve!(listener.into_stream());
            let connect = service_fn(move |_: Uri| {
                let address = address.clone();
                async move { Ok::<_, io::Error>(TokioIo::new(AnyStream::connect(address).await?)) }
            });
            let channel = Endpoint::from_static("http://any").connect_with_connector(connect).await.unwrap();
            let answer = HealthClient::new(channel).check(about("demo")).await.unwrap().into_inner();
            assert_eq!(answer.status(), Answer::Serving);
            assert_eq!(server.seen.lock().unwrap()[0].1, local);
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_ends_when_its_listener_is_closed() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.endpoint().clone();
        let server = serve!(listener.into_stream());
        endpoint.close();
        server.serving.await.unwrap().unwrap();
    })
    .await;
}
