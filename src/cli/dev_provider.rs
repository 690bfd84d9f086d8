//! `countersign dev-provider`: a stand-in for delivery providers, on loopback.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Failure, terminal};
use crate::clock::SystemClock;
use crate::dev_provider::fault::Fail;
use crate::dev_provider::knobs::{Change, Receipts};
use crate::dev_provider::{AUTH_TOKEN, DevProvider};
use crate::secret::SystemEntropy;

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Port to listen on, on 127.0.0.1; 0 lets the system choose
    #[arg(long, short, default_value_t = 4010)]
    port: u16,
    /// What to do instead of taking messages; the list is below
    #[arg(long, value_name = "FAILURE", default_value = "none", value_parser = fail)]
    fail: Fail,
    /// Receipts for messages that were taken: delivered, failed, none or duplicate
    #[arg(long, value_name = "RECEIPTS", default_value = "delivered", value_parser = receipts)]
    receipts: Receipts,
    /// Take messages at once, and answer so many milliseconds later
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    delay_ms: u64,
    /// What a 429 asks for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    retry_after: u64,
}

const HELP: &str = "\
It speaks, in the vendors' wire formats:
  Twilio Messaging   POST /2010-04-01/Accounts/AC…/Messages.json and …/Calls.json, with signed receipts
  Twilio Verify v2   POST /v2/Services/VA…/Verifications, …/Verifications/VE…, …/VerificationCheck
  StartMessaging     POST /otp/send and /otp/verify
Twilio's test numbers (+15005550001 …) are refused as Twilio refuses them. Nothing is delivered.

Failures (--fail):
  none         takes every message             garbage      200 with an HTML page
  unavailable  503 in the vendor's words       truncated    201 with JSON that stops in the middle
  rejected     400 in the vendor's words       huge         201 with 100 MiB
  429          429 with Retry-After            wrong-type   201 with plain text
  half         every second is unavailable     broken       502 with an HTML page, as from a proxy
  hang         never answers                   hang-body    begins to answer, and falls silent

What it was asked to send, and what became of the receipts, codes in clear:
  curl http://127.0.0.1:4010/messages             (-X DELETE forgets them)
Another behaviour while it runs (any of the four):
  curl http://127.0.0.1:4010/control --json '{\"fail\":\"429\",\"receipts\":\"failed\",\"delay_ms\":0,\"retry_after\":5}'";

fn fail(name: &str) -> Result<Fail, String> {
    let found = Fail::ALL.iter().find(|(known, ..)| *known == name);
    found.map(|(_, fail, _)| *fail).ok_or_else(|| format!("one of {}", Fail::ALL.map(|(known, ..)| known).join(", ")))
}

fn receipts(name: &str) -> Result<Receipts, String> {
    let found = Receipts::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, receipts)| *receipts).ok_or_else(|| format!("one of {}", Receipts::ALL.map(|(known, _)| known).join(", ")))
}

pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    Ok(runtime.block_on(serve(arguments))?)
}

async fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Loopback only: it shows every code to whoever asks.
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await;
    let listener = listener.map_err(|error| anyhow!("cannot listen on 127.0.0.1:{}: {error}", arguments.port))?;
    let url = format!("http://{}", listener.local_addr()?);
    let provider = DevProvider::new(url.clone(), Arc::new(SystemClock), Arc::new(SystemEntropy))?;
    provider.set(Change {
        fail: Some(arguments.fail),
        receipts: Some(arguments.receipts),
        delay_ms: Some(arguments.delay_ms),
        retry_after: Some(arguments.retry_after),
    });
    welcome(&url);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        served = provider.serve(listener) => served?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn welcome(url: &str) {
    terminal::say(&format!("{} listens on {url}: it delivers nothing. Messages: {url}/messages\n", terminal::bold("The stand-in")));
    terminal::say("Point Countersign at it, in countersign.toml (receipts need the server's own address):\n");
    terminal::say("  server.public_url = \"http://127.0.0.1:8080\"");
    terminal::say(&format!(
        "  provider.twilio = {{ type = \"twilio\", base_url = \"{url}\", account_sid = \"AC{}\", auth_token = \"{AUTH_TOKEN}\", from = \"+15005550006\" }}",
        "0".repeat(32)
    ));
    terminal::say("\nTwilio Verify and StartMessaging take the same base_url. Failures and receipts: countersign dev-provider --help");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_failure_and_receipt() {
        for (name, known, _) in Fail::ALL {
            assert!(HELP.contains(&format!("  {name} ")), "{name}");
            assert_eq!(fail(name), Ok(known));
            assert_eq!(serde_json::to_value(known).expect("json"), name, "the same name at run time");
        }
        for (name, known) in Receipts::ALL {
            assert_eq!(receipts(name), Ok(known));
            assert_eq!(serde_json::to_value(known).expect("json"), name);
        }
    }
}
