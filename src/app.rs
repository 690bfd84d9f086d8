//! Configuration in, application out: the only place that names concrete stores and providers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;

use crate::audit::AuditLog;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Mode};
use crate::db::client::Clients;
use crate::delivery::console::Console;
use crate::delivery::dispatch::{Dispatcher, Tools};
use crate::delivery::inbox::Inbox;
use crate::delivery::message::Renderer;
use crate::delivery::provider::MessageProvider;
use crate::http::keys::Keys;
use crate::secret::{Code, Entropy};
use crate::telemetry::Metrics;
use crate::verification::Engine;
use crate::verification::limit::SendRule;
use crate::verification::policy::Policy;
use crate::verification::store::Store;
use crate::verification::store::sqlite::{OpenError, SqliteStore};

/// Why the application could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The data directory cannot be made.
    #[error("data_dir: cannot make {0}: {1}")]
    DataDir(String, #[source] std::io::Error),
}

/// Everything that handlers use.
pub struct App {
    /// The rules.
    pub engine: Engine,
    /// Whose key is whose.
    pub keys: Keys,
    /// Dev mode only.
    pub inbox: Option<Arc<Inbox>>,
    /// Whether the tutorials' routes exist.
    pub tutorial_api: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where examples point.
    pub public_url: String,
    /// Longest work on one request.
    pub request_timeout: Duration,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Transitions that wait.
    pub store_queue_depth: Box<dyn Fn() -> usize + Send + Sync>,
    /// True once the server stops.
    pub stopping: watch::Receiver<bool>,
    /// To be drained at the end.
    pub dispatcher: Arc<Dispatcher>,
    entropy: Arc<dyn Entropy>,
}

impl App {
    /// Builds the application. Must be called within the runtime.
    pub fn build(
        config: &Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        stopping: watch::Receiver<bool>,
        public_url: String,
    ) -> Result<Arc<App>, BuildError> {
        make_data_dir(config)?;
        let policies = config.policies()?;
        let peppers = config.secrets.peppers(&config.data_dir, entropy.as_ref())?;
        let metrics = Arc::new(Metrics::default());
        let renderer = renderer(&policies)?;
        let store = Arc::new(SqliteStore::open(&config.database(), config.store.synchronous, Arc::new(AuditLog), clock.now())?);
        let inbox = (config.mode == Mode::Dev).then(|| Arc::new(Inbox::new(config.dev.inbox_size)));
        let tools = Tools {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&clock),
            renderer,
            inbox: inbox.clone(),
            metrics: Arc::clone(&metrics),
        };
        let dispatcher = Arc::new(Dispatcher::new(providers(config)?, tools));
        let test_destinations = config.dev.test_destinations.iter();
        let engine = Engine {
            store: Arc::clone(&store) as Arc<dyn Store>,
            courier: Arc::clone(&dispatcher) as _,
            policies: policies.into_iter().map(|policy| (policy.service.clone(), policy)).collect(),
            destination_all_services: Arc::new(SendRule { quotas: vec![config.limits.destination.0], waits: Vec::new() }),
            peppers,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            test_destinations: test_destinations
                .filter_map(|(to, code)| Some((to.clone(), Code::parse(code.expose()).ok()?)))
                .collect::<HashMap<_, _>>(),
            metrics: Arc::clone(&metrics),
        };
        Ok(Arc::new(App {
            engine,
            keys: Keys::new(Clients::new(&config.database()), clock),
            inbox,
            tutorial_api: config.tutorial_api(),
            trusted_proxies: config.server.trusted_proxies.iter().map(|proxy| proxy.0).collect(),
            public_url,
            request_timeout: config.server.request_timeout.0,
            metrics,
            store_queue_depth: Box::new(move || store.queue_depth()),
            stopping,
            dispatcher,
            entropy,
        }))
    }

    /// Names a request in answers and logs.
    pub fn new_request_id(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        format!("{:032x}", u128::from_be_bytes(bytes))
    }
}

/// What [`App::build`] would refuse, without building anything: for `config check` and `doctor`.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    providers(config)?;
    renderer(&config.policies()?).map(drop)
}

fn renderer(policies: &[Arc<Policy>]) -> Result<Renderer, ConfigError> {
    Renderer::new(policies.iter()).map_err(|error| ConfigError::rule(format!("service.{}", error.service), error.to_string()))
}

/// The configured providers, first come first asked. One line for each.
fn providers(config: &Config) -> Result<Vec<Arc<dyn MessageProvider>>, ConfigError> {
    let mut providers: Vec<Arc<dyn MessageProvider>> = Vec::new();
    if config.mode == Mode::Dev {
        providers.push(Arc::new(Console { print: config.console.print }));
    }
    if providers.is_empty() {
        return Err(ConfigError::rule(
            "mode",
            "production needs a provider that delivers, and this version has none yet: use mode = \"dev\"",
        ));
    }
    Ok(providers)
}

/// Makes the data directory, readable by its owner only. An existing one keeps its mode.
pub fn make_data_dir(config: &Config) -> Result<(), BuildError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(|error| BuildError::DataDir(config.data_dir.display().to_string(), error))
}
