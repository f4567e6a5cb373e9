//! HTTP over KCP: axum serves, hyper asks. Runs by itself.

use axum::{Router, extract::ConnectInfo, routing::get};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use sendoff::{KcpListener, KcpStream, Peer};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/", get(|ConnectInfo(peer): ConnectInfo<Peer>| async move { format!("hello {peer}") }));
    let listener = KcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr();
    tokio::spawn(
        async move { axum::serve(listener, app.into_make_service_with_connect_info::<Peer>()).await },
    );

    let stream = KcpStream::connect(addr).await?;
    let ended = stream.closed();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("/").header("host", addr.to_string()).body(Empty::<Bytes>::new())?;
        let response = client.send_request(request).await?;
        println!("{} {:?}", response.status(), response.into_body().collect().await?.to_bytes());
        client.ready().await?;
    }
    drop(client); // the connection ends, and says so
    println!("{}", ended.await);
    Ok(())
}
