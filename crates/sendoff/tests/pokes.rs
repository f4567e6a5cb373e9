//! What another thread asks of a driver in the midst of its turn isn't lost, and who waits for a driver learns when it
//! has gone.
#![cfg(unix)]

mod common;

use common::*;
use sendoff::{Config, Direction, KcpEndpoint, Tap, TappedDatagram};
use std::{
    future::Future,
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    pin::{Pin, pin},
    sync::{Arc, Mutex, mpsc},
    task::{Context, Waker},
    thread,
};
use tokio::runtime::{self, Handle, Runtime};

/// While the driver looks at what has come, another thread does something, once.
#[derive(Default)]
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Tap for Meanwhile {
    fn datagram(&self, datagram: &TappedDatagram<'_>) {
        let act = self.0.lock().unwrap().take_if(|_| datagram.direction == Direction::Received);
        if let Some(act) = act {
            thread::spawn(act).join().unwrap();
        }
    }
}

#[tokio::test]
async fn a_port_that_is_handed_over_in_the_midst_of_a_turn_is_handed_over() {
    watched(async {
        let meanwhile = Arc::new(Meanwhile::default());
        let endpoint =
            KcpEndpoint::bind_with("127.0.0.1:0", Config::new().tap(meanwhile.clone())).await.unwrap();
        let addr = endpoint.local_addr();
        let ((ours, _theirs), (begun, handing)) = (UnixStream::pair().unwrap(), mpsc::channel());
        let runtime = Handle::current();
        *meanwhile.0.lock().unwrap() = Some(Box::new(move || {
            let _inside = runtime.enter();
            let mut handing: Pin<Box<dyn Future<Output = io::Result<()>> + Send>> =
                Box::pin(async move { endpoint.hand_over(ours).await });
            assert!(handing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            begun.send(handing).unwrap();
        }));
        settle().await;
        // Nothing else that could wake the driver comes after it.
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"whatever this is", addr).unwrap();
        let mut begun = None;
        until(|| {
            begun = handing.try_recv().ok();
            begun.is_some()
        })
        .await;
        begun.unwrap().await.unwrap();
    })
    .await;
}

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn who_waits_for_a_hand_over_learns_that_the_driver_has_gone() {
    let (theirs, ours) = (runtime(), runtime());
    let endpoint = theirs.block_on(KcpEndpoint::bind("127.0.0.1:0")).unwrap();
    ours.block_on(watched(async {
        let ((one, _), (other, _)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let mut handing = pin!(endpoint.hand_over(one));
        assert!(poll_once(handing.as_mut()).await.is_none(), "nobody runs its driver");
        thread::spawn(move || drop(theirs)).join().unwrap();
        for result in [handing.await, endpoint.hand_over(other).await] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
        }
    }));
}
