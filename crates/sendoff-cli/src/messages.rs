//! Where messages begin and end, and how they are shown: flags, and what they mean for an address.

use crate::{exit::Usage, report::Report};
use clap::ValueEnum;
use sendoff::{Address, Framing, Mode, Options};

/// Flags about messages.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Messages")]
pub struct MessageArgs {
    /// How messages are marked in a stream: u8, le16, be16, le32, be32, le64, be64 (a length before each),
    /// varint, lines; or none
    #[arg(long, value_name = "FRAMING", value_parser = parse_framing)]
    pub frame: Option<Framing>,
    /// The longest message, in bytes [16777216]
    #[arg(long, value_name = "BYTES", requires = "frame", value_parser = parse_limit, allow_hyphen_values = true)]
    pub frame_limit: Option<usize>,
    /// Messages on stdin and stdout, ours or COMMAND's: lines, or raw as they are read and come [lines]
    #[arg(long, value_name = "lines|raw", value_enum, hide_possible_values = true)]
    pub stdio: Option<Stdio>,
    /// Print what comes as text (escaped), hex or json
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    pub format: Option<Format>,
}

/// How messages pass through pipes, which keep no boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stdio {
    /// Each line is a message.
    Lines,
    /// What one read brings is a message; what comes is written as it is.
    Raw,
}

/// How what comes is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Escaped.
    Text,
    /// Two digits a byte.
    Hex,
    /// An object a line.
    Json,
}

fn parse_framing(text: &str) -> Result<Framing, String> {
    text.parse().map_err(|error: sendoff::ParseFramingError| match error {
        // The flag and the value stand in front of it.
        sendoff::ParseFramingError::Name(_) => requirement(&error),
        _ => error.to_string(),
    })
}

fn requirement(error: &impl ToString) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or(text.clone(), |(_, requirement)| requirement.to_owned())
}

fn parse_limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "must be 1 or more bytes".into())
}

/// What is a message on the connections of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What marks messages within what the transport carries.
    pub framing: Framing,
    /// The transport keeps boundaries by itself.
    pub own: bool,
    /// Nothing marks messages, and the user wants to see each read.
    pub reads: bool,
    /// Messages pass through pipes as lines.
    pub lines: bool,
    /// An empty message is none: KCP has none.
    pub skips_empty: bool,
}

impl Cut {
    /// From flags, the address and its settings.
    ///
    /// # Errors
    /// What doesn't fit together.
    pub fn new(args: &MessageArgs, address: &Address, options: &Options) -> Result<Self, Usage> {
        let mut framing = args.frame.unwrap_or(Framing::none());
        if let Some(limit) = args.frame_limit {
            if framing.to_string().contains(":limit=") {
                return Err(Usage(format!("--frame-limit {limit}: given twice, first as --frame {framing}")));
            }
            framing = framing.limit(limit);
        }
        let message_mode = address.scheme() == "kcp" && options.kcp.mode_value() == Mode::Message;
        let own = message_mode || address.scheme() == "udp";
        let messages = own || !framing.is_none();
        if args.stdio == Some(Stdio::Lines) && !messages {
            let problem = "--stdio lines: a stream of bytes has no messages: choose a --frame";
            return Err(Usage(problem.into()));
        }
        Ok(Self {
            framing,
            own,
            reads: !messages && (args.frame.is_some() || args.format == Some(Format::Hex)),
            lines: messages && args.stdio != Some(Stdio::Raw),
            skips_empty: message_mode && framing.is_none(),
        })
    }

    /// Whether what is sent and received are messages.
    pub fn has_messages(&self) -> bool {
        self.own || !self.framing.is_none()
    }
}

impl Format {
    /// The one that was asked for.
    ///
    /// # Errors
    /// One that contradicts `--json`.
    pub fn chosen(args: &MessageArgs, report: &Report) -> Result<Option<Self>, Usage> {
        match args.format {
            Some(Self::Text) if report.json() => Err(Usage("--format text: not with --json".into())),
            Some(Self::Hex) if report.json() => Err(Usage("--format hex: not with --json".into())),
            format => Ok(format),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(address: &str, args: MessageArgs) -> Result<Cut, Usage> {
        let address: Address = address.parse().unwrap();
        let options = sendoff::settings::apply(&address, &[], true, Options::new()).unwrap();
        Cut::new(&args, &address, &options)
    }

    #[test]
    fn transports_with_boundaries_have_messages_without_a_framing() {
        for (address, own) in
            [("tcp://h:1", false), ("h:1", false), ("h:1?message", true), ("udp://h:1", true)]
        {
            let cut = cut(address, MessageArgs::default()).unwrap();
            assert_eq!(
                (cut.own, cut.has_messages(), cut.lines, cut.reads),
                (own, own, own, false),
                "{address}"
            );
        }
    }

    #[test]
    fn a_framing_gives_every_stream_messages() {
        let args =
            MessageArgs { frame: Some(Framing::le32()), frame_limit: Some(5), ..MessageArgs::default() };
        let cut = cut("tcp://h:1", args).unwrap();
        assert_eq!((cut.has_messages(), cut.own, cut.framing), (true, false, Framing::le32().limit(5)));
    }

    #[test]
    fn only_where_nothing_marks_messages_reads_are_shown() {
        let none = || MessageArgs { frame: Some(Framing::none()), ..MessageArgs::default() };
        let hex = || MessageArgs { format: Some(Format::Hex), ..MessageArgs::default() };
        assert!(cut("tcp://h:1", none()).unwrap().reads && cut("tcp://h:1", hex()).unwrap().reads);
        assert!(!cut("udp://h:1", none()).unwrap().reads && !cut("udp://h:1", hex()).unwrap().reads);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let lines = MessageArgs { stdio: Some(Stdio::Lines), ..MessageArgs::default() };
        assert!(cut("tcp://h:1", lines.clone()).is_err() && cut("udp://h:1", lines).is_ok());
        let twice = MessageArgs {
            frame: Some(Framing::le32().limit(7)),
            frame_limit: Some(5),
            ..MessageArgs::default()
        };
        let error = cut("tcp://h:1", twice).unwrap_err();
        assert_eq!(error.0, "--frame-limit 5: given twice, first as --frame le32:limit=7");
    }

    #[test]
    fn a_bad_framing_is_told_what_would_do() {
        let error = parse_framing("le31").unwrap_err();
        assert!(error.starts_with("must be u8, le16, "), "{error}");
        assert!(parse_framing("le32:limit=x").unwrap_err().contains("must be a number of bytes"));
    }
}
