//! The end of a listener: at SIGTERM its peers are told, and have some time; at SIGINT what is under way is finished.

use super::Listener;
use crate::{
    exit::Outcome,
    report::{Event, Report},
};
use std::{pin::pin, time::Duration};
use tokio::{task::JoinSet, time::timeout};

/// The connections that are served.
pub(super) type Serving = JoinSet<anyhow::Result<()>>;

/// Tells every peer, waits until they have ended their conversations, and resets those that are open after `limit`.
///
/// # Errors
/// What goes wrong on our side while a connection is served, such as a closed stdout.
pub(super) async fn go_away(
    listener: &Listener,
    mut serving: Serving,
    limit: Duration,
    report: &Report,
) -> anyhow::Result<Outcome> {
    report.event(&Event::GoingAway { connections: serving.len(), limit });
    let mut departing = pin!(listener.any.close(limit));
    let departure = loop {
        tokio::select! {
            departure = &mut departing => break departure,
            Some(served) = serving.join_next() => served??,
        }
    };
    // Programs may take a moment to end.
    all(&mut serving).await?;
    report.event(&Event::Gone(departure));
    Ok(Outcome::Well)
}

/// Lets every connection finish what is under way, and cuts off those that take longer than `linger`.
///
/// # Errors
/// As [`go_away`].
pub(super) async fn end(
    listener: &Listener,
    mut serving: Serving,
    linger: Duration,
) -> anyhow::Result<Outcome> {
    let in_time = timeout(linger, all(&mut serving)).await;
    listener.close();
    match in_time {
        Ok(result) => result?,
        Err(_late) => {
            if listener.endpoint.is_none() {
                serving.abort_all();
            }
            all(&mut serving).await?;
        }
    }
    listener.wait_idle().await;
    Ok(Outcome::Well)
}

async fn all(serving: &mut Serving) -> anyhow::Result<()> {
    while let Some(served) = serving.join_next().await {
        match served {
            Err(error) if error.is_cancelled() => {}
            served => served??,
        }
    }
    Ok(())
}
