//! `--html`: the capture as a page, in a file that is there whole or not at all.

use crate::{exit::StdoutClosed, leftovers::Leftover};
use anyhow::{Context, anyhow};
use sendoff_capture::{
    CaptureTotals, Dissector, PacketReader, ReadError, conversation::Conversation, report::HtmlReport,
};
use std::{
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

/// Writes the page of the capture called `name` to `to`: `-` is stdout. With `conversation` it has only this one.
/// Returns what is wrong with the capture, if it could not be read to its end: what came before is on the page.
///
/// # Errors
/// The page can't be written; no file is left behind then, and one that was there stays as it was.
pub fn write(
    reader: PacketReader<Box<dyn Read>>,
    dissector: Dissector,
    name: &str,
    to: &Path,
    conversation: Option<u64>,
) -> anyhow::Result<Result<(), ReadError>> {
    if to.as_os_str() == "-" {
        let written = tell(reader, dissector, name, io::stdout().lock(), conversation);
        return match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
            written => written.context("cannot write to stdout"),
        };
    }
    let mut file = Replacement::beside(to).with_context(|| format!("--html {}", to.display()))?;
    let end = tell(reader, dissector, name, BufWriter::new(&mut file.file), conversation);
    let written = end.and_then(|end| file.take_its_place().map(|()| end));
    written.map_err(|error| anyhow!("--html {}: {error}", to.display()))
}

fn tell(
    mut reader: PacketReader<Box<dyn Read>>,
    mut dissector: Dissector,
    name: &str,
    out: impl Write,
    wanted: Option<u64>,
) -> io::Result<Result<(), ReadError>> {
    let mut report = HtmlReport::new(out, name)?;
    let is_wanted = |number| wanted.is_none_or(|wanted| number == Some(wanted));
    let end = loop {
        match reader.next_packet() {
            Ok(Some(packet)) => {
                let dissected = dissector.packet(&packet);
                let of = dissected.analysis.participant.map(|participant| participant.conversation);
                if is_wanted(of) {
                    report.packet(&dissected)?;
                }
                if dissector.has_forgotten() {
                    conversations(&mut report, &dissector.take_forgotten(), is_wanted)?;
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let rest = dissector.finish();
    conversations(&mut report, &rest, is_wanted)?;
    let trouble = end.as_ref().err().map(ToString::to_string);
    let totals = CaptureTotals { dropped: reader.dropped(), ..dissector.totals() };
    report.finish(&totals, dissector.origin(), trouble.as_deref())?;
    Ok(end)
}

fn conversations<W: Write>(
    report: &mut HtmlReport<W>,
    conversations: &[Conversation],
    is_wanted: impl Fn(Option<u64>) -> bool,
) -> io::Result<()> {
    let wanted = conversations.iter().filter(|conversation| is_wanted(Some(conversation.number)));
    wanted.into_iter().try_for_each(|conversation| report.conversation(conversation))
}

/// A file that takes the place of another once it is whole. Dropped before that, it is removed.
struct Replacement {
    file: File,
    /// What it is until then; `None` when it is what was asked for itself.
    unfinished: Option<Leftover>,
    place: PathBuf,
}

impl Replacement {
    fn beside(to: &Path) -> io::Result<Self> {
        let is_special = fs::metadata(to).is_ok_and(|known| !known.is_file());
        if is_special {
            // A device or a pipe takes what comes. A directory doesn't, and says so.
            let file = File::options().write(true).open(to)?;
            return Ok(Self { file, unfinished: None, place: to.to_owned() });
        }
        // What a link points to is replaced, not the link.
        let place = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
        let name = place.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidFilename))?;
        // Not the process's id: in a container each has the same, and one that was killed has left its file.
        let random = getrandom::u32().map_err(io::Error::other)?;
        let hidden = format!(".{}.{random:08x}.part", name.to_string_lossy());
        let (unfinished, file) = Leftover::create(place.with_file_name(hidden))?;
        Ok(Self { file, unfinished: Some(unfinished), place })
    }

    fn take_its_place(self) -> io::Result<()> {
        self.unfinished.map_or(Ok(()), |unfinished| unfinished.rename(&self.place))
    }
}
