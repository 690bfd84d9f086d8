//! One server process on one data directory, killed and started again.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::response::text_field;
use crate::soak::client::Client;

/// A server that needs longer than this to become ready has failed.
const LONGEST_START: Duration = Duration::from_secs(60);

/// Where the server is, and how it is run.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    directory: PathBuf,
    config: PathBuf,
    /// The port of its API.
    pub port: u16,
    /// The key that its API wants.
    pub key: String,
    child: Option<Child>,
}

impl Server {
    /// Fills in the configuration and creates a client key; starts nothing yet.
    pub fn prepare(program: &Path, template: &Path, directory: &Path) -> Result<Self> {
        let (port, admin_port) = free_ports()?;
        let data = directory.join("data");
        std::fs::create_dir_all(&data)?;
        let config = directory.join("countersign.toml");
        let text = std::fs::read_to_string(template)
            .with_context(|| format!("reading {}", template.display()))?
            .replace("@DATA_DIR@", &data.to_string_lossy())
            .replace("@ADMIN_PORT@", &admin_port.to_string());
        std::fs::write(&config, text)?;
        let mut server =
            Self { program: program.to_path_buf(), directory: directory.to_path_buf(), config, port, key: String::new(), child: None };
        let output = server.command().args(["client", "create", "--json", "--config"]).arg(&server.config).output()?;
        if !output.status.success() {
            bail!("client create failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        server.key = text_field(&output.stdout, "key").context("client create printed no key")?.to_owned();
        Ok(server)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.directory).env("PORT", self.port.to_string()).stdin(Stdio::null());
        command
    }

    fn log(&self) -> Result<File> {
        Ok(OpenOptions::new().create(true).append(true).open(self.directory.join("server.log"))?)
    }

    /// Starts the server and says how long it took until it was ready.
    pub fn start(&mut self) -> Result<Duration> {
        let log = self.log()?;
        let began = Instant::now();
        let mut command = self.command();
        command.args(["serve", "--config"]).arg(&self.config).stdout(log.try_clone()?).stderr(log);
        let child = self.child.insert(command.spawn().context("starting the server")?);
        while began.elapsed() < LONGEST_START {
            if let Some(status) = child.try_wait()? {
                bail!("the server stopped by itself ({status}); its log is in {}", self.directory.display());
            }
            let answer = Client::connect(self.port, &self.key).and_then(|mut client| client.get("/readyz"));
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("the server was not ready after {} s", LONGEST_START.as_secs())
    }

    /// SIGKILL: no warning, no flush, no farewell.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Server {
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
