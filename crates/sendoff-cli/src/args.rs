//! The command line.

use crate::{
    commands::{capture::CaptureArgs, dissect::DissectArgs},
    messages::MessageArgs,
    report::ColorWhen,
    settings::SettingFlags,
};
use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;
use sendoff::settings::{parse_duration, parse_duration_above_zero};
use std::{ffi::OsString, path::PathBuf, time::Duration};

const TEMPLATE: &str = "\
{about}
Usage: {usage}

Commands:
{subcommands}{after-help}";

const ADDRESSES: &str = "\
Addresses: kcp://HOST:PORT (default scheme), tcp://, udp://; :PORT alone listens on all; IPv6 in brackets
Settings:  --crypt aes-128-gcm --key-file F --fec 10/3 --profile fast3 --wire classic …
           or in the address, quoted: 'kcp://host:29900?profile=fast3,key-file=F'
           (all of them: sendoff connect -h)
Messages:  --frame le32 --format hex …
More:      sendoff man, sendoff completions SHELL
Options:   -v, -q, --json, --color WHEN, --capture FILE, -h, -V
Exit:      0 ended well, 1 refused, reset or timed out, 2 usage, 130 interrupted";

const CONNECT_HELP: &str = "\
Where there are messages (--frame, --message-mode, udp://) each line of stdin is one, without its end, and each
that comes is a line of stdout. Without, bytes pass as they are.
SIGINT or SIGTERM ends gracefully: what was read is delivered first; a second one ends at once.
Exit: 0 ended well, 1 refused, reset or timed out, 2 usage, 130 interrupted.";

/// Reliable UDP (KCP) for people and programs.
#[derive(Debug, Parser)]
#[command(
    name = "sendoff",
    version,
    about = "Reliable UDP (KCP) that says goodbye, and works with every KCP peer; TCP and UDP too",
    override_usage = "sendoff <COMMAND> [OPTIONS]",
    help_template = TEMPLATE,
    after_help = ADDRESSES,
    max_term_width = 110,
    disable_help_subcommand = true,
    infer_long_args = false
)]
pub struct Args {
    /// How to speak.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command has.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Say what goes on inside, on stderr (-vv: more)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// No events on stderr, only errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Reports and events as JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        global = true,
        hide_possible_values = true
    )]
    pub color: ColorWhen,
}

/// The commands there are.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work on this machine, in a few seconds
    #[command(after_help = "Exit: 0 all went as it says, 1 something differed, 130 interrupted.")]
    Demo,
    /// Accept connections: print, --echo, --once, or -- COMMAND
    #[command(after_help = LISTEN_HELP)]
    Listen(ListenArgs),
    /// stdin to the peer, the peer to stdout
    #[command(after_help = CONNECT_HELP)]
    Connect(ConnectArgs),
    /// Is a KCP server there, and how far away?
    #[command(after_help = PING_HELP)]
    Ping(PingArgs),
    /// Measure on this machine
    Bench(BenchArgs),
    /// Explain a capture, from the link to your bytes
    #[command(after_help = DISSECT_HELP)]
    Dissect(DissectArgs),
    /// Print a completion script for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page
    #[command(hide = true)]
    Man,
}

const LISTEN_HELP: &str = "\
Without --echo, --once and COMMAND each line that comes is printed with the number of its connection, and each
message (--frame, --message-mode, udp://) with its sender, transport and size; control characters are escaped. A line
longer than 64 KiB is cut, and that is said. --once alone ends when the peer has finished or is gone; a stock KCP
peer and UDP can't say so: --read-timeout.
COMMAND runs for each connection, without a shell: its stdin is what comes, its stdout goes to the peer (each message
a line, unless --stdio raw), its stderr is ours. In its environment: SENDOFF_PEER, SENDOFF_LOCAL, SENDOFF_TRANSPORT. When its stdout ends, the peer is told: over KCP with
code 0, or 256 + its exit status (384 + N: killed by signal N; 383: could not be started). When the peer is gone, its stdin
ends; after 2 s it gets SIGTERM, 2 s later SIGKILL.
SIGTERM ends as a server should: newcomers are refused, every KCP peer that can be told is told (connect and the library
say so there), and connections have --drain-timeout to end by themselves; the rest is reset with code 4.
SIGINT (Ctrl-C) ends them now: what is under way is delivered first. A second signal ends at once.
Exit: 0 interrupted, and all connections ended; 1 the socket failed; 2 usage; 130 interrupted twice.
With --once: 1 refused, reset or timed out; 130 interrupted before the end.";

/// `listen`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "sendoff listen [OPTIONS] <ADDR> [-- COMMAND [ARGS]...]")]
pub struct ListenArgs {
    /// Where to listen: HOST:PORT, or :PORT for all addresses; port 0 takes a free one
    #[arg(value_name = "ADDR")]
    pub address: String,
    /// Send back what comes
    #[arg(long)]
    pub echo: bool,
    /// Print what comes, with --echo or --once too
    #[arg(long)]
    pub print: bool,
    /// One connection, then exit; alone: stdin to the peer and the peer to stdout, raw
    #[arg(long)]
    pub once: bool,
    /// Run this for each connection, as its stdin and stdout
    #[arg(value_name = "COMMAND", last = true, conflicts_with_all = ["echo", "print", "code", "reason"])]
    pub command: Vec<OsString>,
    /// Close a connection from which nothing has come for so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration_above_zero, allow_hyphen_values = true)]
    pub read_timeout: Option<Duration>,
    /// Close a connection on which nothing has moved for so long, in either direction
    #[arg(long, value_name = "TIME", value_parser = parse_duration_above_zero, allow_hyphen_values = true)]
    pub idle_timeout: Option<Duration>,
    /// Connections at a time; further ones are refused
    #[arg(long, value_name = "N", value_parser = parse_connections, allow_hyphen_values = true)]
    pub max_connections: Option<usize>,
    /// How long connections may take to end by themselves after SIGTERM; then they are reset
    #[arg(long, value_name = "TIME", default_value = "8s", conflicts_with = "once", value_parser = parse_duration, allow_hyphen_values = true)]
    pub drain_timeout: Duration,
    /// Take the port over from the listener that was started with the same PATH, if there is one: its
    /// connections stay there until they end, what is new comes here (KCP, Unix, one driver)
    #[arg(long, value_name = "PATH", conflicts_with = "once")]
    pub takeover: Option<PathBuf>,
    /// Where messages begin and end.
    #[command(flatten)]
    pub messages: MessageArgs,
    /// What is said at the end.
    #[command(flatten)]
    pub farewell: FarewellArgs,
    /// Into a file.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Settings of the connections.
    #[command(flatten)]
    pub settings: SettingFlags<false>,
}

fn parse_connections(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "must be 1 or more".into())
}

/// `connect`.
#[derive(Debug, clap::Args)]
pub struct ConnectArgs {
    /// Whom to call: HOST:PORT
    #[arg(value_name = "ADDR")]
    pub address: String,
    /// Leave as soon as all is delivered, without waiting for an answer
    #[arg(long, conflicts_with = "quit_after")]
    pub send_only: bool,
    /// Leave after so long a silence, once stdin has ended and all is delivered; or off [2s towards stock
    /// KCP and UDP, which can't say that they have finished]
    #[arg(long, value_name = "TIME", value_parser = parse_quit_after, allow_hyphen_values = true)]
    pub quit_after: Option<QuitAfter>,
    /// What is said at the end
    #[command(flatten)]
    pub farewell: FarewellArgs,
    /// Let the first data ride with the opening: a round trip less, for what may safely come twice (KCP)
    #[arg(long)]
    pub early: bool,
    /// Send this instead of stdin
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub message: Option<String>,
    /// Send the message so many times
    #[arg(long, value_name = "N", default_value_t = 1, requires = "message", value_parser = parse_repeat, allow_hyphen_values = true)]
    pub repeat: u64,
    /// Where messages begin and end.
    #[command(flatten)]
    pub messages: MessageArgs,
    /// Into a file.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Settings of the connection.
    #[command(flatten)]
    pub settings: SettingFlags<true>,
}

/// What an extended KCP peer is told when we finish.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FarewellArgs {
    /// Code that the peer gets when we finish: 0, or one of yours from 16 on (KCP)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_code, allow_hyphen_values = true)]
    pub code: u32,
    /// Reason that goes with it, up to 256 bytes (KCP)
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = parse_reason, allow_hyphen_values = true)]
    pub reason: String,
}

fn parse_code(text: &str) -> Result<u32, String> {
    let taken = |code: &u32| *code == 0 || *code >= 16;
    text.parse().ok().filter(taken).ok_or_else(|| "must be 0, or 16 to 4294967295".into())
}

fn parse_reason(text: &str) -> Result<String, String> {
    match text.len() {
        ..=256 => Ok(text.into()),
        len => Err(format!("has {len} bytes: must be at most 256")),
    }
}

/// How long a silence ends `connect`; `None` waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuitAfter(pub Option<Duration>);

fn parse_quit_after(text: &str) -> Result<QuitAfter, String> {
    match text {
        "off" => Ok(QuitAfter(None)),
        _ => parse_duration(text).map(|d| QuitAfter(Some(d))).map_err(|e| format!("{e}, or off")),
    }
}

fn parse_repeat(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "must be 1 or more".into())
}

const DISSECT_HELP: &str = "\
A line for each packet, then a summary for each conversation. -v prints every field of every layer.
--live IFACE takes them from an interface (root, Linux), and ends with Ctrl-C.
KCP is found by itself: bare, with forward error correction, and sealed, if the secret is given.
Bytes that the capture lacks are said, with exit code 1; a broken file is told as far as it can be read.
Exit: 0 all of it was read, or --live interrupted, 1 it could not be, or bytes are missing, 2 usage.";

const PING_HELP: &str = "\
Works with any KCP server, and tells which kind it is. An extended one keeps nothing of it, and answers at once.
A stock server opens an empty connection for that. At most one is left there: each probe is of a
new conversation from the same port, which takes the place of the last.
It may answer at its next flush: then a time includes up to its interval, often up to 100 ms.
--size finds the path's MTU: the largest size that is answered is the largest --mtu that arrives whole. A probe that a
link or a router refuses is said to be too large, with the path's MTU; where routers say nothing, it gets no answer.
Answers are small: the way back is not tried. Stock servers take no more than 1,500 bytes (kcp-go).
Settings in the address are checked; those of encryption count.
Exit: 0 something answered (also when interrupted), 1 nothing did, 2 usage, 130 interrupted twice.";

/// `ping`.
#[derive(Debug, clap::Args)]
pub struct PingArgs {
    /// Whom to ask: HOST:PORT
    #[arg(value_name = "ADDR")]
    pub address: String,
    /// Stop after N probes [until interrupted]
    #[arg(short, long, value_name = "N", value_parser = parse_repeat, allow_hyphen_values = true)]
    pub count: Option<u64>,
    /// From one probe to the next
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = parse_interval, allow_hyphen_values = true)]
    pub interval: Duration,
    /// Into a file.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Bytes of UDP payload of each probe, which must not be fragmented [56, and what encryption takes]
    #[arg(short, long, value_name = "BYTES", allow_hyphen_values = true)]
    pub size: Option<usize>,
    /// A sealed server answers none but sealed probes.
    #[command(flatten)]
    pub settings: SettingFlags<true, true>,
    /// How long to wait for an answer
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "2", value_parser = parse_duration_above_zero, allow_hyphen_values = true)]
    pub timeout: Duration,
}

/// `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// What is measured.
    #[command(subcommand)]
    pub kind: BenchKind,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchKind {
    /// How fast each cipher seals and opens datagrams, in this process, on one core
    #[command(after_help = "MB/s are of whole datagrams; 1 MB is a million bytes.")]
    Ciphers(BenchCiphersArgs),
}

/// `bench ciphers`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct BenchCiphersArgs {
    /// Bytes of a datagram, 64 to 65507
    #[arg(long, value_name = "BYTES", default_value_t = 1_400, value_parser = parse_datagram_size, allow_hyphen_values = true)]
    pub size: usize,
    /// Time for each cipher
    #[arg(long, value_name = "TIME", default_value = "400ms", value_parser = parse_duration_above_zero, allow_hyphen_values = true)]
    pub time: Duration,
}

fn parse_datagram_size(text: &str) -> Result<usize, String> {
    let fits = |size: &usize| (64..=65_507).contains(size);
    text.parse().ok().filter(fits).ok_or_else(|| "must be 64 to 65507 bytes".into())
}

/// Probes cost the other side a connection each: no floods.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

fn parse_interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        interval if interval < SHORTEST_INTERVAL => Err("must be at least 10ms".into()),
        interval => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_follow_or_precede_the_address() {
        for line in ["sendoff connect -q h:1 --send-only", "sendoff -q connect --send-only h:1"] {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            assert!(args.output.quiet);
            let Command::Connect(connect) = args.command else { panic!("{line}") };
            assert!(connect.send_only && connect.address == "h:1");
            assert_eq!((connect.quit_after, connect.farewell.code), (None, 0));
        }
    }

    #[test]
    fn a_command_has_options_of_its_own() {
        let args =
            Args::try_parse_from("sendoff listen :1 --once -- grep --line-buffered x".split(' ')).unwrap();
        let Command::Listen(listen) = args.command else { panic!("no listen") };
        assert_eq!((listen.address.as_str(), listen.once), (":1", true));
        assert_eq!(listen.command, ["grep", "--line-buffered", "x"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "sendoff",
            "sendoff fly",
            "sendoff connect",
            "sendoff connect h:1 h:2",
            "sendoff connect h:1 --send-only --quit-after 1s",
            "sendoff connect h:1 --repeat 2",
            "sendoff connect h:1 --message x --repeat 0",
            "sendoff connect h:1 --quit-after soon",
            "sendoff connect h:1 --code 5",
            "sendoff listen :1 --code -1",
            "sendoff ping h:1 -c 0",
            "sendoff ping h:1 --mtu 100",
            "sendoff bench",
            "sendoff bench ciphers --size 63",
            "sendoff ping h:1 -i 1ms",
            "sendoff listen :1 --read-timeout 0",
            "sendoff listen :1 --connect-timeout 1s",
            "sendoff listen :1 --idle-timeout 0",
            "sendoff listen :1 --max-connections 0",
            "sendoff listen :1 --echo -- cat",
            "sendoff listen :1 --code 17 -- cat",
            "sendoff listen :1 --frame le31",
            "sendoff listen :1 --frame-limit 5",
            "sendoff listen :1 --format xml",
            "sendoff connect h:1 -- cat",
        ] {
            let error = Args::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
