//! A program per connection: its stdin is what comes, its stdout goes to the peer.

use super::{
    Plan,
    connection::{Connection, Stop, after, idle, stop_of},
};
use crate::{
    commands::{
        conversation::{Incoming, Outgoing},
        netcat::chunk_size,
    },
    messages::Cut,
    report::Why,
    signals::Interrupts,
};
use sendoff::Farewell;
use std::{
    ffi::OsString,
    io,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout},
};

/// How long a program may take to end by itself, before each stronger word.
const GRACE: Duration = Duration::from_secs(2);

/// Codes that the peer gets begin here: then the exit status, as a shell counts it.
const CODES: u32 = 256;

/// The exit status that shells give to a program that can't be started.
const NOT_STARTED: u32 = 127;

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
}

impl Program {
    /// Of a command line, if it isn't empty.
    pub fn new(words: Vec<OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(Self { name: words.next()?, args: words.collect() })
    }

    fn start(&self, connection: &Connection) -> io::Result<Child> {
        let mut command = Command::new(&self.name);
        command
            .args(&self.args)
            .env("SENDOFF_PEER", connection.peer().to_string())
            .env("SENDOFF_LOCAL", connection.local().to_string())
            .env("SENDOFF_TRANSPORT", connection.peer().transport())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // A Ctrl-C on the terminal is for us: we end it in order.
        #[cfg(unix)]
        command.process_group(0);
        command.spawn()
    }
}

/// Why the program is to end, or has.
enum Turn {
    /// Its stdout has ended.
    Done,
    /// For that reason, which is none of its own.
    Stop(Stop),
}

/// Runs it until it or the connection ends.
pub async fn run(
    program: &Program,
    connection: &Connection,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    plan: &Plan,
    mut interrupts: Interrupts,
) -> Stop {
    let mut child = match program.start(connection) {
        Ok(child) => child,
        Err(error) => {
            let problem = format!("cannot run {}: {error}", program.name.display());
            outgoing.set_farewell(farewell(CODES + NOT_STARTED, "cannot run the command"));
            return Stop::Because(Why::Command(problem));
        }
    };
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return Stop::Ended };
    let turn = carry(stdin, stdout, incoming, outgoing, plan, &mut interrupts).await;
    let status = match turn {
        Turn::Done => {
            let exited = timeout(GRACE, child.wait()).await;
            match exited {
                Ok(status) => status,
                // It has closed its stdout and goes on: the peer needn't wait for that.
                Err(_elapsed) => {
                    _ = outgoing.deliver().await;
                    tokio::select! {
                        status = child.wait() => status,
                        () = interrupts.first() => end(&mut child).await,
                    }
                }
            }
        }
        Turn::Stop(stop) => {
            let status = end(&mut child).await;
            return match stop {
                Stop::Because(why) => Stop::Because(why),
                _ => because(status, outgoing),
            };
        }
    };
    because(status, outgoing)
}

fn because(status: io::Result<ExitStatus>, outgoing: &mut Outgoing) -> Stop {
    let status = match status {
        Ok(status) => status,
        Err(error) => return Stop::Because(Why::Command(format!("cannot wait for the command: {error}"))),
    };
    // "exit status: 1", "signal: 9 (SIGKILL)"
    let words = status.to_string().replacen(": ", " ", 1);
    if !status.success() {
        outgoing.set_farewell(farewell(CODES + shell_status(status), &words));
    }
    Stop::Because(Why::Command(words))
}

fn farewell(code: u32, reason: &str) -> Farewell {
    Farewell { code, reason: reason.into() }
}

/// As a shell counts it: 128 and the signal for a program that was killed.
fn shell_status(status: ExitStatus) -> u32 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128 + signal.unsigned_abs();
    }
    status.code().map_or(1, i32::unsigned_abs)
}

/// Both directions, until the program's stdout ends or something else does.
async fn carry(
    stdin: ChildStdin,
    stdout: ChildStdout,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    plan: &Plan,
    interrupts: &mut Interrupts,
) -> Turn {
    let activity = outgoing.activity();
    let ended = outgoing.closed();
    let mut feeding = Some(Box::pin(feed(stdin, incoming, plan)));
    let mut collecting = pin!(collect(stdout, outgoing, plan.cut));
    let mut ended = pin!(ended);
    loop {
        let fed = async {
            match &mut feeding {
                Some(feeding) => feeding.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stop = fed => match stop {
                None => feeding = None,
                Some(stop) => return Turn::Stop(stop),
            },
            result = &mut collecting => return match result {
                Ok(()) => Turn::Done,
                Err(error) => Turn::Stop(stop_of(&error)),
            },
            _ = &mut ended => return Turn::Stop(Stop::Ended),
            stop = idle(&activity, plan.idle_timeout) => return Turn::Stop(stop),
            () = interrupts.first() => break,
        }
    }
    // Its stdin ends, and what it says to that still goes to the peer.
    drop(feeding);
    match timeout(GRACE, collecting).await {
        Ok(Ok(())) => Turn::Done,
        _ => Turn::Stop(Stop::Interrupted),
    }
}

/// What comes goes to its stdin; `None` when the peer has finished.
async fn feed(stdin: ChildStdin, incoming: &mut Incoming, plan: &Plan) -> Option<Stop> {
    // A program that doesn't read any more is no reason to stop: what it says still goes to the peer.
    let mut stdin = Some(stdin);
    let mut last = Instant::now();
    loop {
        let chunk = tokio::select! {
            chunk = incoming.next() => chunk,
            () = after(last, plan.read_timeout) => return Some(Stop::Because(Why::Silent(last.elapsed()))),
        };
        let chunk = match chunk {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return None,
            Err(error) => return Some(stop_of(&error)),
        };
        if let Some(pipe) = &mut stdin {
            let written = match plan.cut.lines {
                true => pipe.write_all(&[&chunk[..], b"\n"].concat()).await,
                false => pipe.write_all(&chunk).await,
            };
            if written.is_err() {
                stdin = None;
            }
        }
        last = Instant::now();
    }
}

/// What it says goes to the peer.
async fn collect(stdout: ChildStdout, outgoing: &mut Outgoing, cut: Cut) -> io::Result<()> {
    let mut stdout = BufReader::new(stdout);
    let mut bytes = Vec::new();
    if !cut.lines {
        bytes.resize(chunk_size(&cut, outgoing).min(64 * 1024), 0);
    }
    loop {
        let read = match cut.lines {
            true => stdout.read_until(b'\n', &mut bytes).await,
            false => stdout.read(&mut bytes).await,
        };
        // A pipe that fails has ended.
        let Ok(len @ 1..) = read else { return Ok(()) };
        let message = &bytes[..len];
        if !cut.lines {
            outgoing.send(message).await?;
            continue;
        }
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        if !(message.is_empty() && cut.skips_empty) {
            outgoing.send(message).await?;
        }
        bytes.clear();
    }
}

/// Ends it: its stdin has ended; then SIGTERM; then SIGKILL. Its children of the same process group too.
async fn end(child: &mut Child) -> io::Result<ExitStatus> {
    if let Ok(status) = timeout(GRACE, child.wait()).await {
        return status;
    }
    signal(child, false);
    if let Ok(status) = timeout(GRACE, child.wait()).await {
        return status;
    }
    signal(child, true);
    child.wait().await
}

#[cfg(unix)]
fn signal(child: &mut Child, kill: bool) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // It fails only when it has gone by itself.
        _ = kill_process_group(id, if kill { Signal::KILL } else { Signal::TERM });
    }
}

#[cfg(not(unix))]
fn signal(child: &mut Child, _kill: bool) {
    _ = child.start_kill();
}
