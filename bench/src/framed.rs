//! Messages with a length before each, over the streams of other peers: what framing adds to their cost.

use std::sync::Arc;

use anyhow::{Context, Result};
use sendoff::{Framing, Messages};

use crate::load::{Connect, Listen, Stream, pattern, repeated, report};
use crate::meter::{Event, Meter, emit, fail};
use crate::plan::{BATCH, MESSAGE, Scenario};

/// Receives messages until the process is stopped.
pub async fn serve(mut listener: impl Listen, meter: Arc<Meter>) -> Result<()> {
    emit(&Event::Listening { address: listener.address()? });
    loop {
        let stream = listener.accept().await.context("accept")?;
        let meter = Arc::clone(&meter);
        tokio::spawn(async move { report(sink(stream, &meter).await) });
    }
}

async fn sink(stream: impl Stream, meter: &Meter) -> Result<()> {
    let mut messages = Messages::new(stream, Framing::le32());
    let mut position = 0_u64;
    let mut uncounted = 0;
    while let Some(message) = messages.try_next().await? {
        let last = message.len() - 1;
        let expected = (pattern(position, BATCH), pattern(position + last as u64, BATCH));
        if message.len() != MESSAGE || (message[0], message[last]) != expected {
            fail(&format!("a wrong message at {position}"));
        }
        position += message.len() as u64;
        uncounted += message.len();
        // The others count once a read.
        if uncounted >= BATCH {
            meter.deliver(uncounted);
            uncounted = 0;
        }
    }
    Ok(())
}

/// Sends messages until the process is stopped.
pub async fn drive(connector: impl Connect, scenario: Scenario) -> Result<()> {
    let stream = connector.connect().await.context("connect")?;
    let mut messages = Messages::new(stream, Framing::le32());
    let data = repeated(BATCH);
    emit(&Event::Ready);
    loop {
        for message in data.chunks(MESSAGE) {
            match scenario {
                Scenario::Batches => messages.feed(message).await.context("feed")?,
                _ => messages.send(message).await.context("send")?,
            }
        }
        messages.flush().await.context("flush")?;
    }
}
