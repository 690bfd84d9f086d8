//! Configuration in, application out: the only place that names concrete stores and providers.

mod integrators;
pub mod stores;
mod twilio;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{mpsc, watch};

use crate::account::notice::Notifier;
use crate::account::password::Hasher;
use crate::account::settings::AccountSettings;
use crate::account::token::Tokens;
use crate::account::token::keyring::Keyring;
use crate::account::{Accounts, passkeys};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError, Mode, RouteConfig};
use crate::db::accounts::AccountTables;
use crate::db::client::Clients;
use crate::db::database::{DataError, Database};
use crate::db::sealed;
use crate::delivery::Tools;
use crate::delivery::accounts::{Configured, Sources};
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::http::Http;
use crate::delivery::inbox::Inbox;
use crate::delivery::not_me::CancelLinks;
use crate::delivery::provider::{Family, Kind, Provider};
use crate::delivery::providers::console::Console;
use crate::delivery::providers::{
    bird, plivo, smtp, startmessaging, telegram, telnyx, twilio as twilio_provider, twilio_verify, vonage, webhook, whatsapp,
};
use crate::delivery::receipt::References;
use crate::delivery::route::{Route, Routes};
use crate::delivery::text::Renderer;
use crate::http::camara::CamaraFace;
use crate::http::client_token::ClientTokens;
use crate::http::keys::Keys;
use crate::http::login::pages::handlers::LoginPages;
use crate::http::login::pages::texts::Catalogue;
use crate::http::twilio::Face;
use crate::secret::{Code, Entropy, Peppers};
use crate::telemetry::Metrics;
use crate::verification::Engine;
use crate::verification::destination::Country;
use crate::verification::lease::{Lease, join};
use crate::verification::limit::SendRule;
use crate::verification::model::Channel;
use crate::verification::newest::Turns;
use crate::verification::policy::{DEFAULT_SERVICE, Policy};
use crate::verification::store::memory::MemoryStore;
use crate::verification::store::sqlite::OpenError;

/// Why the application could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The database of accounts and clients cannot be opened.
    #[error("the database of accounts and clients cannot be opened: {0}")]
    Database(#[source] DataError),
    /// The threads that hash passwords cannot be started.
    #[error("the threads that hash passwords cannot be started: {0}")]
    Threads(#[source] std::io::Error),
    /// The data directory cannot be made.
    #[error("data_dir: cannot make {0}: {1}")]
    DataDir(String, #[source] std::io::Error),
}

/// Everything that handlers use.
pub struct App {
    /// The rules.
    pub engine: Arc<Engine>,
    /// People; none where there are no accounts.
    pub accounts: Option<Arc<Accounts>>,
    /// What the login pages are made of; none where there are none.
    pub login_pages: Option<Arc<LoginPages>>,
    /// Durable data.
    pub database: Database,
    /// Whose key is whose.
    pub keys: Keys,
    /// Dev mode only.
    pub inbox: Option<Arc<Inbox>>,
    /// Other origins whose pages may call the JSON API of accounts.
    pub origins: Vec<String>,
    /// Twilio Verify's API; none where it is not served.
    pub twilio: Option<Arc<Face>>,
    /// Whether the tutorials' routes exist.
    pub tutorial_api: bool,
    /// CAMARA's API; none where there is none.
    pub camara: Option<CamaraFace>,
    /// Path and files of the operator's own app.
    pub web_app: Option<(String, PathBuf)>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where others reach this server: what providers sign, and where examples point.
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
    /// Messages of ours that receipts name.
    pub references: References,
    /// Words of messages and of the page behind a mail's link.
    pub renderer: Arc<Renderer>,
    /// The links of mails; none where people cannot reach this server.
    pub cancel_links: Option<CancelLinks>,
    /// Who delivers.
    pub senders: Senders,
    /// Tells people what happens to their accounts.
    pub notifier: Arc<dyn Notifier>,
    entropy: Arc<dyn Entropy>,
}

/// Who delivers, and by which routes: what a configuration means.
pub struct Senders {
    /// The accounts, in order.
    pub accounts: Vec<Configured>,
    /// Whom a message goes to.
    pub routes: Routes,
}

impl Senders {
    /// Whether messages really leave: they cost money and reach people.
    pub fn are_real(&self) -> bool {
        self.accounts.iter().any(|account| account.title != CONSOLE)
    }
}

/// What people call the console.
const CONSOLE: &str = "console";

impl App {
    /// Builds the application. Must be called within the runtime. `public_url`: where it is reached when the configuration
    /// names no other place.
    pub async fn build(
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
        let cancel_links = config.server.public_url.clone().map(|public_url| CancelLinks::new(peppers.clone(), public_url));
        let renderer = Arc::new(renderer(&policies)?.with_links(cancel_links.clone()));
        let senders = senders(config, &policies, Arc::clone(&clock))?;
        let settings = config.database_settings()?;
        let database = stores::patient_database(settings, Arc::clone(&entropy), stopping.clone()).await?;
        let stores::VerificationStore { store, queue_depth } = match config.redis_peer()? {
            Some(peer) => stores::shared_verifications(&peer, config, &database, entropy.as_ref())?,
            None => stores::verifications(config, &database, entropy.as_ref(), clock.now())?,
        };
        let inbox = (config.mode == Mode::Dev).then(|| {
            let mut run = [0; 4];
            entropy.fill(&mut run);
            Arc::new(Inbox::new(config.dev.inbox_size, u32::from_be_bytes(run)))
        });
        let references = References::new(peppers.clone(), config.server.public_url.clone());
        let (failed, mut failures) = mpsc::unbounded_channel();
        let lease = Arc::new(Lease::new(Arc::clone(&clock)));
        let tools = Tools {
            store: Arc::clone(&store),
            lease: Arc::clone(&lease),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            renderer: Arc::clone(&renderer),
            references: references.clone(),
            inbox: inbox.clone(),
            metrics: Arc::clone(&metrics),
            retry_wait: config.delivery.retry_wait.0,
            patience: config.delivery.patience.0,
            last_patience: config.delivery.timeout.0,
            queue: config.delivery.queue,
            failed,
        };
        let providers: Vec<_> = senders.accounts.iter().map(|account| account.provider.clone()).collect();
        let dispatcher = Arc::new(Dispatcher::new(providers.clone(), senders.routes.clone(), tools));
        let forgot = config.server.public_url.as_ref().map(|public_url| format!("{public_url}/forgot"));
        let notifier: Arc<dyn Notifier> = dispatcher.notices(policy_of_people(config, &policies)?, forgot);
        let test_destinations = config.dev.test_destinations.iter();
        let engine = Arc::new(Engine {
            store: Arc::clone(&store),
            lease,
            courier: Arc::clone(&dispatcher) as _,
            policies: twilio::policies(config, policies, &providers, &database, Arc::clone(&clock))?,
            destination_all_services: Arc::new(SendRule { quotas: vec![config.limits.destination.0], waits: Vec::new() }),
            peppers,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            test_destinations: test_destinations
                .filter_map(|(to, code)| Some((to.clone(), Code::parse(code.expose()).ok()?)))
                .collect::<HashMap<_, _>>(),
            metrics: Arc::clone(&metrics),
            turns: Turns::default(),
            wait_max: config.delivery.wait.0.min(config.server.request_timeout.0 * 4 / 5),
        });
        join(&engine).await;
        let public_url = config.server.public_url.clone().unwrap_or(public_url);
        let accounts = match config.accounts()? {
            Some(settings) => Some(Arc::new(accounts_of(
                config,
                settings,
                &public_url,
                database.clone(),
                Arc::clone(&notifier),
                &engine,
                clock.clone(),
                entropy.clone(),
            )?)),
            None => None,
        };
        let login_pages = match &accounts {
            Some(accounts) if config.accounts.pages => Some(Arc::new(login_pages(config, accounts)?)),
            _ => None,
        };
        let twilio_face = twilio::face(config, &database, &engine, &dispatcher)?;
        let camara = config.camara_api().then(|| CamaraFace {
            versions: config.camara.versions.clone(),
            tokens: ClientTokens::new(engine.peppers.clone(), Arc::clone(&clock), config.camara.token_life.0),
        });
        let app = Arc::new(App {
            engine,
            accounts,
            login_pages,
            keys: Keys::new(Clients::new(database.clone()), clock),
            database,
            inbox,
            origins: config.accounts.origins.clone(),
            web_app: config.web_app.app()?,
            twilio: twilio_face,
            tutorial_api: config.tutorial_api(),
            camara,
            trusted_proxies: config.server.trusted_proxies.iter().map(|proxy| proxy.0).collect(),
            public_url,
            request_timeout: config.server.request_timeout.0,
            metrics,
            store_queue_depth: queue_depth,
            stopping,
            dispatcher,
            references,
            renderer,
            cancel_links,
            senders,
            notifier,
            entropy,
        });
        let following = Arc::downgrade(&app);
        tokio::spawn(async move {
            while let Some((service, id)) = failures.recv().await
                && let Some(app) = following.upgrade()
            {
                app.engine.follow_up(&service, id).await;
            }
        });
        Ok(app)
    }

    /// The end of the work behind the answers: hands over what is queued, and leaves the rest to the other replicas at once.
    pub async fn finish(&self) {
        self.engine.lease.close();
        self.dispatcher.drain().await;
        if let Some(face) = &self.twilio {
            face.attempts.flush().await;
        }
        self.engine.leave().await;
    }

    /// Seals under the current pepper what the one before it sealed. How many secrets that were.
    pub async fn seal_anew(&self) -> Result<u64, DataError> {
        sealed::seal_anew(&self.database, &self.engine.peppers, self.entropy.as_ref()).await
    }

    /// What needs a pepper that this server does not have, for people; none: nothing does.
    pub async fn lost(&self) -> Result<Option<String>, DataError> {
        let Peppers { current, previous } = &self.engine.peppers;
        let peppers: Vec<_> = std::iter::once(current).chain(previous).collect();
        let lost = sealed::lost(&self.database, &peppers).await?;
        Ok(Some(sealed::listed(&lost)).filter(|lost| !lost.is_empty()))
    }

    /// Randomness.
    pub fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// Names a request in answers and logs.
    pub fn new_request_id(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        format!("{:032x}", u128::from_be_bytes(bytes))
    }
}

fn login_pages(config: &Config, accounts: &Accounts) -> Result<LoginPages, ConfigError> {
    let name = &accounts.engine.policy(&accounts.settings.service).brand;
    let catalogue = Catalogue::load().map_err(|error| ConfigError::rule("accounts.pages", error.to_string()))?;
    Ok(LoginPages { catalogue, brand: config.accounts.brand.brand(name)? })
}

#[expect(clippy::too_many_arguments, reason = "it is called once, by the function that has them all")]
fn accounts_of(
    config: &Config,
    settings: AccountSettings,
    public_url: &str,
    database: Database,
    notifier: Arc<dyn Notifier>,
    engine: &Arc<Engine>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Accounts, BuildError> {
    let keyring = Keyring::new(database.clone(), engine.peppers.clone(), Arc::clone(&entropy));
    Ok(Accounts {
        tables: AccountTables::new(database),
        tokens: Tokens::new(config.token_settings(public_url)?, keyring, Arc::clone(&entropy)),
        engine: Arc::clone(engine),
        hasher: Hasher::new(&config.accounts.hashing()?, engine.peppers.clone(), Arc::clone(&entropy)).map_err(BuildError::Threads)?,
        notifier,
        relying_party: passkeys::relying_party(public_url, &engine.policy(&settings.service).brand),
        peppers: engine.peppers.clone(),
        clock,
        entropy,
        settings,
    })
}

/// What tells people of their accounts where no server runs around it: for a command, which drains it before it ends. Each notice is
/// tried once; there is nobody to come back for it.
pub fn messenger(
    config: &Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<(Arc<Dispatcher>, Arc<dyn Notifier>), BuildError> {
    let mut config = config.clone();
    // What a command prints is its own, and addresses in it are masked.
    config.console.print = false;
    let policies = config.policies()?;
    let peppers = config.secrets.peppers(&config.data_dir, entropy.as_ref())?;
    let senders = senders(&config, &policies, Arc::clone(&clock))?;
    let tools = Tools {
        store: Arc::new(MemoryStore::new(Arc::new(crate::audit::AuditLog))),
        // Notices are nobody's to take over.
        lease: Arc::new(Lease::new(Arc::clone(&clock))),
        clock,
        entropy,
        renderer: Arc::new(renderer(&policies)?),
        references: References::new(peppers, config.server.public_url.clone()),
        inbox: None,
        metrics: Arc::default(),
        retry_wait: config.delivery.retry_wait.0,
        patience: config.delivery.patience.0,
        last_patience: config.delivery.timeout.0,
        queue: config.delivery.queue,
        failed: mpsc::unbounded_channel().0,
    };
    let providers = senders.accounts.iter().map(|account| account.provider.clone()).collect();
    let dispatcher = Arc::new(Dispatcher::new(providers, senders.routes, tools));
    let forgot = config.server.public_url.as_ref().map(|public_url| format!("{public_url}/forgot"));
    let notifier = dispatcher.notices(policy_of_people(&config, &policies)?, forgot);
    Ok((dispatcher, notifier))
}

/// Every kind of provider. Of accounts that the environment completes, the earlier are asked first.
pub const KINDS: &[Kind] = &[
    twilio_provider::KIND,
    twilio_verify::KIND,
    startmessaging::KIND,
    vonage::KIND,
    telnyx::KIND,
    plivo::KIND,
    bird::KIND,
    telegram::KIND,
    whatsapp::KIND,
    smtp::KIND,
    webhook::KIND,
];

/// What [`App::build`] would refuse, without building anything: for `config check` and `doctor`.
pub fn check(config: &Config) -> Result<Senders, ConfigError> {
    let policies = config.policies()?;
    renderer(&policies)?;
    config.token_settings("")?;
    if config.accounts()?.is_some() {
        config.accounts.hashing()?;
        config.accounts.brand.brand(&policy_of_people(config, &policies)?.brand)?;
    }
    config.web_app.app()?;
    senders(config, &policies, Arc::new(SystemClock))
}

fn senders(config: &Config, policies: &[Arc<Policy>], clock: Arc<dyn Clock>) -> Result<Senders, ConfigError> {
    let accounts = accounts(config, clock)?;
    let providers: Vec<_> = accounts.iter().map(|account| account.provider.clone()).collect();
    let routes = routes(config, &providers)?;
    bounded(policies, &providers)?;
    Ok(Senders { accounts, routes })
}

/// The words of all services, checked.
pub fn renderer(policies: &[Arc<Policy>]) -> Result<Renderer, ConfigError> {
    Renderer::new(policies.iter()).map_err(|error| ConfigError::rule(error.key, error.rule))
}

/// The rules of the service that accounts belong to.
fn policy_of_people(config: &Config, policies: &[Arc<Policy>]) -> Result<Arc<Policy>, ConfigError> {
    let named = |name: &str| policies.iter().find(|policy| *policy.service == *name);
    let found = named(&config.accounts.service).or_else(|| named(DEFAULT_SERVICE));
    found.cloned().ok_or_else(|| ConfigError::rule("service.default", "is missing"))
}

/// The configured providers, in order; the console where there is none and nothing is sent.
fn accounts(config: &Config, clock: Arc<dyn Clock>) -> Result<Vec<Configured>, ConfigError> {
    let mut accounts = if names_providers(config) { real_accounts(config, clock)? } else { Vec::new() };
    if accounts.is_empty() && config.mode == Mode::Dev {
        let family = Family::Message(Arc::new(Console { print: config.console.print }));
        accounts.push(Configured { provider: Provider { name: "console".into(), family }, title: CONSOLE, variables: Vec::new() });
    }
    if accounts.is_empty() {
        return Err(ConfigError::rule("provider", "production needs a provider that delivers: see docs/guides/providers.md"));
    }
    Ok(accounts)
}

/// Whether there is anything that an account could be made of. Where there is not, the system's certificates need not be read
/// and kept in memory.
fn names_providers(config: &Config) -> bool {
    let given = |kind: &Kind| !kind.from_environment(|variable| config.environment.get(variable).cloned()).is_empty();
    !config.provider.is_empty() || KINDS.iter().any(given)
}

fn real_accounts(config: &Config, clock: Arc<dyn Clock>) -> Result<Vec<Configured>, ConfigError> {
    let sections = config.provider.iter().map(|(name, section)| (name.clone(), section.0.clone())).collect();
    let http = Http::new().map_err(|error| ConfigError::rule("delivery", error.to_string()))?;
    let sources = Sources { kinds: KINDS, sections: &sections, environment: &config.environment, http, clock };
    sources.accounts().map_err(|error| ConfigError::rule(error.key, error.rule))
}

fn routes(config: &Config, providers: &[Provider]) -> Result<Routes, ConfigError> {
    let key = |index: usize| format!("route[{index}]");
    let routes = config.route.iter().enumerate();
    let routes = routes.map(|(index, route)| route_of(route, providers).map_err(|rule| ConfigError::rule(key(index), rule)));
    let routes = routes.collect::<Result<_, _>>()?;
    Routes::new(routes, config.delivery.routing, providers).map_err(|(index, error)| ConfigError::rule(key(index), error.to_string()))
}

fn route_of(route: &RouteConfig, providers: &[Provider]) -> Result<Route, String> {
    let place = |name: &String| {
        let place = providers.iter().position(|provider| *provider.name == **name);
        place.ok_or_else(|| format!("names the provider \"{name}\", which is not configured"))
    };
    let country = |code: &String| Country::named(code);
    let countries = route.countries.as_ref().map(|countries| countries.iter().map(country).collect()).transpose()?;
    let members = route.providers.iter().map(place).collect::<Result<_, _>>()?;
    Ok(Route { channel: route.channel, countries, providers: members, weights: route.weights.clone() })
}

/// A provider that makes the codes has limits of its own: no service may promise more.
fn bounded(policies: &[Arc<Policy>], providers: &[Provider]) -> Result<(), ConfigError> {
    for provider in providers {
        let Family::Verify(family) = &provider.family else { continue };
        let limits = family.limits();
        for policy in policies {
            let key = |setting: &str| format!("service.{}.{setting}", policy.service);
            if policy.max_checks > limits.checks {
                let rule = format!("must be at most {}: {} judges no more guesses", limits.checks, provider.name);
                return Err(ConfigError::rule(key("max_checks"), rule));
            }
            for channel in Channel::ALL.iter().filter(|channel| provider.channels().contains(channel)) {
                if policy.life(*channel) > limits.life {
                    let rule = format!("must be at most {} s: {}'s codes live no longer", limits.life.as_secs(), provider.name);
                    return Err(ConfigError::rule(key(&format!("code_ttl_{channel}")), rule));
                }
            }
        }
    }
    Ok(())
}

/// Makes the data directory, readable by its owner only. An existing one keeps its mode.
pub fn make_data_dir(config: &Config) -> Result<(), BuildError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(|error| BuildError::DataDir(config.data_dir.display().to_string(), error))
}
