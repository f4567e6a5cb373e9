//! Every field of a packet for a person: place, bytes, name, meaning.

use super::{
    fields::{Field, FieldSink, LayerGroup, all_fields, source_words},
    pen,
};
use crate::{
    dissector::Dissected,
    layers::{Source, Span},
};
use std::{
    fmt::{Arguments, Write},
    str::FromStr,
};

/// Which layers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerChoice(u16);

impl Default for LayerChoice {
    /// All.
    fn default() -> Self {
        Self(u16::MAX)
    }
}

impl LayerChoice {
    /// Whether a group is told.
    pub fn has(self, group: LayerGroup) -> bool {
        self.0 & 1 << group as u16 != 0
    }
}

/// No group of layers has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no layer: must be some of frame, link, arp, ip, icmp, udp, tcp, seal, fec, kcp, block, data"
)]
pub struct UnknownLayer(String);

impl FromStr for LayerChoice {
    type Err = UnknownLayer;

    /// Names with commas between them.
    fn from_str(text: &str) -> Result<Self, UnknownLayer> {
        let mut chosen = Self(0);
        for name in text.split(',') {
            let found = LayerGroup::ALL.into_iter().find(|(_, known)| *known == name.trim());
            let (group, _) = found.ok_or_else(|| UnknownLayer(name.to_owned()))?;
            chosen.0 |= 1 << group as u16;
        }
        Ok(chosen)
    }
}

/// Bytes that stand in a row.
const ROW: usize = 16;

/// Writes every field of a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verbose {
    layers: LayerChoice,
}

impl Verbose {
    /// Of these layers only.
    pub fn new(layers: LayerChoice) -> Self {
        Self { layers }
    }

    /// Appends the fields of a packet, a line each.
    pub fn write(&self, dissected: &Dissected<'_>, out: &mut String) {
        all_fields(dissected, &mut Writer { layers: self.layers, out });
    }
}

struct Writer<'a> {
    layers: LayerChoice,
    out: &'a mut String,
}

impl FieldSink for Writer<'_> {
    fn layer(&mut self, group: LayerGroup, title: Arguments<'_>, span: Option<Span>) -> bool {
        if !self.layers.has(group) {
            return false;
        }
        _ = write!(self.out, "       {title}");
        if let Some(span) = span {
            let last = span.end.saturating_sub(1).max(span.start);
            _ = write!(self.out, ", bytes {} to {last}", span.start);
            if span.source != Source::Packet {
                _ = write!(self.out, " of {}", source_words(span.source));
            }
        }
        self.out.push('\n');
        true
    }

    fn field(&mut self, field: Field<'_>) {
        let Field { span, bytes, name, value } = field;
        self.out.push_str("       ");
        pen::right(self.out, span.start.into(), 6);
        self.out.push_str("  ");
        let from = self.out.len();
        pen::hex(self.out, &bytes[..bytes.len().min(ROW)]);
        // Short fields stand in a narrow column, rows of data in a wide one.
        let width = if name.is_empty() { ROW * 3 } else { 8 * 3 };
        let written = self.out.len() - from;
        self.out.extend(std::iter::repeat_n(' ', width.saturating_sub(written)));
        _ = match name {
            "" => write!(self.out, " {value}"),
            name => write!(self.out, " {name}: {value}"),
        };
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
    }

    fn note(&mut self, note: Arguments<'_>) {
        _ = writeln!(self.out, "         {note}");
    }
}
