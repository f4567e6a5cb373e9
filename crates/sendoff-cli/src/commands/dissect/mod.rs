//! `dissect`: explains a capture, from the link to the application's bytes.

mod args;
mod html;
#[cfg(target_os = "linux")]
mod live;
mod output;

pub use args::DissectArgs;

use super::block_on;
use crate::{
    args::OutputArgs,
    exit::{Outcome, Usage},
    leftovers,
    report::Report,
};
use anyhow::{Context, anyhow};
use output::Output;
use sendoff_capture::{
    CaptureTotals, Dissected, Dissector, Follow, FollowReport, Options, PacketReader,
    above::KeyOptions,
    conversation::Conversation,
    report::{
        LayerChoice, Lines, Signs, Verbose, WIRESHARK_PLUGIN, closing, conversation_object, packet_object,
        summary, totals_object,
    },
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

/// Runs `dissect`.
///
/// # Errors
/// The file can't be read, or not to its end: what could be read has been told. With `--follow`: bytes are missing.
pub fn run(args: DissectArgs, output: OutputArgs, report: &Report) -> anyhow::Result<Outcome> {
    if args.wireshark_plugin {
        let mut out = Output::new(None);
        out.text().push_str(WIRESHARK_PLUGIN);
        return out.finish().map(|()| Outcome::Well);
    }
    let options = options(&args)?;
    if let Some(interface) = args.live.clone() {
        return watch(&interface, options, args, output, report);
    }
    match &args.html {
        Some(page) if page.as_os_str() != "-" => interruptible(args, options, output, report.clone()),
        _ => explain_file(options, &args, output, report),
    }
}

/// A signal leaves no part of a page behind; everything else of `dissect` it may end as it ends any process.
fn interruptible(
    args: DissectArgs,
    options: Options,
    output: OutputArgs,
    report: Report,
) -> anyhow::Result<Outcome> {
    block_on(|mut interrupts| async move {
        let mut told = tokio::task::spawn_blocking(move || explain_file(options, &args, output, &report));
        tokio::select! {
            told = &mut told => told?,
            () = interrupts.first() => {
                leftovers::remove();
                Ok(Outcome::Interrupted)
            }
        }
    })
}

fn explain_file(
    options: Options,
    args: &DissectArgs,
    output: OutputArgs,
    report: &Report,
) -> anyhow::Result<Outcome> {
    let file = args.file.clone().unwrap_or_default();
    let name = file.display().to_string();
    let reader: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&file).with_context(|| name.clone())?)
    };
    let source = Source { reader, caught_up: None, name };
    explain_source(source, options, args, output, report)
}

#[cfg(target_os = "linux")]
use live::run as watch;

#[cfg(not(target_os = "linux"))]
fn watch(
    interface: &str,
    _: Options,
    args: DissectArgs,
    _: OutputArgs,
    _: &Report,
) -> anyhow::Result<Outcome> {
    _ = (args.port, args.count, args.write);
    Err(Usage(format!("--live {interface}: only on Linux; elsewhere: dumpcap -w - | sendoff dissect -"))
        .into())
}

/// Where a capture comes from.
struct Source {
    reader: Box<dyn Read>,
    /// Says of one that goes on when all that there is has been read.
    caught_up: Option<Arc<AtomicBool>>,
    /// In errors.
    name: String,
}

fn explain_source(
    source: Source,
    options: Options,
    args: &DissectArgs,
    output: OutputArgs,
    report: &Report,
) -> anyhow::Result<Outcome> {
    let Source { reader, caught_up, name } = source;
    let reader = PacketReader::new(reader).with_context(|| name.clone())?;
    let dissector = Dissector::new(options);
    if let Some(to) = &args.html {
        // The page is passed on: where the capture lies here is nobody else's business.
        let shown = Path::new(&name).file_name().map_or(name.as_str().into(), |file| file.to_string_lossy());
        html::write(reader, dissector, &shown, to, args.conversation)?.with_context(|| name.clone())?;
        return Ok(Outcome::Well);
    }
    let out = Output::new(caught_up);
    match args.follow {
        Some(_) => follow(reader, dissector, &name, args, (out, report)),
        None => explain(reader, dissector, &name, Teller::new(args, output, out, report)),
    }
}

fn options(args: &DissectArgs) -> anyhow::Result<Options> {
    let secret = match &args.key_file {
        Some(path) => {
            let shown = path.display();
            let mut secret = std::fs::read(path).with_context(|| format!("--key-file {shown}"))?;
            // Editors end a file with a line feed, which nobody means.
            while secret.last().is_some_and(|last| b"\r\n".contains(last)) {
                secret.pop();
            }
            Some(secret)
        }
        None => std::env::var_os("SENDOFF_KEY").map(std::ffi::OsString::into_encoded_bytes),
    };
    if let Some(cipher) = args.crypt
        && cipher.key_len() > 0
        && secret.is_none()
    {
        let problem = format!("--crypt {cipher}: needs a secret, from --key-file or SENDOFF_KEY");
        return Err(Usage(problem).into());
    }
    let follow = args.follow.map(|side| Follow { side: side.into(), conversation: args.conversation });
    let keys = KeyOptions { cipher: args.crypt, secret };
    Ok(Options { keys, framing: args.frame, follow, smux: args.smux, stream: args.stream })
}

/// What is told of packets and conversations.
struct Teller {
    json: bool,
    fields: Option<LayerChoice>,
    conversation: Option<u64>,
    signs: Signs,
    lines: Lines,
    verbose: Verbose,
    out: Output,
}

impl Teller {
    fn new(args: &DissectArgs, output: OutputArgs, out: Output, report: &Report) -> Self {
        let signs = report.arrows().signs();
        let layers = args.layers.unwrap_or_default();
        let all_fields = output.verbose > 0 || args.layers.is_some();
        Self {
            json: report.json(),
            fields: all_fields.then_some(layers),
            conversation: args.conversation,
            signs,
            lines: Lines::new(signs),
            verbose: Verbose::new(layers),
            out,
        }
    }

    fn packet(&mut self, dissected: &Dissected<'_>) -> anyhow::Result<()> {
        let of = dissected.analysis.participant.map(|participant| participant.conversation);
        if self.conversation.is_some() && of != self.conversation {
            return Ok(());
        }
        let text = self.out.text();
        if self.json {
            packet_object(dissected, self.fields, text);
        } else {
            self.lines.write(dissected, text);
            if self.fields.is_some() {
                self.verbose.write(dissected, text);
                text.push('\n');
            }
        }
        self.out.pass_on()
    }

    fn conversations(&mut self, conversations: &[Conversation]) -> anyhow::Result<()> {
        for conversation in conversations {
            if self.conversation.is_some_and(|wanted| wanted != conversation.number) {
                continue;
            }
            let text = self.out.text();
            if self.json {
                conversation_object(conversation, text);
            } else {
                text.push('\n');
                summary(conversation, self.signs, text);
            }
            self.out.pass_on()?;
        }
        Ok(())
    }
}

fn explain(
    mut reader: PacketReader<Box<dyn Read>>,
    mut dissector: Dissector,
    name: &str,
    mut teller: Teller,
) -> anyhow::Result<Outcome> {
    let end = loop {
        match reader.next_packet() {
            Ok(Some(packet)) => {
                teller.packet(&dissector.packet(&packet))?;
                if dissector.has_forgotten() {
                    teller.conversations(&dissector.take_forgotten())?;
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let rest = dissector.finish();
    teller.conversations(&rest)?;
    let totals = CaptureTotals { dropped: reader.dropped(), ..dissector.totals() };
    let text = teller.out.text();
    if teller.json {
        totals_object(&totals, text);
    } else {
        text.push('\n');
        closing(&totals, text);
    }
    teller.out.finish()?;
    // What could be read has been told; now what is wrong with the rest.
    end.with_context(|| name.to_owned())?;
    Ok(Outcome::Well)
}

fn follow(
    mut reader: PacketReader<Box<dyn Read>>,
    mut dissector: Dissector,
    name: &str,
    args: &DissectArgs,
    (mut out, report): (Output, &Report),
) -> anyhow::Result<Outcome> {
    let end = loop {
        match reader.next_packet() {
            Ok(Some(packet)) => {
                dissector.packet(&packet);
                dissector.take_followed(out.bytes());
                out.pass_on()?;
                // Told nowhere, but they may be the one that is followed.
                drop(dissector.take_forgotten());
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(dissector.finish());
    dissector.take_followed(out.bytes());
    out.finish()?;
    end.with_context(|| name.to_owned())?;
    let others = dissector.totals().conversations.saturating_sub(1);
    if args.conversation.is_none() && others > 0 && !report.quiet() {
        let all = others + 1;
        eprintln!("sendoff: {name}: this is conversation 1 of {all}; --conversation N takes another");
    }
    complete(dissector.follow_report(), args).map_err(|problem| anyhow!("{name}: {problem}"))?;
    Ok(Outcome::Well)
}

/// What is missing, if anything is.
fn complete(report: &FollowReport, args: &DissectArgs) -> Result<(), String> {
    if report.is_complete() {
        return Ok(());
    }
    if !report.found {
        let smux = report.smux_error.map(|error| format!(": {error}")).unwrap_or_default();
        return Err(match (args.stream, args.conversation) {
            (Some(stream), _) => format!("there is no such conversation, or no stream {stream} in it{smux}"),
            (None, Some(number)) => format!("there is no conversation {number}"),
            (None, None) => "there is no conversation".into(),
        });
    }
    let mut problems: Vec<String> = report.gaps.iter().take(8).map(ToString::to_string).collect();
    if let Some(more @ 1..) = report.gaps.len().checked_sub(8) {
        problems.push(format!("and {more} more gaps"));
    }
    problems.extend(report.frame_error.map(|error| error.to_string()));
    problems.extend(report.smux_error.map(|error| error.to_string()));
    if report.cut_off {
        problems.push("the capture has cut off datagrams".into());
    }
    if report.forgotten {
        problems.push("among so many others it was forgotten before its end was seen".into());
    }
    if report.replaced {
        problems.push("another conversation began in its place before its end was seen".into());
    }
    Err(problems.join("; "))
}
