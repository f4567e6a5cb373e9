//! Captures from inside: an endpoint's datagrams, written as IP packets while they pass. No privileges are needed.
//!
//! ```text
//! endpoint ─▶ tap: a copy into a bounded queue ─▶ thread ─▶ packets with comments ─▶ pcapng
//! ```
//!
//! The endpoint is never kept waiting: a tap copies a datagram and goes on, and when the queue is full because the disk
//! is slow, the record is dropped and counted, never the datagram. The file is bounded too: at its limit the recording
//! stops, and counts what passes from then on.
//!
//! ```no_run
//! use sendoff_capture::record::{RecordOptions, Recording};
//! use sendoff_proto::{Cipher, Config};
//!
//! let file = std::fs::File::create("out.pcapng")?;
//! let recording = Recording::start(file, RecordOptions::new("my program"))?;
//! let config = Config::new().tap(recording.tap(Cipher::Null));
//! // … listeners and streams with that config …
//! let totals = recording.finish();
//! println!("{} datagrams, {} lost to the capture", totals.recorded, totals.lost);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What is true in the packets: addresses, ports, lengths, checksums, times, and the payload. What an endpoint can't
//! know has usual values: time to live 64, identification 0. An endpoint that is bound to all addresses may not know
//! from which one it has sent; then it is the one from which the system would send to that peer.

mod addresses;
mod queue;
mod scribe;

pub use queue::{MAX_QUEUED, RECORD_COST};

use crate::file::PcapngWriter;
use queue::{Queue, Record};
use scribe::Scribe;
use sendoff_proto::{Cipher, Tap, TappedDatagram};
use std::{
    fmt,
    io::{self, BufWriter, Write},
    sync::Arc,
    thread::{self, JoinHandle},
};

/// Bytes of a file, if nothing else is asked for: 100 MB.
pub const DEFAULT_LIMIT: u64 = 100_000_000;

/// What of a sealed datagram is written. Without a cipher both are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// What is inside, which anybody can read who has the file; what can't be opened as it came.
    #[default]
    Clear,
    /// What is on the wire: the file tells no more than a capture of the network does.
    Sealed,
}

/// How to record. Setters return the changed options.
pub struct RecordOptions {
    name: String,
    form: Form,
    limit: u64,
    queue: usize,
    on_stop: Option<OnStop>,
}

type OnStop = Box<dyn FnOnce(&Stopped) + Send>;

impl fmt::Debug for RecordOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, form, limit, .. } = self;
        f.debug_struct("RecordOptions")
            .field("name", name)
            .field("form", form)
            .field("limit", limit)
            .finish_non_exhaustive()
    }
}

impl RecordOptions {
    /// In the clear, up to [`DEFAULT_LIMIT`]. `name` is that of the interface in the file.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), form: Form::Clear, limit: DEFAULT_LIMIT, queue: MAX_QUEUED, on_stop: None }
    }

    /// What of sealed datagrams is written. Default: what is inside.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Bytes that the file may have. A packet that doesn't fit, and all that would follow, are left out.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Bytes that may wait to be written; a record costs [`RECORD_COST`] beside its own. Default and maximum:
    /// [`MAX_QUEUED`].
    #[must_use]
    pub fn queue(mut self, bytes: usize) -> Self {
        self.queue = bytes.min(MAX_QUEUED);
        self
    }

    /// Is called, in the thread that writes, when the recording stops by itself.
    #[must_use]
    pub fn on_stop(mut self, tell: impl FnOnce(&Stopped) + Send + 'static) -> Self {
        self.on_stop = Some(Box::new(tell));
        self
    }
}

/// Why a recording has stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// The file has all the bytes that it may have.
    #[error("the file has reached its limit of {limit} bytes")]
    Limit {
        /// That many.
        limit: u64,
    },
    /// The file can't be written.
    #[error("cannot write: {problem}")]
    Failed {
        /// What the system says.
        problem: String,
    },
}

/// What a recording came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordTotals {
    /// Datagrams in the file.
    pub recorded: u64,
    /// Datagrams that aren't in it because the queue was full: the disk was too slow.
    pub lost: u64,
    /// Datagrams that aren't in it because the recording had stopped.
    pub after_stop: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Why it stopped before its end, if it did.
    pub stopped: Option<Stopped>,
}

/// A capture file that is being written, by a thread of its own.
///
/// What has been written can be read while it goes on: every block is whole. Dropping a recording ends it without
/// waiting until the last packets are written; [`finish`](Self::finish) waits.
#[derive(Debug)]
pub struct Recording {
    queue: Arc<Queue>,
    form: Form,
    writer: Option<JoinHandle<RecordTotals>>,
}

impl Recording {
    /// Begins a file.
    ///
    /// # Errors
    /// `out` can't be written, or the system has no thread to spare.
    pub fn start(out: impl Write + Send + 'static, options: RecordOptions) -> io::Result<Self> {
        let RecordOptions { name, form, limit, queue, on_stop } = options;
        let application = concat!("sendoff ", env!("CARGO_PKG_VERSION"));
        let mut writer = PcapngWriter::new(BufWriter::with_capacity(256 << 10, out), application)?;
        let interface = writer.interface(crate::LinkType::RAW, &name)?;
        writer.flush()?;
        let queue = Arc::new(Queue::new(queue));
        let scribe = Scribe::new(writer, interface, limit, queue.clone());
        let writer = thread::Builder::new()
            .name("capture".into())
            .spawn(move || scribe.run(on_stop.unwrap_or_else(|| Box::new(|_| {}))))?;
        Ok(Self { queue, form, writer: Some(writer) })
    }

    /// What an endpoint shows its datagrams to (`Config::tap`). `cipher` is the endpoint's: it is named in the comments.
    ///
    /// Several endpoints can share a recording. A tap outlives its recording without harm.
    pub fn tap(&self, cipher: Cipher) -> Arc<dyn Tap> {
        Arc::new(RecordTap { queue: self.queue.clone(), form: self.form, cipher })
    }

    /// Ends the recording, and waits until all of it is written.
    pub fn finish(mut self) -> RecordTotals {
        self.queue.end();
        let totals = self.writer.take().and_then(|writer| writer.join().ok());
        let (lost, after_stop) = self.queue.not_recorded();
        let failed = || {
            let stopped = Some(Stopped::Failed { problem: "its thread panicked".into() });
            RecordTotals { stopped, ..RecordTotals::default() }
        };
        RecordTotals { lost, after_stop, ..totals.unwrap_or_else(failed) }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// Copies what passes into the queue of a recording.
struct RecordTap {
    queue: Arc<Queue>,
    form: Form,
    cipher: Cipher,
}

impl Tap for RecordTap {
    fn datagram(&self, datagram: &TappedDatagram<'_>) {
        let clear = self.form == Form::Clear || self.cipher == Cipher::Null;
        let opened = if clear { datagram.opened } else { None };
        let record = Record {
            at: datagram.at,
            direction: datagram.direction,
            local: datagram.local,
            peer: datagram.peer,
            cipher: self.cipher,
            wire_len: datagram.payload.len() as u32,
            is_open: opened.is_some(),
            can_be_opened: datagram.opened.is_some(),
            len: 0,
            lost_before: 0,
        };
        self.queue.push(record, opened.unwrap_or(datagram.payload));
    }
}

#[cfg(test)]
mod tests;
