//! `countersign send +49…`: one verification by hand, through a running server.

use std::fs;
use std::io::BufRead;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::cli::serve::FIRST_KEY_FILE;
use crate::cli::{Failure, terminal};
use crate::config::Config;

#[derive(clap::Args)]
pub struct Arguments {
    /// Phone number (E.164) or mail address
    to: String,
    /// sms, whatsapp, call or email
    #[arg(long)]
    channel: Option<String>,
    /// What the code is good for
    #[arg(long)]
    purpose: Option<String>,
    /// Address of the server's plain-text listener [default: as configured]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A client's key [default: the one that the first start in dev mode made]
    #[arg(long, env = "COUNTERSIGN_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Print the answer to the start as JSON, and do not ask for the code
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot start")?;
    Ok(runtime.block_on(send(config, arguments))?)
}

async fn send(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let server = Server::new(config, arguments)?;
    let mut start = json!({ "to": arguments.to });
    for (name, value) in [("channel", &arguments.channel), ("purpose", &arguments.purpose)] {
        if let Some(value) = value {
            start[name] = json!(value);
        }
    }
    let started = server.post("/v1/verifications", &start).await?;
    if arguments.json {
        terminal::say_json(&started);
        return Ok(ExitCode::SUCCESS);
    }
    let id = started["id"].as_str().context("the answer has no id")?.to_owned();
    terminal::say(&format!("A code is on its way to {} ({}).", text(&started, "to"), text(&started, "channel")));
    loop {
        terminal::ask("Code:");
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).context("cannot read from the terminal")? == 0 {
            bail!("no code was given");
        }
        let code = line.trim();
        if code.is_empty() {
            continue;
        }
        let checked = match server.post(&format!("/v1/verifications/{id}/check"), &json!({ "code": code })).await {
            Ok(checked) => checked,
            Err(error) => {
                terminal::complain(&error.to_string());
                continue;
            }
        };
        if checked["valid"] == true {
            terminal::say("Right: the verification is approved.");
            return Ok(ExitCode::SUCCESS);
        }
        if checked["status"] != "pending" {
            bail!("the verification is {}", text(&checked, "status"));
        }
        terminal::say(&format!("Wrong. Checks left: {}.", checked["attempts_left"]));
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

struct Server {
    authority: String,
    key: String,
}

impl Server {
    fn new(config: &Config, arguments: &Arguments) -> anyhow::Result<Server> {
        let url = arguments.url.clone().unwrap_or_else(|| format!("http://{}:{}", config.server.host, config.server.port));
        let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').to_owned());
        let authority = authority.ok_or_else(|| anyhow!("--url must be an http:// address: this command speaks to the server itself"))?;
        let first_key = || fs::read_to_string(config.data_dir.join(FIRST_KEY_FILE)).ok().map(|key| key.trim().to_owned());
        let key = arguments.key.clone().or_else(first_key);
        let key = key.context("a key is needed: --key, or COUNTERSIGN_KEY (countersign client create)")?;
        Ok(Server { authority, key })
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let stream = TcpStream::connect(&self.authority).await;
        let stream = stream.with_context(|| format!("no server answers at http://{} (countersign serve)", self.authority))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = hyper::Request::post(path)
            .header(header::HOST, &self.authority)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let response =
            sender.send_request(request).await.context("the server does not speak plain HTTP there (this command has no TLS)")?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).with_context(|| format!("the server answered {status} without JSON"))?;
        if status.is_success() {
            return Ok(answer);
        }
        bail!("{} ({})", answer["detail"].as_str().or(answer["title"].as_str()).unwrap_or("the server refused"), text(&answer, "code"))
    }
}
