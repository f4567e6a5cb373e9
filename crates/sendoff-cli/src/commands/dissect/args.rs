//! The arguments of `dissect`.

use sendoff::Cipher;
use sendoff_capture::{conversation::Side, report::LayerChoice, stream::Framing};
use std::path::PathBuf;

/// `dissect`.
#[derive(Debug, clap::Args)]
pub struct DissectArgs {
    /// The capture: pcapng or pcap; - is stdin
    #[arg(value_name = "FILE", required_unless_present_any = ["live", "wireshark_plugin"])]
    pub file: Option<PathBuf>,
    /// Instead of a file: what passes on this interface, until Ctrl-C; any is all of them (Linux, root)
    #[arg(long, value_name = "IFACE", conflicts_with = "file")]
    pub live: Option<String>,
    /// Only UDP and TCP from or to this port
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Stop after so many packets
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Keep the packets in a pcapng file, too
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub write: Option<PathBuf>,
    /// Write the bytes that this side's application sent to stdout, exactly; the client spoke first
    #[arg(long, value_name = "SIDE", value_enum, conflicts_with_all = ["json", "layers"])]
    pub follow: Option<SideName>,
    /// Write a page to look at into this file, and nothing else; - is stdout
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "layers", "follow"])]
    pub html: Option<PathBuf>,
    /// Only this conversation [with --follow: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub conversation: Option<u64>,
    /// Cut the streams into frames: le32, be32 or lines
    #[arg(long, value_name = "KIND", value_parser = parse_frame)]
    pub frame: Option<Framing>,
    /// Tell the frames of smux in the streams of KCP, with snappy around them or without, as kcptun sends them
    #[arg(long, conflicts_with_all = ["frame", "follow"])]
    pub smux: bool,
    /// With --follow: only this stream of smux
    #[arg(long, value_name = "ID", requires = "follow", conflicts_with = "frame")]
    pub stream: Option<u32>,
    /// Take the secret of the cipher from a file [SENDOFF_KEY]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The cipher, as kcptun calls it [found by trying]
    #[arg(long, value_name = "NAME", value_parser = parse_crypt)]
    pub crypt: Option<Cipher>,
    /// Every field, as with -v, of these layers only: frame,link,arp,ip,icmp,udp,tcp,seal,fec,kcp,block,data
    #[arg(long, value_name = "LIST", value_parser = parse_layers)]
    pub layers: Option<LayerChoice>,
    /// Print a dissector of KCP for Wireshark and tshark (Lua), and nothing else
    #[arg(long, exclusive = true)]
    pub wireshark_plugin: bool,
}

/// A side, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SideName {
    /// Spoke first.
    Client,
    /// The other.
    Server,
}

impl From<SideName> for Side {
    fn from(name: SideName) -> Side {
        match name {
            SideName::Client => Side::Client,
            SideName::Server => Side::Server,
        }
    }
}

fn parse_frame(text: &str) -> Result<Framing, String> {
    text.parse().map_err(|error: sendoff_capture::stream::UnknownFraming| error.to_string())
}

fn parse_layers(text: &str) -> Result<LayerChoice, String> {
    text.parse().map_err(|error: sendoff_capture::report::UnknownLayer| error.to_string())
}

fn parse_crypt(text: &str) -> Result<Cipher, String> {
    let names = || Cipher::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_| format!("must be one of {}", names()))
}
