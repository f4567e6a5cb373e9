//! `demo`: on this machine, without set-up: what an echo is on the wire, what a goodbye changes, that a close loses
//! nothing, and what becomes of messages in a stream.

mod boundaries;

use crate::{
    exit::Outcome,
    ladder::Recorder,
    report::{Report, milliseconds},
    signals::Interrupts,
    units,
};
use anyhow::{Context, bail, ensure};
use sendoff::{Config, Ending, KcpEndpoint, KcpStream, Wire};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Where both sides bind.
const HERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// The read deadline that every KCP server needs.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// What the third part sends.
const MEBIBYTE: usize = 1 << 20;

/// Nothing on one machine takes as long: it has failed.
const HOPELESS: Duration = Duration::from_secs(20);

/// Four datagrams, as kcp-go sends them.
const ECHO: [&str; 4] = ["client PUSH", "server ACK", "server PUSH", "client ACK"];

/// Runs the command.
///
/// # Errors
/// What differed from what it says.
pub async fn run(report: Report, mut interrupts: Interrupts) -> anyhow::Result<Outcome> {
    let parts = async {
        classic_echo(&report).await?;
        gap(&report).await?;
        goodbye(&report).await?;
        gap(&report).await?;
        close_at_once(&report).await?;
        gap(&report).await?;
        boundaries::show(&report).await
    };
    tokio::select! {
        result = parts => result.map(|()| Outcome::Well),
        () = interrupts.first() => Ok(Outcome::Interrupted),
    }
}

async fn gap(report: &Report) -> anyhow::Result<()> {
    if report.json() { Ok(()) } else { report.line("").await }
}

/// The first part: an echo, a datagram a line.
async fn classic_echo(report: &Report) -> anyhow::Result<()> {
    let recorder = Arc::new(Recorder::default());
    let config = Config::new().wire(Wire::Classic).tap(recorder.clone());
    let server = KcpEndpoint::bind_with(HERE, config.clone()).await?;
    let mut client = KcpStream::connect_with(server.local_addr(), config).await?;
    let client_addr = client.local_addr();
    headline(report, 1, "As kcp-go does it (classic)", client_addr, server.local_addr()).await?;

    let message = now_in_words();
    let echo = tokio::spawn(echo_until_silent(server));
    client.write_all(message.as_bytes()).await?;
    let mut answer = vec![0; message.len()];
    timeout(HOPELESS, client.read_exact(&mut answer)).await.context("the echo did not come")??;
    ensure!(answer == message.as_bytes(), "the echo differs from what was sent");
    let endpoint = client.endpoint();
    drop(client);
    endpoint.wait_idle().await;
    let seen = recorder.ladder(client_addr);
    for line in seen.to_lines(report.arrows()) {
        if !report.json() {
            report.line(&line).await?;
        }
    }

    let silence = echo.await??;
    let ladder = recorder.ladder(client_addr);
    if report.json() {
        for value in ladder.to_values() {
            report.object(&value).await?;
        }
        let silence = milliseconds(silence);
        report.object(&json!({"report": "part", "part": 1, "gave_up_after_ms": silence})).await?;
    } else {
        let silence = units::duration(silence);
        let words = "Then the client closed. The server was told nothing: it gave up after";
        report.line(&format!("   {words} {silence} of silence.")).await?;
    }
    let shape = ladder.shape();
    ensure!(shape == ECHO, "an echo is {}, but this was {}", ECHO.join(", "), shape.join(", "));
    ensure!(
        recorder.received() == shape.len(),
        "{} of {} datagrams arrived",
        recorder.received(),
        shape.len()
    );
    Ok(())
}

/// What every KCP server has to do: read with a deadline. Returns the silence that ended it.
async fn echo_until_silent(server: KcpEndpoint) -> anyhow::Result<Duration> {
    let (mut stream, _peer) = timeout(HOPELESS, server.accept()).await.context("nobody connected")??;
    let mut buffer = vec![0; 1_500];
    let mut last = Instant::now();
    loop {
        match timeout(READ_TIMEOUT, stream.read(&mut buffer)).await {
            Ok(read) => {
                let len = read?;
                ensure!(len > 0, "the stream ended, though nobody can say so");
                last = Instant::now();
                stream.write_all(&buffer[..len]).await?;
            }
            Err(_elapsed) => return Ok(last.elapsed()),
        }
    }
}

/// The second part: the same echo, and both sides say that they have finished.
async fn goodbye(report: &Report) -> anyhow::Result<()> {
    let recorder = Arc::new(Recorder::default());
    let config = Config::new().tap(recorder.clone());
    let server = KcpEndpoint::bind_with(HERE, config.clone()).await?;
    let mut client = KcpStream::connect_early_with(server.local_addr(), config).await?;
    let client_addr = client.local_addr();
    headline(report, 2, "With a goodbye (extended)", client_addr, server.local_addr()).await?;

    let message = now_in_words();
    let echo = tokio::spawn(echo_until_finished(server));
    client.write_all(message.as_bytes()).await?;
    let mut answer = vec![0; message.len()];
    timeout(HOPELESS, client.read_exact(&mut answer)).await.context("the echo did not come")??;
    let client_finished = Instant::now();
    client.finish()?;
    let rest = timeout(HOPELESS, client.read(&mut answer)).await.context("the server did not finish")??;
    let client_knew = Instant::now();
    ensure!(rest == 0, "more came than was sent");
    let (server_knew, server_ending) =
        timeout(HOPELESS, echo).await.context("the server did not end")???;
    let endpoint = client.endpoint();
    let ended = client.closed();
    drop(client);
    let client_ending = timeout(HOPELESS, ended).await.context("the client did not end")?;
    endpoint.wait_idle().await;
    ensure!(answer == message.as_bytes(), "the echo differs from what was sent");

    let ladder = recorder.ladder(client_addr);
    let server_after = server_knew.saturating_duration_since(client_finished);
    let client_after = client_knew.saturating_duration_since(server_knew);
    check_goodbye(&client_ending, &server_ending, message.len())?;
    if report.json() {
        for value in ladder.to_values() {
            report.object(&value).await?;
        }
        let object = json!({
            "report": "part", "part": 2, "server_knew_after_ms": milliseconds(server_after),
            "client_knew_after_ms": milliseconds(client_after), "bytes_each_way": message.len(), "clean": true,
        });
        return report.object(&object).await;
    }
    for line in ladder.to_lines(report.arrows()) {
        report.line(&line).await?;
    }
    let (server, client) = (units::duration(server_after), units::duration(client_after));
    let bytes = units::bytes(message.len() as u64);
    report
        .line(&format!(
            "   The server knew after {server} that the client had finished; then the client after {client}."
        ))
        .await?;
    report.line(&format!("   Both say: finished, code 0, {bytes} each way, nothing lost.")).await
}

/// No deadline: the client says when it has finished. Returns when that was known, and how it ended.
async fn echo_until_finished(server: KcpEndpoint) -> anyhow::Result<(Instant, Ending)> {
    let (mut stream, _peer) = timeout(HOPELESS, server.accept()).await.context("nobody connected")??;
    let mut buffer = vec![0; 1_500];
    loop {
        let len = timeout(HOPELESS, stream.read(&mut buffer)).await.context("the client is silent")??;
        if len == 0 {
            let knew = Instant::now();
            stream.finish()?;
            let ending = timeout(HOPELESS, stream.closed()).await.context("the end did not come")?;
            return Ok((knew, ending));
        }
        stream.write_all(&buffer[..len]).await?;
    }
}

fn check_goodbye(client: &Ending, server: &Ending, bytes: usize) -> anyhow::Result<()> {
    for (who, ending) in [("client", client), ("server", server)] {
        let all = ending.bytes_received == bytes as u64 && ending.bytes_acknowledged == bytes as u64;
        ensure!(ending.is_clean() && ending.code == 0 && all, "the {who} says: {ending}");
    }
    Ok(())
}

/// The third part: written, and closed at once.
async fn close_at_once(report: &Report) -> anyhow::Result<()> {
    let server = KcpEndpoint::bind_with(HERE, Config::new()).await?;
    let mut client = KcpStream::connect_with(server.local_addr(), Config::new()).await?;
    let receiver = tokio::spawn(receive(server));
    let data = pseudorandom(MEBIBYTE);
    let sent_hash: [u8; 32] = Sha256::digest(&data).into();

    let start = Instant::now();
    client.write_all(&data).await?;
    let ended = client.closed();
    drop(client);
    let arrived = receiver.await??;
    let ending = timeout(HOPELESS, ended).await.context("the close did not come to its end")?;
    let took = arrived.last.saturating_duration_since(start);
    let equal = arrived.hash == sent_hash;

    if report.json() {
        let object = json!({
            "report": "part", "part": 3, "bytes_written": MEBIBYTE, "bytes_arrived": arrived.bytes,
            "bytes_acknowledged": ending.bytes_acknowledged, "took_ms": milliseconds(took), "sha256_equal": equal,
        });
        report.object(&object).await?;
    } else {
        let headline = report.paint().bold("3. 1 MiB written, and closed at once");
        let (arrived, written) = (units::count(arrived.bytes as u64), units::bytes(MEBIBYTE as u64));
        let hash = if equal { "SHA-256 equal" } else { "SHA-256 DIFFERS" };
        let took = units::duration(took);
        report.line(&format!("{headline}:   {arrived} of {written} arrived, in {took} ({hash}).")).await?;
    }
    check_delivery(&arrived, equal, &ending)
}

fn check_delivery(arrived: &Arrived, equal: bool, ending: &Ending) -> anyhow::Result<()> {
    ensure!(arrived.bytes == MEBIBYTE, "{} of {MEBIBYTE} bytes arrived", arrived.bytes);
    ensure!(equal, "what arrived is not what was sent");
    if !ending.is_clean() || ending.bytes_acknowledged != MEBIBYTE as u64 {
        bail!("the closing side was not told that all arrived: {ending}");
    }
    Ok(())
}

/// What the receiver has seen.
struct Arrived {
    bytes: usize,
    /// When the last of it came.
    last: Instant,
    /// SHA-256.
    hash: [u8; 32],
}

async fn receive(server: KcpEndpoint) -> anyhow::Result<Arrived> {
    let (mut stream, _peer) = timeout(HOPELESS, server.accept()).await.context("nobody connected")??;
    let mut buffer = vec![0; 64 * 1024];
    let (mut bytes, mut last, mut hash) = (0, Instant::now(), Sha256::new());
    loop {
        let len = timeout(HOPELESS, stream.read(&mut buffer)).await.context("the client is silent")??;
        if len == 0 {
            break;
        }
        hash.update(&buffer[..len]);
        bytes += len;
        last = Instant::now();
    }
    Ok(Arrived { bytes, last, hash: hash.finalize().into() })
}

async fn headline(
    report: &Report,
    part: u32,
    title: &str,
    client: SocketAddr,
    server: SocketAddr,
) -> anyhow::Result<()> {
    if report.json() {
        let object =
            json!({"report": "start", "part": part, "title": title, "client": client, "server": server});
        return report.object(&object).await;
    }
    let title = format!("{part}. {title}");
    let gap = " ".repeat(52_usize.saturating_sub(title.len()));
    let dot = report.arrows().dot;
    report.line(&format!("{}{gap} client {client} {dot} server {server}", report.paint().bold(&title))).await
}

/// Bytes without a pattern, from a fixed seed (xorshift64).
fn pseudorandom(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The time, as the tutorials' clients send it: `2026-11-21 12:00:00.301512907 +0000 UTC by sendoff`.
fn now_in_words() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let nanos = since_epoch.subsec_nanos();
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{nanos:09} +0000 UTC by sendoff")
}

/// The day that lies so many days after 1970-01-01, by the Gregorian calendar.
fn date(mut days: u64) -> (u64, usize, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 0;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        month += 1;
        if days < length {
            break;
        }
        days -= length;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(58), (1970, 2, 28));
        assert_eq!(date(59), (1970, 3, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(19_723), (2024, 1, 1));
        assert_eq!(date(20_088), (2024, 12, 31));
        assert_eq!(date(20_778), (2026, 11, 21));
    }

    #[test]
    fn the_data_has_its_length_and_no_short_period() {
        let data = pseudorandom(1_001);
        assert_eq!(data.len(), 1_001);
        assert_ne!(data[..500], data[500..1_000]);
    }
}
