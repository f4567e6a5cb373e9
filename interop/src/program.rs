//! Other programs with pipes: the command, Go's standard library, netcat, socat.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Turns a hang into a failure.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// Where a program is: one that `setup.sh` has built, or one of the system.
pub fn find(name: &str) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|directory| directory.join(name));
    std::iter::once(built).chain(installed).find(|file| file.is_file())
}

/// Whether these programs are there. If not, says so, and fails where CI is set.
pub fn there(names: &[&str]) -> bool {
    let missing: Vec<_> = names.iter().filter(|name| find(name).is_none()).collect();
    for name in &missing {
        let reason = format!("there is no {name}: run interop/setup.sh");
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        // Not eprintln: the test runner hides that of a test that passes.
        _ = writeln!(std::io::stderr(), "skipped: {reason}");
    }
    missing.is_empty()
}

/// A program under way. Killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts it.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut child = Command::new(find(name).expect("looked for before"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdin = child.stdin.take();
        let stdout = lines(child.stdout.take().expect("stdout is piped"));
        let stderr = lines(child.stderr.take().expect("stderr is piped"));
        Self { name: name.into(), child, stdin, stdout, stderr }
    }

    /// Waits for a line of stdout that holds `what`.
    ///
    /// # Panics
    /// When it doesn't come.
    pub async fn says(&mut self, what: &str) -> String {
        let said = timeout(WATCHDOG, line_with(&mut self.stdout, what)).await;
        said.ok().flatten().unwrap_or_else(|| panic!("{}: no {what:?} on stdout", self.name))
    }

    /// Waits for a line of stderr that holds `what`.
    ///
    /// # Panics
    /// When it doesn't come.
    pub async fn logs(&mut self, what: &str) -> String {
        let said = timeout(WATCHDOG, line_with(&mut self.stderr, what)).await;
        said.ok().flatten().unwrap_or_else(|| panic!("{}: no {what:?} on stderr", self.name))
    }

    /// Writes to its stdin.
    ///
    /// # Panics
    /// When it doesn't take it.
    pub async fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }
}

fn lines<R: AsyncRead>(pipe: R) -> Lines<BufReader<R>> {
    BufReader::new(pipe).lines()
}

async fn line_with<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, what: &str) -> Option<String> {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains(what) {
            return Some(line);
        }
    }
    None
}

/// What a program came to.
#[derive(Debug)]
pub struct Output {
    /// Its exit code.
    pub code: Option<i32>,
    /// All of it.
    pub stdout: Vec<u8>,
    /// All of it.
    pub stderr: String,
}

/// Runs a program to its end, with `input` on stdin.
///
/// # Panics
/// When it can't be started, or doesn't end.
pub async fn run(name: &str, args: &[&str], input: &[u8]) -> Output {
    let mut program = Program::start(name, args);
    let stdin = program.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // One that has ended already says why.
            _ = stdin.write_all(input).await;
        }
    };
    let (mut stdout, mut stderr) = (Vec::new(), String::new());
    let (mut out, mut err) = (program.stdout.into_inner(), program.stderr.into_inner());
    let all = async {
        let (_, read_out, read_err, status) = tokio::join!(
            write,
            out.read_to_end(&mut stdout),
            err.read_to_string(&mut stderr),
            program.child.wait()
        );
        read_out.and(read_err).and(status)
    };
    let status = timeout(WATCHDOG, all).await.unwrap_or_else(|_| panic!("{name} {args:?} doesn't end"));
    let code = status.unwrap_or_else(|error| panic!("{name}: {error}")).code();
    Output { code, stdout, stderr }
}
