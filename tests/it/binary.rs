//! The real executable, as a child process in a directory of its own, with an environment of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::actors::{Client, Inbox, Stranger, eventually};
use crate::wire::Wire;

/// Where it runs and what it is told.
pub struct Binary {
    directory: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub complaints: String,
}

/// A running server. Killed when dropped.
pub struct Running {
    child: Child,
    pub wire: Arc<Wire>,
    pub url: String,
    pub admin: SocketAddr,
    pub key: String,
    log: Arc<Mutex<String>>,
    out: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Binary {
    /// With ports that the system chooses.
    pub fn new() -> Binary {
        let directory = TempDir::new().expect("a directory");
        let binary = Binary { directory, environment: Vec::new() };
        binary.with("COUNTERSIGN_SERVER__PORT", "0").with("COUNTERSIGN_ADMIN__PORT", "0").with("COUNTERSIGN_LOG__FORMAT", "json")
    }

    /// One more variable.
    pub fn with(mut self, name: &str, value: &str) -> Binary {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Without a variable that was set before.
    pub fn without(mut self, name: &str) -> Binary {
        self.environment.retain(|(set, _)| set != name);
        self
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn data(&self) -> PathBuf {
        self.directory().join("countersign-data")
    }

    /// Writes a file into the directory that it runs in.
    pub fn file(self, name: &str, text: &str) -> Binary {
        std::fs::write(self.directory().join(name), text).expect("a file");
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(arguments).current_dir(self.directory()).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.run_with_input(arguments, "")
    }

    /// Runs a command to its end, with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = self.command(arguments).spawn().expect("the executable");
        // A command that ends before it reads is no error.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        said(child)
    }

    /// Runs a command to its end, saying each line when it comes.
    pub fn converse(&self, arguments: &[&str], lines: Receiver<String>) -> Said {
        let mut child = self.command(arguments).spawn().expect("the executable");
        let mut input = child.stdin.take().expect("piped");
        for line in lines {
            if writeln!(input, "{line}").is_err() {
                break;
            }
        }
        drop(input);
        said(child)
    }

    /// Starts the server and waits until it listens.
    pub async fn serve(&self) -> Running {
        let mut child = self.command(&["serve"]).spawn().expect("the executable");
        let (log, out) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
        let readers = vec![collect(child.stderr.take().expect("piped"), &log), collect(child.stdout.take().expect("piped"), &out)];
        let listening = eventually("the server listens", async || {
            let log = log.lock().expect("the readers do not panic").clone();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found = lines.rev().find(|line| line["url"].is_string());
            assert!(found.is_some() || !log.contains("countersign: "), "{log}");
            found
        })
        .await;
        let text = |name: &str| listening[name].as_str().expect("text").to_owned();
        let address =
            |text: &str| text.rsplit_once(':').and_then(|(_, port)| format!("127.0.0.1:{port}").parse().ok()).expect("an address");
        let key = std::fs::read_to_string(self.data().join("first-client.key")).unwrap_or_default();
        let url = text("url");
        Running { wire: Wire::new(address(&url)), admin: address(&text("admin")), url, key, child, log, out, readers }
    }
}

fn said(child: Child) -> Said {
    let output = child.wait_with_output().expect("an end");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said { code: output.status.code(), out: text(output.stdout), complaints: text(output.stderr) }
}

impl Running {
    pub fn client(&self) -> Client {
        Client { wire: Arc::clone(&self.wire), key: self.key.clone() }
    }

    pub fn stranger(&self) -> Stranger {
        Stranger { wire: Arc::clone(&self.wire) }
    }

    pub fn inbox(&self) -> Inbox {
        Inbox { wire: Arc::clone(&self.wire) }
    }

    /// Everything that it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the readers do not panic").clone()
    }

    /// Everything that it said on its standard output so far.
    pub fn said(&self) -> String {
        self.out.lock().expect("the readers do not panic").clone()
    }

    /// Sends SIGTERM, SIGHUP …
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Waits for its end: the exit code and the whole log.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let child = &mut self.child;
        let status = eventually_mut(child).await;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        (status, self.log())
    }

    /// SIGKILL: no farewell.
    pub fn kill(mut self) {
        self.child.kill().expect("a running child");
        self.child.wait().expect("a dead child");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn eventually_mut(child: &mut Child) -> Option<i32> {
    // As long as a supervisor waits.
    for _ in 0..6_000 {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the server does not end");
}

/// Reads a pipe to its end, so that the child never waits for us.
fn collect(pipe: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let mut text = into.lock().expect("nobody panics with the lock");
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
        }
    })
}
