//! The runner's view of a server or client process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::meter::{Event, Mark};

/// How long an answer may take before the run is given up.
const ANSWER: Duration = Duration::from_secs(20);

/// A process that is measured. Dropping it ends it.
pub struct Measured {
    child: Child,
    requests: ChildStdin,
    events: Receiver<Event>,
    complaints: Option<JoinHandle<String>>,
    role: &'static str,
}

impl Measured {
    /// Starts a program on one CPU.
    pub fn spawn(role: &'static str, program: &OsStr, args: &[String], cpu: usize) -> Result<Measured> {
        let mut child = on_cpu(cpu, || {
            Command::new(program)
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        })?
        .with_context(|| format!("start {role} {}", program.to_string_lossy()))?;
        let requests = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut stderr = child.stderr.take().context("no standard error")?;
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line)
                    .unwrap_or_else(|error| Event::Failed { message: format!("{error} in {line:?}") });
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            // Whatever came before an error is still worth showing.
            _ = stderr.read_to_string(&mut text);
            text
        });
        Ok(Measured { child, requests, events, complaints: Some(complaints), role })
    }

    fn request(&mut self, word: &str) -> Result<()> {
        writeln!(self.requests, "{word}").with_context(|| format!("{} is gone", self.role))
    }

    /// Tells the process to go on, without an answer.
    pub fn go(&mut self) -> Result<()> {
        self.request("go")
    }

    /// Asks for the counters; the answer is fetched with [`Measured::marked`].
    pub fn mark(&mut self) -> Result<()> {
        self.request("mark")
    }

    /// The counters asked for.
    pub fn marked(&mut self) -> Result<Mark> {
        match self.event(ANSWER)? {
            Event::Mark(mark) => Ok(mark),
            other => bail!("{}: {other:?} instead of a mark", self.role),
        }
    }

    /// Bytes of user-space memory.
    pub fn resident_bytes(&mut self) -> Result<u64> {
        self.request("memory")?;
        match self.event(ANSWER)? {
            Event::Memory { resident_bytes } => Ok(resident_bytes),
            other => bail!("{}: {other:?} instead of its memory", self.role),
        }
    }

    /// The next event, within the time for an answer.
    pub fn answer(&mut self) -> Result<Event> {
        self.event(ANSWER)
    }

    /// The next event.
    pub fn event(&mut self, within: Duration) -> Result<Event> {
        match self.events.recv_timeout(within) {
            Ok(Event::Failed { message }) => bail!("{}: {message}", self.role),
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => bail!("{}: no answer in {within:?}", self.role),
            Err(RecvTimeoutError::Disconnected) => bail!("{} has ended", self.role),
        }
    }

    /// Ends the process; returns the last of what it wrote to standard error.
    pub fn end(&mut self) -> String {
        // Either may fail because the process has ended already, which is what is wanted.
        _ = self.child.kill();
        _ = self.child.wait();
        let text = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs `spawn` on one CPU: a process inherits the place of the thread that starts it, so it has it from its first
/// instruction (Go's runtime counts CPUs then).
pub fn on_cpu<T>(cpu: usize, spawn: impl FnOnce() -> T) -> Result<T> {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    let mut only = CpuSet::new();
    only.set(cpu)?;
    sched_setaffinity(this, &only).with_context(|| format!("pin to CPU {cpu}"))?;
    let spawned = spawn();
    sched_setaffinity(this, &before)?;
    Ok(spawned)
}
