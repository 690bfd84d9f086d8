//! A private `redis-server` on a socket in a directory of its own; it goes away with the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Server {
    directory: tempfile::TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one with these options besides ours.
    pub async fn start(options: &[&str]) -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Server { directory, options, child: None };
        server.run().await;
        server
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Starts it (again) on what it has written.
    pub async fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(self.socket()).arg("--dir").arg(self.directory.path());
        let child = command.args(&self.options).stdout(Stdio::null()).spawn().expect("redis-server is installed");
        self.child = Some(child);
        for _ in 0..500 {
            if self.ask(&["PING"]).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server does not answer");
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).expect("it ends");
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub async fn ask(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url()).expect("a URL");
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut parts = command.iter();
        let mut command = redis::cmd(parts.next().expect("a command"));
        for part in parts {
            command.arg(*part);
        }
        command.query_async(&mut connection).await
    }

    /// A reply that is a text.
    pub async fn text(&self, command: &[&str]) -> String {
        redis::from_redis_value(self.ask(command).await.expect("an answer")).expect("a text")
    }

    /// Every key.
    pub async fn keys(&self) -> Vec<String> {
        redis::from_redis_value(self.ask(&["KEYS", "*"]).await.expect("an answer")).expect("keys")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
