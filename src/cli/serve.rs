//! `countersign serve`: the server, from its first start to a clean stop.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::app::{App, Senders};
use crate::cli::{Failure, senders, terminal};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{Config, ConfigError, Flags, Mode};
use crate::db::accounts::AccountTables;
use crate::db::client::{Clients, Scope};
use crate::http::server::Server;
use crate::http::tls::Tls;
use crate::http::{self, page};
use crate::secret::SystemEntropy;
use crate::telemetry;
use crate::verification::policy::DEFAULT_SERVICE;

/// How often the store is asked whether there is housekeeping to do.
const REST: Duration = Duration::from_millis(200);
/// The pause between two steps of it. A step is short, so that nobody waits long behind it.
const BREATH: Duration = Duration::from_millis(25);
/// The pause after it failed: nobody is in a hurry, and a database that is down is not the news of every moment.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How often ended sessions and flows are removed. They are dead before.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(600);
/// The key that the first start in dev mode makes, in the data directory.
pub const FIRST_KEY_FILE: &str = "first-client.key";

#[derive(clap::Args, Default)]
pub struct Arguments {
    /// Address or name to listen on
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, short)]
    port: Option<u16>,
}

pub fn run(file: Option<&Path>, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let flags = Flags { host: arguments.host.clone(), port: arguments.port };
    let config = Config::load(file, &flags)?;
    telemetry::log(config.log.format, &config.log.filter).map_err(|error| ConfigError::rule("log.filter", error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(serve(&config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let tls = tls(config)?;
    // Before anything listens: a stop that comes early is a stop, and no death.
    let signals = signals().context("signals cannot be received")?;
    let public = listen("server", &config.server.host, config.server.port).await?;
    let admin = listen("admin", &config.admin.host, config.admin.port).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", address(&config.server.host, &public)?);
    // First it says that it stops, then it stops.
    let (leave, leaving) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let app = App::build(config, Arc::clone(&clock), Arc::new(SystemEntropy), leaving, url.clone()).await?;
    let first_key = first_key(config, &app).await?;
    let resumed = app.engine.resume_alone().await.context("the messages that a restart left could not be read")?;
    if resumed > 0 {
        tracing::info!(messages = resumed, "sending what the last run left queued");
    }
    welcome(config, &app.senders, &url, &address(&config.admin.host, &admin)?, first_key.as_deref());

    let server = |listener, router, tls| Server {
        listener,
        router,
        app: Arc::clone(&app),
        tls,
        max_connections: config.server.max_connections,
        max_requests: config.server.max_requests,
        header_timeout: config.server.header_timeout.0,
        drain_timeout: config.server.drain_timeout.0,
    };
    let public = tokio::spawn(server(public, http::public(&app), tls.clone()).run(stopping.clone()));
    let admin = tokio::spawn(server(admin, http::admin(&app), None).run(stopping.clone()));
    let sweeper = tokio::spawn(sweep(Arc::clone(&app), clock, config.store.retention.0, stopping));
    let mut signals = signals;
    wait_for(&mut signals, tls.as_deref()).await;
    let _ = leave.send(true);
    if !config.server.stop_delay.0.is_zero() {
        tracing::info!("not ready any more: whoever sends requests here may look elsewhere");
        // Asked a second time it waits no longer.
        let _ = tokio::time::timeout(config.server.stop_delay.0, wait_for(&mut signals, tls.as_deref())).await;
    }
    tracing::info!("stopping: requests under way may finish");
    let _ = stop.send(true);
    for task in [public, admin, sweeper] {
        task.await.context("a server task died")?;
    }
    app.finish().await;
    tracing::info!("stopped");
    Ok(())
}

fn tls(config: &Config) -> Result<Option<Arc<Tls>>, Failure> {
    let (Some(certificate), Some(key)) = (&config.server.tls_certificate_file, &config.server.tls_key_file) else { return Ok(None) };
    let tls = Tls::open(certificate, key).map_err(|error| ConfigError::rule("server.tls_certificate_file", error.to_string()))?;
    Ok(Some(Arc::new(tls)))
}

async fn listen(section: &str, host: &str, port: u16) -> Result<TcpListener, Failure> {
    // The name has two addresses on most machines; everybody who says it tries this one.
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    let listener = TcpListener::bind((host, port)).await;
    Ok(listener.map_err(|error| ConfigError::rule(format!("{section}.port"), format!("cannot listen on {host}:{port}: {error}")))?)
}

fn address(host: &str, listener: &TcpListener) -> Result<String, Failure> {
    let port = listener.local_addr().context("a listener without an address")?.port();
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// In dev mode a first start makes a client, so that the lines that are printed work as they stand.
async fn first_key(config: &Config, app: &App) -> Result<Option<String>, Failure> {
    if config.mode != Mode::Dev {
        return Ok(None);
    }
    let file = config.data_dir.join(FIRST_KEY_FILE);
    if let Ok(key) = fs::read_to_string(&file) {
        return Ok(Some(key.trim().to_owned()));
    }
    let clients = Clients::new(app.database.clone());
    if !app.database.is_ready() || !clients.list().await.context("the clients cannot be read")?.is_empty() {
        return Ok(None);
    }
    let made = clients.create(DEFAULT_SERVICE, "first run", &Scope::USUAL, &SystemEntropy, SystemClock.now()).await;
    let (_, key) = made.context("the first client could not be made")?;
    write_private(&file, key.expose()).map_err(|error| anyhow!("cannot write {}: {error}", file.display()))?;
    Ok(Some(key.expose().clone()))
}

fn write_private(file: &PathBuf, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

fn welcome(config: &Config, from: &Senders, url: &str, admin: &str, first_key: Option<&str>) {
    tracing::info!(url, admin, mode = ?config.mode, "countersign {} is listening", env!("CARGO_PKG_VERSION"));
    for account in senders::accounts(from) {
        tracing::info!(account, "provider");
    }
    if config.mode != Mode::Dev {
        return;
    }
    let name = terminal::bold("Countersign");
    if from.are_real() {
        terminal::say(&format!("\n{name} is running in dev mode, with providers that deliver:\n"));
        let routes = if from.accounts.len() > 1 { senders::routes(from) } else { Vec::new() };
        for line in senders::accounts(from).into_iter().chain(routes) {
            terminal::say(&format!("  {line}"));
        }
        terminal::say("\nMessages are really sent, and cost money. Codes that this server makes are shown in the inbox, too.\n");
    } else {
        terminal::say(&format!("\n{name} is running in dev mode: codes are shown, nothing is sent.\n"));
    }
    terminal::say(&format!("  Inbox    {}", terminal::bold(&format!("{url}/dev/inbox"))));
    terminal::say(&format!("  API      {url}/docs"));
    terminal::say(&format!("  Metrics  http://{admin}/metrics"));
    match first_key {
        Some(key) => {
            terminal::say(&format!("  Key      {key}\n\nSend a code, read it in the inbox, check it:\n"));
            terminal::say(&format!("  {}", page::start_example(url, key)));
            terminal::say(&format!("  {}\n", page::check_example(url, key)));
        }
        None => terminal::say("\nMake a key for the API: countersign client create\n"),
    }
}

/// Housekeeping, until the server stops: it is left where it stands then, since a database that is silent would keep the stop.
async fn sweep(app: Arc<App>, clock: Arc<dyn Clock>, retention: Duration, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = sweep_verifications(&app, clock.as_ref(), retention) => {}
        () = sweep_accounts(&app, clock.as_ref(), retention) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

async fn sweep_verifications(app: &App, clock: &dyn Clock, retention: Duration) {
    let mut pause = REST;
    loop {
        tokio::time::sleep(pause).await;
        let now = clock.now();
        pause = match app.engine.store.sweep(now - retention, now).await {
            Ok(0) => REST,
            Ok(_) => BREATH,
            Err(error) => {
                tracing::warn!(%error, "housekeeping failed");
                AFTER_FAILURE
            }
        };
    }
}

async fn sweep_accounts(app: &App, clock: &dyn Clock, retention: Duration) {
    tell_what_is_lost(app).await;
    loop {
        // At the start, and again: another server, whose pepper is changed later, may have sealed something meanwhile.
        seal_anew(app).await;
        tokio::time::sleep(ACCOUNTS_EVERY).await;
        let now = clock.now();
        forget_old(app, now).await;
        if let Err(error) = AccountTables::new(app.database.clone()).sweep(now, now - retention).await {
            tracing::warn!(%error, "housekeeping of accounts failed");
        }
        if let Some(face) = &app.twilio
            && let Err(error) = face.attempts.sweep(now - retention).await
        {
            tracing::warn!(%error, "housekeeping of messages failed");
        }
    }
}

fn signals() -> std::io::Result<[Signal; 3]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?])
}

/// Returns at SIGTERM or SIGINT. SIGHUP reads the certificate again.
async fn wait_for([terminate, interrupt, hang_up]: &mut [Signal; 3], tls: Option<&Tls>) {
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = hang_up.recv() => match tls.map(Tls::reload) {
                Some(Ok(())) => tracing::info!("the certificate was read again"),
                Some(Err(error)) => tracing::error!(%error, "the certificate in use stays"),
                None => tracing::info!("nothing to read again: no certificate is configured"),
            },
        }
    }
}

/// What lies under the pepper before the current one.
async fn seal_anew(app: &App) {
    match app.seal_anew().await {
        Ok(0) => {}
        Ok(secrets) => tracing::info!(secrets, "sealed anew under the current pepper"),
        Err(error) => tracing::warn!(%error, "secrets under the previous pepper could not be sealed anew"),
    }
}

/// What needs a pepper that is not here. Once: it looks at every account.
async fn tell_what_is_lost(app: &App) {
    match app.lost().await {
        Ok(None) => {}
        Ok(Some(lost)) => tracing::error!(lost, "made under a pepper that is not configured: put it back (countersign doctor)"),
        Err(error) => tracing::warn!(%error, "what needs another pepper could not be counted"),
    }
}

/// What integrators asked long ago.
async fn forget_old(app: &App, now: Timestamp) {
    let Some(face) = &app.twilio else { return };
    if let Err(error) = face.entities.sweep(now).await {
        tracing::warn!(%error, "old challenges could not be removed");
    }
    if let Some(texts) = &face.texts
        && let Err(error) = texts.sweep(now).await
    {
        tracing::warn!(%error, "old texts could not be removed");
    }
}
