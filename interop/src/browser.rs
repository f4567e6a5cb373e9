//! A headless Chromium, driven by the DevTools protocol over its pipe: opens a page, asks it, presses keys, and hears
//! every complaint.

use serde_json::{Value, json};
use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// Turns a hang into a failure: generous, because the machine may be busy.
const WATCHDOG: Duration = Duration::from_secs(120);

/// A browser with one page. Killed when dropped.
pub struct Browser {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    session: String,
    complaints: Vec<String>,
    home: PathBuf,
}

impl Browser {
    /// Starts one. `name` tells the homes of several apart.
    ///
    /// # Panics
    /// It doesn't start.
    pub fn start(name: &str) -> Self {
        let home = env::temp_dir().join(format!("sendoff-browser-{}-{name}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        // The pipe is file descriptors 3 and 4: a shell sets them up. No sandbox, because it can't be had in many
        // containers; the pages are our own.
        let line = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                    --user-data-dir=\"$0\" --window-size=1400,1000 --remote-debugging-pipe about:blank 3<&0 4>&1 1>&2";
        let mut child = Command::new("sh")
            .args(["-c", line])
            .arg(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("a message of the browser");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let session = String::new();
        let mut browser = Self { child, stdin, messages, last_id: 0, session, complaints: Vec::new(), home };
        let targets = browser.call("Target.getTargets", json!({}));
        let targets = targets["targetInfos"].as_array().unwrap();
        let page = targets.iter().find(|target| target["type"] == "page").unwrap()["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": page, "flatten": true }));
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        browser
    }

    fn receive(&mut self) -> Value {
        let message = self.messages.recv_timeout(WATCHDOG).expect("the browser answers");
        let complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => Some(message["params"]["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled") => Some(message["params"]["args"].to_string()),
            Some("Log.entryAdded") => Some(message["params"]["entry"].to_string()),
            _ => None,
        };
        self.complaints.extend(complaint);
        message
    }

    /// Calls a method of the protocol.
    ///
    /// # Panics
    /// The browser refuses it, or is gone.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.stdin.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = self.receive();
            if answer["id"] == self.last_id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// Opens a file and waits until it and its scripts are loaded.
    pub fn open(&mut self, file: &Path) {
        // The same page with another fragment would only scroll.
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        let name = file.file_name().unwrap().to_str().unwrap();
        let loaded = format!(
            "new Promise(done => {{ const is = () => location.pathname.endsWith('{name}') && document.readyState === 'complete';
             is() ? done(true) : addEventListener('load', () => done(is())) }})"
        );
        // Between two pages there may be none to ask.
        while self.evaluate(&loaded) != true {}
    }

    /// The value of an expression on the page; of a promise what it comes to.
    ///
    /// # Panics
    /// It throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Presses a key, such as `Tab`, `ArrowDown` or `n`, and waits until the page has drawn what follows.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "PageUp" => (33, ""),
            "PageDown" => (34, ""),
            "End" => (35, ""),
            "Home" => (36, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            other => (u32::from(other.to_ascii_uppercase().as_bytes()[0]), other),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if !text.is_empty() && kind == "keyDown" {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event);
        }
        self.drawn();
    }

    /// Waits until the page has drawn some frames.
    pub fn drawn(&mut self) {
        let frames = "new Promise(done => { let n = 4; const next = () => n-- > 0 ? requestAnimationFrame(next) : done(); next() })";
        self.evaluate(frames);
    }

    /// What the page has complained about since the last call: errors, warnings, whatever the console shows.
    pub fn complaints(&mut self) -> Vec<String> {
        // An answer comes behind all complaints that were made before.
        self.evaluate("0");
        std::mem::take(&mut self.complaints)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_dir_all(&self.home);
    }
}
