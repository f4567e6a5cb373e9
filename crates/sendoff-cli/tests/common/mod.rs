//! Runs the real binary, in pairs, and waits for what it says: never for time to pass.
#![allow(dead_code)] // Each test file uses its part.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::UdpSocket,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Turns a hang into a failure.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// A command that has run to its end.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The binary, without what the environment of a test run may set.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendoff"));
    command.args(args).env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").env("TERM", "xterm");
    command.env_remove("SENDOFF_KEY").env_remove("KCPTUN_KEY");
    command
}

/// Runs it to its end with `input` on stdin.
pub fn run(args: &[&str], input: &[u8]) -> Output {
    let mut running = Running::start(args);
    running.write(input);
    running.close_stdin();
    running.output()
}

/// A command under way. Killed when dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<String>,
    seen: String,
    collected: Vec<u8>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (mut out, err) = (child.stdout.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
        let (send_out, stdout) = mpsc::channel();
        let (send_err, stderr) = mpsc::channel();
        let read_out = thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(len @ 1..) = out.read(&mut buffer) {
                _ = send_out.send(buffer[..len].to_vec());
            }
        });
        let read_err = thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                _ = send_err.send(line);
            }
        });
        let (stdin, readers) = (child.stdin.take(), vec![read_out, read_err]);
        Self { child, stdin, stdout, stderr, seen: String::new(), collected: Vec::new(), readers }
    }

    /// Starts `listen` with these arguments on a free port; returns it with its port.
    pub fn listen(args: &[&str]) -> (Self, u16) {
        let mut listener = Self::start(&[&["listen", "127.0.0.1:0"], args].concat());
        let line = listener.event("listening");
        let port = match serde_json::from_str::<serde_json::Value>(&line) {
            Ok(event) => event["port"].as_u64().unwrap() as u16,
            Err(_) => {
                let address = line.split("kcp://").nth(1).unwrap().split(' ').next().unwrap();
                address.rsplit(':').next().unwrap().parse().unwrap()
            }
        };
        assert_ne!(port, 0);
        (listener, port)
    }

    /// Waits for a line on stderr that holds `what`, and returns it.
    pub fn event(&mut self, what: &str) -> String {
        let deadline = Instant::now() + WATCHDOG;
        loop {
            let line = self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let Ok(line) = line else { panic!("no {what:?} on stderr, only:\n{}", self.seen) };
            self.seen += &format!("{line}\n");
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Waits until stdout, all of it so far, is as `done` wants it.
    pub fn stdout_until(&mut self, done: impl Fn(&[u8]) -> bool) -> &[u8] {
        let deadline = Instant::now() + WATCHDOG;
        while !done(&self.collected) {
            let chunk = self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let Ok(chunk) = chunk else {
                panic!("stdout ended or stood still at {:?}", String::from_utf8_lossy(&self.collected))
            };
            self.collected.extend(chunk);
        }
        &self.collected
    }

    /// Writes to stdin.
    pub fn write(&mut self, input: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            // The command may have ended: its exit code tells.
            _ = stdin.write_all(input).and_then(|()| stdin.flush());
        }
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal by its name, such as `INT`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end. Stdin stays as it is.
    pub fn output(mut self) -> Output {
        let status = self.wait();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.collected.extend(self.stdout.try_iter().flatten());
        for line in self.stderr.try_iter() {
            self.seen += &format!("{line}\n");
        }
        Output {
            code: status.code().expect("it exits by itself"),
            stdout: std::mem::take(&mut self.collected),
            stderr: std::mem::take(&mut self.seen),
        }
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + WATCHDOG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it doesn't end; stderr:\n{}", self.seen);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// An address on this machine where nobody listens.
pub fn refusing_address() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Each line as an object.
pub fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// Bytes without a pattern (xorshift64), each value of a byte among them.
pub fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(len).collect()
}
