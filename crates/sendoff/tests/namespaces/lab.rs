//! A network of a test's own: hosts are network namespaces, links are pairs of veth devices.
//!
//! A test calls [`in_lab`] or [`in_lab_with`] first. That runs this program again, for that test alone, where nothing it does to the network
//! shows outside, and everything is gone when it ends. There it makes [`Host`]s, [`link`]s them, and
//! [`starts`](Host::start) tasks on them, whose sockets belong to that host.

use std::{
    fs::File,
    future::Future,
    os::fd::AsFd,
    process::{self, Command, Output},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const INSIDE: &str = "SENDOFF_TEST_LAB";

/// Only turns a hang into a failure.
const WATCHDOG: Duration = Duration::from_secs(180);

/// What a lab needs at least; Debian's `iproute2` and `util-linux` have them.
const TOOLS: [&str; 2] = ["ip", "unshare"];

/// Nobody else sees what is mounted, and names of namespaces are this test's own.
const SET_UP: &str = "mount --make-rprivate /
    mount -t tmpfs tmpfs /run
    mkdir /run/netns
    ip link set lo up";

/// Runs the test again in a lab, unless it is there already. Where a lab can't be had, because a tool is missing or the
/// system doesn't let us, the test is skipped, or fails if `CI` is set.
///
/// True: this is the inner run, the test's body is to follow.
pub fn in_lab(test: &str, tools: &[&str]) -> bool {
    in_lab_with(test, tools, "")
}

/// The same where `script` has been run first, which must be possible too: it may need what this kernel hasn't got.
pub fn in_lab_with(test: &str, tools: &[&str], script: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        start_watchdog();
        return true;
    }
    let set_up = format!("{SET_UP}\n{script}");
    match lab(tools, &set_up) {
        Ok(flags) => run_again(test, flags, &set_up),
        Err(why) if std::env::var_os("CI").is_some() => panic!("{test}: {why}"),
        Err(why) => println!("{test}: skipped, for {why}"),
    }
    false
}

/// How `unshare` makes such a lab, as root or where anybody may; or why there is none.
fn lab(tools: &[&str], set_up: &str) -> Result<&'static str, String> {
    let missing = |tool: &&&str| !shell("command -v \"$0\"", tool).status.success();
    if let Some(tool) = TOOLS.iter().chain(tools).find(missing) {
        return Err(format!("`{tool}` is missing"));
    }
    let mut why = String::new();
    for flags in ["-nm", "-rnm"] {
        let output = Command::new("unshare").args([flags, "sh", "-ec", set_up]).output().expect("unshare");
        if output.status.success() {
            return Ok(flags);
        }
        why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(format!("such a network can't be made here (root?): {why}"))
}

fn shell(script: &str, argument: &str) -> Output {
    Command::new("sh").args(["-ec", script, argument]).output().expect("a shell")
}

fn run_again(test: &str, flags: &str, set_up: &str) {
    let output = Command::new("unshare")
        .args([flags, "sh", "-ec", &format!("{set_up}\nexec \"$@\""), "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "yes")
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "not one test: {text}");
    // What the test has measured.
    text.lines().filter(|line| line.starts_with("measured: ")).for_each(|line| println!("{test}: {line}"));
}

fn start_watchdog() {
    thread::spawn(|| {
        thread::sleep(WATCHDOG);
        eprintln!("hangs");
        process::exit(1);
    });
}

/// A host of the lab.
#[derive(Clone, Copy, Debug)]
pub struct Host(&'static str);

impl Host {
    /// A host with that name, and no link yet. Another that had the name is nobody's any more.
    pub fn new(name: &'static str) -> Self {
        run(&format!("ip netns del {name} 2>/dev/null || true; ip netns add {name}"));
        let host = Self(name);
        host.run("ip link set lo up");
        host
    }

    /// A command that is to run there.
    pub fn command(self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.0, program]);
        command
    }

    /// Runs a command line there, and returns what it prints; one that fails fails the test.
    pub fn run(self, script: &str) -> String {
        let output = self.command("sh").args(["-ec", script]).output().expect("ip");
        assert!(output.status.success(), "{self:?}: {script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes it a router.
    pub fn forward(self) {
        self.run("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    }

    /// Runs a task there, and waits for it.
    pub fn block_on<F: Future>(self, task: impl FnOnce() -> F + Send + 'static) -> F::Output
    where
        F::Output: Send + 'static,
    {
        self.start(task).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs a task there, on a thread and in a runtime of its own: the sockets that it makes are that host's.
    pub fn start<F: Future>(self, task: impl FnOnce() -> F + Send + 'static) -> JoinHandle<F::Output>
    where
        F::Output: Send + 'static,
    {
        thread::spawn(move || {
            let namespace = File::open(format!("/run/netns/{}", self.0)).expect("the host");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("to go there");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(task())
        })
    }
}

/// Joins two hosts: each end has a device of that name with those addresses, such as `10.9.0.1/24 fd09::1/64`.
pub fn link((a, a_dev, a_addrs): (Host, &str, &str), (b, b_dev, b_addrs): (Host, &str, &str)) {
    // Unique for the moment in which both ends are in the same place.
    run("ip link add lab-a type veth peer name lab-b");
    for (host, end, dev, addrs) in [(a, "lab-a", a_dev, a_addrs), (b, "lab-b", b_dev, b_addrs)] {
        run(&format!("ip link set dev {end} netns {}", host.0));
        host.run(&format!("ip link set dev {end} name {dev}"));
        for addr in addrs.split(' ') {
            // Or an address of IPv6 can't be used for a second.
            let nodad = if addr.contains(':') { "nodad" } else { "" };
            host.run(&format!("ip addr add {addr} dev {dev} {nodad}"));
        }
        host.run(&format!("ip link set dev {dev} up"));
    }
}

/// Runs a command line beside the hosts; one that fails fails the test.
pub fn run(script: &str) {
    let output = shell(script, "sh");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}
