//! The fourth part: twenty messages, sent back to back, over each transport; as what they arrive.

use super::HOPELESS;
use crate::{report::Report, report::escape, units};
use anyhow::{Context, ensure};
use sendoff::{AnyListener, AnyStream, Framing, Messages};
use serde_json::json;
use tokio::time::timeout;

/// What is sent.
const MESSAGE: &str = "Hello, Hello. How are you?";

/// How often.
const TIMES: usize = 20;

/// Bytes of what came that are shown.
const QUOTE: usize = 39;

/// One way to send them.
struct Way {
    name: &'static str,
    scheme: &'static str,
    settings: &'static str,
    framing: Framing,
    /// Boundaries are kept by nothing but the transport.
    no_codec: bool,
}

fn ways() -> [Way; 4] {
    let way = |name, scheme, settings, framing, no_codec| Way { name, scheme, settings, framing, no_codec };
    [
        way("tcp://", "tcp", "", Framing::none(), false),
        way("tcp:// with --frame le32", "tcp", "", Framing::le32(), false),
        way("kcp:// in message mode", "kcp", "?message", Framing::none(), true),
        way("udp://", "udp", "", Framing::none(), true),
    ]
}

/// Shows it.
///
/// # Errors
/// What differed from what it says.
pub async fn show(report: &Report) -> anyhow::Result<()> {
    if !report.json() {
        let title = format!("4. {MESSAGE:?} {TIMES} times, back to back");
        report.line(&report.paint().bold(&title)).await?;
    }
    for way in ways() {
        let came = way.carry().await.with_context(|| way.name)?;
        let sizes: Vec<usize> = came.iter().map(Vec::len).collect();
        if report.json() {
            let object = json!({
                "report": "boundaries", "part": 4, "transport": way.scheme, "framing": way.framing.to_string(),
                "sent": TIMES, "sizes": sizes,
            });
            report.object(&object).await?;
        } else {
            report.line(&format!("     {:26}{}", way.name, way.in_words(&came, report))).await?;
        }
        way.check(&came)?;
    }
    if report.json() {
        return report.object(&json!({"report": "part", "part": 4})).await;
    }
    report.line("   A stream carries bytes: where a message ends, a length or a line break has to say.").await
}

impl Way {
    /// Sends them all before the other side begins to read.
    async fn carry(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let Self { scheme, settings, framing, .. } = self;
        let listener = AnyListener::bind(format!("{scheme}://127.0.0.1:0{settings}")).await?;
        let client = AnyStream::connect(format!("{scheme}://{}{settings}", listener.local())).await?;
        let mut client = Messages::new(client, *framing);
        for _ in 0..TIMES {
            client.send(MESSAGE).await?;
        }
        client.finish().await?;
        let (server, _peer) = timeout(HOPELESS, listener.accept()).await.context("nobody connected")??;
        let mut server = Messages::new(server, *framing);
        let (mut came, mut bytes) = (Vec::new(), 0);
        // UDP has no end: the last byte is one.
        while bytes < TIMES * MESSAGE.len() {
            let next = timeout(HOPELESS, server.try_next()).await.context("not all has come")??;
            let Some(message) = next else { break };
            bytes += message.len();
            came.push(message.to_vec());
        }
        Ok(came)
    }

    fn marks(&self) -> bool {
        self.no_codec || !self.framing.is_none()
    }

    fn in_words(&self, came: &[Vec<u8>], report: &Report) -> String {
        if self.marks() {
            let codec = if self.no_codec { ", and no codec" } else { "" };
            let size = came.first().map_or(0, Vec::len) as u64;
            return format!(
                "{} of {}{codec}",
                units::plural(came.len() as u64, "message"),
                units::bytes(size)
            );
        }
        let sizes: Vec<String> = came.iter().map(|read| units::count(read.len() as u64)).collect();
        let first = came.first().map_or(&[][..], |read| &read[..read.len().min(QUOTE)]);
        let (reads, sizes) = (units::plural(came.len() as u64, "read"), sizes.join(", "));
        format!("{reads}, of {sizes} bytes: \"{} {}\"", escape(first), report.arrows().ellipsis)
    }

    fn check(&self, came: &[Vec<u8>]) -> anyhow::Result<()> {
        let all = came.concat() == MESSAGE.repeat(TIMES).as_bytes();
        ensure!(all, "{}: what came is not what was sent", self.name);
        let whole = came.len() == TIMES && came.iter().all(|message| message == MESSAGE.as_bytes());
        if self.marks() {
            ensure!(whole, "{}: {} messages came", self.name, came.len());
        } else {
            ensure!(!whole, "{}: nothing stuck together", self.name);
        }
        Ok(())
    }
}
