//! Hosts of a test's own: network namespaces, joined by links that the test sets up.
//!
//! Nothing outside of them is touched, and they are gone with the test, however it ends.
#![allow(unsafe_code, reason = "entering a namespace is a system call that no safe crate here makes")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    fs::File,
    future::Future,
    io::{BufRead, BufReader},
    os::fd::AsRawFd,
    process::{Child, Command, Output, Stdio},
    thread::{self, JoinHandle},
};

/// Whether namespaces can be made here, with the commands that a test needs. Where `CI` is set, they must.
pub fn available(test: &str, commands: &[&str]) -> bool {
    let works = |command: &str| {
        let result = Command::new("unshare").args(["-n", "sh", "-c", command]).output();
        result.is_ok_and(|output| output.status.success())
    };
    let lacking = ["ip link set lo up"].iter().chain(commands).find(|command| !works(command));
    let Some(lacking) = lacking else { return true };
    let text = format!("{test}: skipped, for `unshare -n {lacking}` does not work here (it needs root)");
    assert!(std::env::var_os("CI").is_none(), "{text}");
    eprintln!("{text}");
    false
}

/// A network namespace.
pub struct Host {
    /// Lives in it, and ends when its stdin does: with us.
    keeper: Child,
}

impl Host {
    /// A host with nothing but its loopback.
    pub fn new() -> Self {
        let mut keeper = Command::new("unshare")
            .args(["-n", "sh", "-ec", "ip link set lo up; echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut line = String::new();
        let stdout = keeper.stdout.take().expect("a pipe");
        // Before that it may still be in our own namespace.
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self { keeper }
    }

    /// What `netns` takes.
    pub fn id(&self) -> u32 {
        self.keeper.id()
    }

    /// A command that runs in it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.id().to_string(), "-n", "--"]).arg(program);
        command
    }

    /// Runs a script of the shell in it, which must succeed.
    pub fn run(&self, script: &str) -> String {
        let Output { status, stdout, stderr } =
            self.command("sh").args(["-ec", script]).output().expect("nsenter");
        assert!(status.success(), "{script}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// Joins two hosts by a link: each has an interface with that name, and its addresses (`ip addr add`).
    pub fn link(&self, other: &Host, mtu: usize, (name, addresses): (&str, &[&str]), there: (&str, &[&str])) {
        let (id, mtus) = (other.id(), format!("mtu {mtu}"));
        self.run(&format!("ip link add dev {name} {mtus} type veth peer name {} {mtus} netns {id}", there.0));
        for (host, name, addresses) in [(self, name, addresses), (other, there.0, there.1)] {
            for address in addresses {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                host.run(&format!("ip addr add {address} dev {name} {nodad}"));
            }
            host.run(&format!("ip link set dev {name} up"));
        }
    }

    /// Makes it a router.
    pub fn forward(&self) {
        self.run("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    }

    /// Runs a future there, on a thread and a runtime of its own.
    pub fn spawn<R, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> JoinHandle<R>
    where
        R: Send + 'static,
        F: Future<Output = R>,
    {
        let namespace = File::open(format!("/proc/{}/ns/net", self.id())).expect("a namespace");
        thread::spawn(move || {
            // SAFETY: the descriptor is open, for `namespace` lives; the call changes nothing but where this thread,
            // and the threads that it starts, make their sockets.
            let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(make())
        })
    }

    /// The same, and waits for it.
    pub fn block_on<R, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> R
    where
        R: Send + 'static,
        F: Future<Output = R>,
    {
        match self.spawn(make).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its stdin is closed by that.
        _ = self.keeper.kill();
        _ = self.keeper.wait();
    }
}
