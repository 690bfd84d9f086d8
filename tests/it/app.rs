//! A whole server in this process: the real application behind the real accept loop, on ports that the system chooses,
//! with a clock that stands still until the test moves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use countersign::app::{App, BuildError};
use countersign::clock::{Clock, TestClock};
use countersign::config::Config;
use countersign::db::Synchronous;
use countersign::db::client::{Clients, Scope};
use countersign::db::database::Database;
use countersign::http;
use countersign::http::server::Server;
use countersign::http::tls::Tls;
use countersign::secret::Redacted;
use countersign::secret::SystemEntropy;
use countersign::verification::policy::DEFAULT_SERVICE;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::actors::{Client, Inbox, Stranger, eventually};
use crate::own_database::{self, OwnDatabase};
use crate::wire::Wire;

/// As a public URL: others cannot reach this server.
pub const NOWHERE: &str = "https://nowhere.example";

/// Nobody named another place, or it is that of the run before.
fn own_url(public_url: &Option<String>) -> bool {
    public_url.as_ref().is_none_or(|url| url.starts_with("http://127.0.0.1"))
}

/// Does it on a thread with a runtime of its own, whatever the test's own runtime is busy with.
fn aside<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(work())
        });
        thread.join().expect("it is done")
    })
}

/// A running server and what belongs to it.
pub struct TestApp {
    pub clock: Arc<TestClock>,
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub app: Arc<App>,
    pub wire: Arc<Wire>,
    /// Of the client that may do everything: made before anything else is, so that no test waits for it. None where there was no
    /// database yet.
    key: Option<String>,
    config: Config,
    directory: TempDir,
    /// Where accounts and clients lie, where that is a server's database.
    own: Option<OwnDatabase>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl TestApp {
    /// With the defaults.
    pub async fn new() -> TestApp {
        TestApp::with("").await
    }

    /// With these settings over the defaults.
    pub async fn with(toml: &str) -> TestApp {
        TestApp::build(toml, &[], None, http::public).await
    }

    /// With variables of the environment as well (`NAME=value`).
    pub async fn with_environment(toml: &str, variables: &[&str]) -> TestApp {
        TestApp::build(toml, variables, None, http::public).await
    }

    /// With TLS on the public listener.
    pub async fn with_tls(toml: &str, tls: Arc<Tls>) -> TestApp {
        TestApp::build(toml, &[], Some(tls), http::public).await
    }

    /// With other routes than the public ones, behind the same frame.
    pub async fn with_routes(toml: &str, routes: impl FnOnce(&Arc<App>) -> Router) -> TestApp {
        TestApp::build(toml, &[], None, routes).await
    }

    async fn build(toml: &str, variables: &[&str], tls: Option<Arc<Tls>>, routes: impl FnOnce(&Arc<App>) -> Router) -> TestApp {
        let directory = TempDir::new().expect("a directory");
        let mut config = Config::from_toml(toml).expect("settings");
        let variables = variables.iter().filter_map(|pair| pair.split_once('='));
        config.environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        config.data_dir = directory.path().join("data");
        config.console.print = false;
        config.dev.inbox_size = 100_000;
        // What `full` adds is for power cuts, and none happens here; the real executable is tested with it.
        config.store.synchronous = Synchronous::Normal;
        let own = if own_database::server().is_some() { Some(OwnDatabase::new().await) } else { None };
        if let Some(own) = &own {
            config.database.url = Some(Redacted::new(own.url.clone()));
            config.database.connections = 4;
            // What a person would no longer wait for a busy machine does.
            config.database.acquire_timeout.0 = Duration::from_secs(10);
        }
        TestApp::run(config, directory, own, Arc::new(TestClock::default()), None, tls, routes).await
    }

    async fn run(
        mut config: Config,
        directory: TempDir,
        own: Option<OwnDatabase>,
        clock: Arc<TestClock>,
        key: Option<String>,
        tls: Option<Arc<Tls>>,
        routes: impl FnOnce(&Arc<App>) -> Router,
    ) -> TestApp {
        let (stop, stopping) = watch::channel(false);
        let public = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, admin_address) = (public.local_addr().expect("bound"), admin.local_addr().expect("bound"));
        if config.server.public_url.as_deref() == Some(NOWHERE) {
            config.server.public_url = None;
        } else if own_url(&config.server.public_url) {
            config.server.public_url = Some(format!("http://{address}"));
        }
        let build = async || {
            App::build(
                &config,
                Arc::clone(&clock) as Arc<dyn Clock>,
                Arc::new(SystemEntropy),
                stopping.clone(),
                format!("http://{address}"),
            )
            .await
        };
        // After a restart the last connection of the old server may still hold the database for a moment.
        let app = eventually("the database is free", async || match build().await {
            Err(BuildError::Store(countersign::verification::store::sqlite::OpenError::InUse(_))) => None,
            built => Some(built.expect("an application")),
        })
        .await;
        app.engine.resume().await.expect("queued messages can be read");
        let key = match key {
            Some(key) => Some(key),
            None => {
                let clients = Clients::new(app.database.clone());
                let made = clients.create(DEFAULT_SERVICE, "test", &Scope::ALL, &SystemEntropy, clock.now()).await;
                made.ok().map(|(_, key)| key.expose().clone())
            }
        };
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
        let servers = vec![
            tokio::spawn(server(public, routes(&app), tls).run(stopping.clone())),
            tokio::spawn(server(admin, http::admin(&app), None).run(stopping.clone())),
        ];
        TestApp { clock, address, admin_address, wire: Wire::new(address), app, key, config, directory, own, stop, servers }
    }

    /// Stops as `serve` does: no new connections, requests under way finish, queued messages go out, and others hear of it.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        for server in self.servers.drain(..) {
            server.await.expect("a server that ended by itself");
        }
        self.app.finish().await;
    }

    /// Stops, and starts again on the same files, at the same time of the clock.
    pub async fn restart(self) -> TestApp {
        self.restart_with(|_| ()).await
    }

    /// The same with other settings.
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Config)) -> TestApp {
        self.stop().await;
        let TestApp { mut config, directory, own, clock, key, app, wire, .. } = self;
        drop((app, wire));
        change(&mut config);
        TestApp::run(config, directory, own, clock, key, None, http::public).await
    }

    /// Another server on the same data, with the same clock: where the data are in a server's database.
    pub async fn beside(&self) -> TestApp {
        self.beside_with(|_| ()).await
    }

    /// The same with other settings.
    pub async fn beside_with(&self, change: impl FnOnce(&mut Config)) -> TestApp {
        assert!(self.own.is_some(), "two servers cannot share a file");
        let directory = TempDir::new().expect("a directory");
        let mut config = self.config.clone();
        config.secrets.pepper_file = Some(config.data_dir.join("pepper.key"));
        config.data_dir = directory.path().join("data");
        change(&mut config);
        TestApp::run(config, directory, None, Arc::clone(&self.clock), self.key.clone(), None, http::public).await
    }

    /// The client of the default service that may do everything: always the same one.
    pub fn client(&self) -> Client {
        match &self.key {
            Some(key) => Client { wire: Arc::clone(&self.wire), key: key.clone() },
            None => self.client_of(DEFAULT_SERVICE, &Scope::ALL),
        }
    }

    pub fn client_of(&self, service: &str, scopes: &[Scope]) -> Client {
        let (settings, now) = (self.config.database_settings().expect("settings"), self.clock.now());
        let key = aside(async || {
            let database = Database::open(settings).await.expect("a database");
            let (_, key) = Clients::new(database.clone()).create(service, "test", scopes, &SystemEntropy, now).await.expect("a client");
            database.close().await;
            key
        });
        Client { wire: Arc::clone(&self.wire), key: key.expose().clone() }
    }

    /// The table of clients, as the command line uses it.
    pub fn clients(&self) -> Clients {
        Clients::new(self.app.database.clone())
    }

    /// A table of accounts as it lies there, values parted by `|`.
    pub fn dump(&self, table: &str) -> String {
        let rows = aside(async || {
            let mut connection = own_database::connect(&self.database_url()).await;
            sqlx::query(AssertSqlSafe(format!("SELECT * FROM {table}"))).fetch_all(&mut connection).await.expect("a table")
        });
        let value = |row: &AnyRow, index: usize| match row.try_get::<Option<String>, _>(index) {
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("{:?}", row.try_get::<Option<i64>, _>(index).expect("text or a number")),
        };
        rows.iter().flat_map(|row| (0..row.len()).map(move |index| value(row, index) + "|")).collect()
    }

    /// How many rows a table of accounts has.
    pub fn count(&self, table: &str) -> usize {
        let count: i64 = aside(async || {
            let mut connection = own_database::connect(&self.database_url()).await;
            let row = sqlx::query(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"))).fetch_one(&mut connection).await;
            row.expect("a table").get(0)
        });
        usize::try_from(count).expect("a number")
    }

    /// Changes the tables of accounts behind the server's back.
    pub async fn meddle(&self, sql: &str) {
        // On the runtime of the server, which may be in the middle of a change: that has to go on, or both would wait for ever.
        own_database::tell(&self.database_url(), sql.to_owned()).await;
    }

    fn database_url(&self) -> String {
        match &self.own {
            Some(own) => own.url.clone(),
            None => format!("sqlite:{}", self.config.data_dir.join("accounts.db").display()),
        }
    }

    /// Takes the tables away that codes and limits are written to, and brings them back.
    pub async fn hide_codes(&self, hidden: bool) {
        // What is written with every transition: beside the accounts, or in the embedded file.
        let limits = if self.own.is_some() { "bucket" } else { "bucket_journal" };
        let names = [("event", "gone"), (limits, "gone_too")];
        let renamed = names.map(|(name, gone)| if hidden { (name, gone) } else { (gone, name) });
        let sql = renamed.map(|(from, to)| format!("ALTER TABLE {from} RENAME TO {to}")).join("; ");
        match &self.own {
            Some(own) => own_database::tell(&own.url, sql).await,
            None => rusqlite::Connection::open(self.config.store_file()).expect("a database").execute_batch(&sql).expect("renamed"),
        }
    }

    pub fn stranger(&self) -> Stranger {
        Stranger { wire: Arc::clone(&self.wire) }
    }

    pub fn inbox(&self) -> Inbox {
        Inbox { wire: Arc::clone(&self.wire) }
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// How many messages there are once nothing waits any more. Nothing can be sent after this.
    pub async fn messages_in_the_end(&self) -> usize {
        self.app.dispatcher.drain().await;
        self.inbox().messages().await.len()
    }
}
