//! One server process among others on the same store: started, stopped, killed, stood still.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::soak::client::Client;

/// A server that needs longer than this to become ready has failed.
const LONGEST_START: Duration = Duration::from_secs(90);

/// The settings of every replica. The names between @ signs are filled in.
const SETTINGS: &str = r#"
mode = "production"
data_dir = "@DATA_DIR@"
[server]
stop_delay = "1s"
[admin]
port = @ADMIN_PORT@
[provider.sink]
type = "webhook"
url = "http://127.0.0.1:@SINK_PORT@/"
secret = "whsec_@SECRET@"
allow_private = true
[service.default]
countries = ["DE"]
[service.default.limits]
service_sends = "1000000000/1h"
country_sends = "1000000000/1h"
ip_sends = "1000000000/1h"
ip_checks = "1000000000/1h"
"#;

/// A replica, running or not.
#[derive(Debug)]
pub struct Replica {
    program: PathBuf,
    directory: PathBuf,
    environment: Vec<(String, String)>,
    /// The port of its API; the same after each start.
    pub port: u16,
    child: Option<Child>,
}

impl Replica {
    /// Writes its settings into a directory of its own; starts nothing yet.
    pub fn prepare(program: &Path, directory: &Path, sink: u16, environment: Vec<(String, String)>) -> Result<Replica> {
        std::fs::create_dir_all(directory)?;
        let (port, admin) = free_ports()?;
        let data = directory.join("data");
        // 32 bytes that are no secret.
        let secret = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
        let settings = SETTINGS
            .replace("@DATA_DIR@", &data.to_string_lossy())
            .replace("@ADMIN_PORT@", &admin.to_string())
            .replace("@SINK_PORT@", &sink.to_string())
            .replace("@SECRET@", secret);
        std::fs::write(directory.join("countersign.toml"), settings)?;
        Ok(Replica { program: program.to_path_buf(), directory: directory.to_path_buf(), environment, port, child: None })
    }

    /// The program in its directory, with its settings and nothing else.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.directory).env_clear().envs(self.environment.iter().cloned());
        command.env("PORT", self.port.to_string()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, and gives what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = self.command().args(arguments).output()?;
        if !output.status.success() {
            bail!("{arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    }

    /// Starts it, and waits for nothing.
    pub fn launch(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.directory.join("server.log"))?;
        let child = self.command().arg("serve").stdout(log.try_clone()?).stderr(log).spawn();
        self.child = Some(child.context("starting the server")?);
        Ok(())
    }

    /// Starts it, and waits until it is ready.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.ready(LONGEST_START)
    }

    /// Waits until it is ready.
    pub fn ready(&mut self, patience: Duration) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(status) = self.child.as_mut().context("it was not started")?.try_wait()? {
                bail!("a server stopped by itself ({status}); its log is in {}", self.directory.display());
            }
            if self.status("/readyz") == Some(200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("a server was not ready after {} s; its log is in {}", patience.as_secs(), self.directory.display())
    }

    /// The status that a path is answered with, if it is answered.
    pub fn status(&self, path: &str) -> Option<u16> {
        Client::connect(self.port, "").and_then(|mut client| client.get(path)).ok().map(|answer| answer.status)
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid().context("it does not run")?;
        let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status()?;
        anyhow::ensure!(status.success(), "kill -{name} failed");
        Ok(())
    }

    /// SIGKILL: no farewell.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        Ok(self.child.take().context("it does not run")?.wait()?)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Also on the way out of an error, and then there is nobody left to tell.
        let _ = self.kill();
    }
}

/// Two ports that are free now; both are held until both are known, so that they differ.
fn free_ports() -> Result<(u16, u16)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}
