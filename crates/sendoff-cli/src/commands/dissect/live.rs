//! `--live`: an interface, read as a capture file that is being written.

use super::{DissectArgs, Source, explain_source};
use crate::{
    args::OutputArgs,
    commands::{block_on, capture},
    exit::{Outcome, Usage},
    report::{Event, Report},
};
use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use sendoff_capture::{
    Options, PcapngWriter,
    file::{InterfaceId, InterfaceStatistics, PacketNotes},
    live::{BUFFER, LiveCapture, LiveError},
};
use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Bytes that are read from the interface before they are told.
const PIECE: usize = 64 << 10;

/// Bytes that are still read when it is time to stop: all that can wait in the kernel by then, which grants twice what it
/// is asked for.
const WAITING: usize = 2 * BUFFER;

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Explains what passes until it is interrupted.
///
/// # Errors
/// The interface can't be watched, or goes down; what passed before has been told.
pub fn run(
    interface: &str,
    options: Options,
    args: DissectArgs,
    output: OutputArgs,
    report: &Report,
) -> anyhow::Result<Outcome> {
    if let Some(path) = &args.write {
        capture::refuse_stdout("--write", path)?;
    }
    let (interface, report) = (interface.to_owned(), report.clone());
    block_on(|mut interrupts| async move {
        let (stop, stopped) = UnixStream::pair().context("no socket pair")?;
        // Not here: this thread has to see signals, whoever keeps stdout or a pipe waiting.
        let mut told = tokio::task::spawn_blocking(move || {
            let name = format!("--live {interface}");
            let reader =
                LiveReader::open(&interface, &args, &report, stopped).with_context(|| name.clone())?;
            let caught_up = Some(reader.caught_up.clone());
            let source = Source { reader: Box::new(reader), caught_up, name };
            explain_source(source, options, &args, output, &report)
        });
        tokio::select! {
            told = &mut told => return told?,
            () = interrupts.first() => drop(stop),
        }
        told.await?
    })
}

/// The packets of an interface as a pcapng file, whose end is an interrupt.
struct LiveReader {
    capture: LiveCapture,
    /// Its other end is closed when it is time to stop.
    stopped: UnixStream,
    writer: PcapngWriter<Vec<u8>>,
    interface: InterfaceId,
    began: Duration,
    /// Bytes of `writer` that have been read.
    read: usize,
    /// `--write`
    copy: Option<File>,
    /// Packets that are still wanted (`--count`).
    left: u64,
    /// Bytes that are still wanted, once it is time to stop.
    rest: Option<usize>,
    over: bool,
    failed: Option<LiveError>,
    /// Nothing more waits in the kernel: what was told should be seen.
    caught_up: Arc<AtomicBool>,
}

impl LiveReader {
    fn open(
        interface: &str,
        args: &DissectArgs,
        report: &Report,
        stopped: UnixStream,
    ) -> anyhow::Result<Self> {
        let capture = LiveCapture::open(interface, args.port).map_err(|error| match error {
            LiveError::NoInterface { .. } => {
                anyhow::Error::new(Usage(format!("--live {interface}: {error}")))
            }
            error => error.into(),
        })?;
        let mut writer = PcapngWriter::new(Vec::new(), concat!("sendoff ", env!("CARGO_PKG_VERSION")))?;
        let id = writer.interface(capture.link(), interface)?;
        // Last: what was in the file is lost with this.
        let copy = match &args.write {
            Some(path) => {
                let mut copy =
                    capture::create(path).with_context(|| format!("--write {}", path.display()))?;
                copy.write_all(writer.output()).context("--write")?;
                Some(copy)
            }
            None => None,
        };
        report.event(&Event::Watching {
            interface: interface.to_owned(),
            link: capture.link().to_string(),
            port: args.port,
        });
        Ok(Self {
            capture,
            stopped,
            writer,
            interface: id,
            began: since_1970(),
            read: 0,
            copy,
            left: args.count.unwrap_or(u64::MAX),
            rest: None,
            over: false,
            failed: None,
            caught_up: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Takes what is there.
    fn fill(&mut self) -> io::Result<()> {
        let mut waits = false;
        while !self.over && self.writer.output().len() < PIECE {
            match self.capture.try_next() {
                Ok(Some(packet)) => {
                    let original_len = Some(packet.original_len);
                    let notes = PacketNotes { original_len, ..PacketNotes::default() };
                    let written = self.writer.packet_with(self.interface, packet.time, packet.data, &notes);
                    written.map_err(io::Error::other)?;
                    self.left -= 1;
                    self.rest = self.rest.map(|rest| rest.saturating_sub(packet.data.len()));
                    self.over = self.left == 0 || self.rest == Some(0);
                }
                Ok(None) => {
                    (waits, self.over) = (true, self.rest.is_some());
                    break;
                }
                Err(error) => {
                    (self.over, self.failed) = (true, Some(error));
                }
            }
        }
        // A full piece may have been the last for long.
        let caught_up = waits || self.over || !self.wait(Some(&NOW))?;
        self.caught_up.store(caught_up, Ordering::Relaxed);
        if self.over {
            self.end()?;
        }
        if let Some(copy) = &mut self.copy {
            copy.write_all(self.writer.output())
                .map_err(|error| io::Error::new(error.kind(), format!("--write: {error}")))?;
        }
        Ok(())
    }

    /// What was lost, as the last block of the file.
    fn end(&mut self) -> io::Result<()> {
        let Ok(statistics) = self.capture.statistics() else { return Ok(()) };
        let statistics = InterfaceStatistics {
            start: self.began,
            end: since_1970(),
            received: statistics.received,
            dropped: statistics.dropped,
            comments: &[],
        };
        self.writer.statistics(self.interface, &statistics)
    }

    /// Waits for a packet, or that it is time to stop; with [`NOW`] it only looks. Returns whether there is a packet.
    fn wait(&mut self, timeout: Option<&Timespec>) -> io::Result<bool> {
        let mut both = [
            PollFd::new(&self.capture, PollFlags::IN),
            PollFd::new(&self.stopped, PollFlags::IN | PollFlags::HUP),
        ];
        match poll(&mut both, timeout) {
            Ok(_) => {
                let [packet, stop] = both.each_ref().map(|fd| !fd.revents().is_empty());
                if stop {
                    self.rest.get_or_insert(WAITING);
                }
                Ok(packet)
            }
            // Whatever it was, it is looked at again.
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Read for LiveReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.writer.output().len() {
            self.writer.output().clear();
            self.read = 0;
            if self.over {
                // Told at the very end, once.
                return self.failed.take().map_or(Ok(0), |error| Err(io::Error::other(error)));
            }
            // Somebody who floods the interface keeps nobody from stopping.
            self.wait(Some(&NOW))?;
            self.fill()?;
            if self.writer.output().is_empty() && !self.over {
                self.wait(None)?;
            }
        }
        let len = (&self.writer.output()[self.read..]).read(buffer)?;
        self.read += len;
        Ok(len)
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
