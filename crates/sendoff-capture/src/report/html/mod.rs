//! A capture as one page: conversations, graphs, and a ladder with an arrow for each datagram.
//!
//! The page is one file that asks for nothing from elsewhere: style, script and data are in it, and its policy forbids
//! the rest. Data is JSON in `<script type="application/json">`, which no browser runs; the script puts it on the page
//! as text only.
//!
//! It is written while the capture is read:
//!
//! ```text
//! head · what it is called
//! packets   4,096 at a time, in columns       up to MAX_SHOWN_PACKETS and MAX_SHOWN_SEGMENTS
//! conversation, with its series               when it is over, up to MAX_LISTED
//! totals · the script
//! ```
//!
//! | file | |
//! |---|---|
//! | `packets.rs`, `columns.rs` | packets for the ladder |
//! | `series.rs`, `bins.rs` | what graphs are drawn from, in constant memory |
//! | `policy.rs` | what keeps data from becoming markup |
//! | `page/` | the page itself: `data.js` reads what `packets.rs` writes |

mod bins;
mod columns;
mod packets;
mod policy;
mod series;

use super::{
    json::{conversation_object, string, totals_object},
    summary::{began, ended, ended_of_tcp},
};
use crate::{
    conversation::{Conversation, Detail, Marks},
    dissector::{CaptureTotals, Dissected},
};
use packets::Packets;
use policy::{content_security_policy, json_in_script, text_in_markup};
use series::Series;
use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

/// Packets that the ladder shows, at most. What comes later is in the graphs and the summaries.
pub const MAX_SHOWN_PACKETS: u64 = 250_000;

/// Segments in these packets, at most; beyond, the ladder ends too.
pub const MAX_SHOWN_SEGMENTS: u64 = 1_000_000;

/// Conversations that have graphs at a time, at most. A later one has when an earlier one is over.
pub const MAX_GRAPHS: usize = 1_024;

/// Conversations in the list, at most; beyond, they are only counted.
pub const MAX_LISTED: u64 = 4_096;

/// Conversations that have graphs in full resolution at a time.
const FINE_GRAPHS: usize = 64;

/// Bins of a side in full resolution.
const FINE_BINS: usize = 1_024;

/// Bins of a side when there are many conversations.
const COARSE_BINS: usize = 128;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = concat!(
    include_str!("page/data.js"),
    include_str!("page/words.js"),
    include_str!("page/dom.js"),
    include_str!("page/list.js"),
    include_str!("page/summary.js"),
    include_str!("page/graphs.js"),
    include_str!("page/panels.js"),
    include_str!("page/table.js"),
    include_str!("page/rows.js"),
    include_str!("page/tip.js"),
    include_str!("page/ladder.js"),
    include_str!("page/main.js"),
);

/// Writes a capture as a page of HTML, while it is read.
#[derive(Debug)]
pub struct HtmlReport<W> {
    out: W,
    packets: Packets,
    series: HashMap<u64, Series>,
    shown_packets: u64,
    shown_segments: u64,
    /// Packets that came after the ladder was full.
    beyond: u64,
    conversations: u64,
    /// Room that is used again.
    json: String,
    text: String,
}

impl<W: Write> HtmlReport<W> {
    /// Begins the page of the capture with that name: `out` is written to in pieces of some 100 kB.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, name: &str) -> io::Result<Self> {
        let mut report = Self {
            out,
            packets: Packets::default(),
            series: HashMap::new(),
            shown_packets: 0,
            shown_segments: 0,
            beyond: 0,
            conversations: 0,
            json: String::new(),
            text: String::new(),
        };
        let mut title = String::new();
        text_in_markup(name, &mut title);
        let policy = content_security_policy(SCRIPT, STYLE);
        let mut rest = PAGE;
        for (mark, content) in [("{{policy}}", &policy[..]), ("{{title}}", &title), ("{{style}}", STYLE)] {
            let (before, behind) = rest.split_once(mark).unwrap_or((rest, ""));
            report.out.write_all(before.as_bytes())?;
            report.out.write_all(content.as_bytes())?;
            rest = behind;
        }
        report.out.write_all(rest.as_bytes())?;
        report.json.push_str("{\"name\":");
        string(&mut report.json, name);
        report.json.push_str(",\"marks\":[");
        for (n, (bit, word)) in Marks::table().enumerate() {
            _ = write!(report.json, "{}[{bit},", if n > 0 { "," } else { "" });
            string(&mut report.json, word);
            report.json.push(']');
        }
        _ = write!(report.json, "],\"isNew\":{}}}", Marks::NEW.bits());
        report.element("head")?;
        Ok(report)
    }

    /// The next packet.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn packet(&mut self, dissected: &Dissected<'_>) -> io::Result<()> {
        let analysis = dissected.analysis;
        if let Some(participant) = analysis.participant {
            let others = self.series.len();
            let room = others < MAX_GRAPHS || self.series.contains_key(&participant.conversation);
            if room {
                let limit = if others < FINE_GRAPHS { FINE_BINS } else { COARSE_BINS };
                let series = self.series.entry(participant.conversation);
                series.or_insert_with(|| Series::new(limit)).packet(dissected, participant.side);
            }
        }
        if self.beyond > 0
            || self.shown_packets >= MAX_SHOWN_PACKETS
            || self.shown_segments >= MAX_SHOWN_SEGMENTS
        {
            self.beyond += 1;
            return Ok(());
        }
        self.shown_packets += 1;
        self.shown_segments += analysis.segments.len() as u64;
        self.packets.push(dissected);
        if self.packets.is_full() { self.write_packets() } else { Ok(()) }
    }

    /// A conversation that is over.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn conversation(&mut self, conversation: &Conversation) -> io::Result<()> {
        let series = self.series.remove(&conversation.number);
        self.conversations += 1;
        if self.conversations > MAX_LISTED {
            return Ok(());
        }
        self.json.push_str("{\"told\":");
        conversation_object(conversation, &mut self.json);
        let (began, ended) = match &conversation.detail {
            Detail::Kcp(kcp) => (began(kcp), ended(kcp)),
            Detail::Tcp(tcp) if tcp.sides.iter().any(|side| side.syn) => ("with SYN", ended_of_tcp(tcp)),
            Detail::Tcp(tcp) => ("not seen, the capture begins in the middle", ended_of_tcp(tcp)),
            Detail::Udp => ("", String::new()),
        };
        self.json.push_str(",\"began\":");
        string(&mut self.json, began);
        self.json.push_str(",\"ended\":");
        string(&mut self.json, &ended);
        if let Some(series) = series {
            self.json.push_str(",\"series\":");
            series.write(packets::micros(conversation.last) as u64, &mut self.json);
        }
        self.json.push('}');
        self.element("conversation")
    }

    /// Ends the page. `origin` is when the first packet came, since 1970; `trouble` says why the capture was read no
    /// further, if it wasn't read to its end.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(
        mut self,
        totals: &CaptureTotals,
        origin: Option<Duration>,
        trouble: Option<&str>,
    ) -> io::Result<W> {
        self.write_packets()?;
        self.json.push_str("{\"totals\":");
        totals_object(totals, &mut self.json);
        _ = write!(self.json, ",\"beyond\":{}", self.beyond);
        _ = write!(self.json, ",\"unlisted\":{}", self.conversations.saturating_sub(MAX_LISTED));
        if let Some(origin) = origin {
            // Microseconds: a double has as many digits until the year 2255.
            _ = write!(self.json, ",\"origin\":{}", origin.as_micros());
        }
        if let Some(trouble) = trouble {
            self.json.push_str(",\"trouble\":");
            string(&mut self.json, trouble);
        }
        self.json.push('}');
        self.element("end")?;
        self.out.write_all(b"<script type=\"module\">")?;
        self.out.write_all(SCRIPT.as_bytes())?;
        self.out.write_all(b"</script>\n</body>\n</html>\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_packets(&mut self) -> io::Result<()> {
        if self.packets.is_empty() {
            return Ok(());
        }
        self.packets.take(&mut self.json);
        self.element("packets")
    }

    /// Writes the JSON that has come together as an element of that class.
    fn element(&mut self, class: &str) -> io::Result<()> {
        self.text.clear();
        _ = write!(self.text, "<script type=\"application/json\" class=\"{class}\">");
        json_in_script(&self.json, &mut self.text);
        self.text.push_str("</script>\n");
        self.json.clear();
        self.out.write_all(self.text.as_bytes())
    }
}
