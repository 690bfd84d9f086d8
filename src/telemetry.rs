//! What the server tells about itself: metrics for machines, logs for people. Neither ever holds a code, a key or an
//! address (OTP-09, LOG-02).

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

use crate::verification::destination::Country;
use crate::verification::engine::{Started, Verdict};
use crate::verification::limit::LimitName;
use crate::verification::model::Channel;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceResult {
    service: Arc<str>,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SendLabels {
    provider: Arc<str>,
    channel: &'static str,
    country: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiptLabels {
    provider: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    service: Arc<str>,
    limit: &'static str,
}

/// Method, the route's pattern (never the path: that holds ids) and the status of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// HTTP method.
    pub method: &'static str,
    /// Pattern of the route.
    pub route: String,
    /// HTTP status.
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabels {
    notice: &'static str,
    channel: &'static str,
    result: &'static str,
}

type ProviderSeconds = Family<ProviderLabels, Histogram, fn() -> Histogram>;
type RequestSeconds = Family<RequestLabels, Histogram, fn() -> Histogram>;

/// Every counter of the server.
pub struct Metrics {
    registry: Registry,
    starts: Family<ServiceResult, Counter>,
    checks: Family<ServiceResult, Counter>,
    sends: Family<SendLabels, Counter>,
    receipts: Family<ReceiptLabels, Counter>,
    notices: Family<NoticeLabels, Counter>,
    provider_seconds: ProviderSeconds,
    breakers: Family<ProviderLabels, Gauge>,
    delivery_queue: Gauge,
    limits: Family<LimitLabels, Counter>,
    requests: RequestSeconds,
    store_queue: Gauge,
    connections: Gauge,
    shed: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("countersign");
        let requests = RequestSeconds::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16)));
        let metrics = Metrics {
            starts: Family::default(),
            checks: Family::default(),
            sends: Family::default(),
            receipts: Family::default(),
            notices: Family::default(),
            // 5 ms to 20 s: from a stand-in next door to beyond every time-out.
            provider_seconds: ProviderSeconds::new_with_constructor(|| Histogram::new(exponential_buckets(0.005, 2.0, 13))),
            breakers: Family::default(),
            delivery_queue: Gauge::default(),
            limits: Family::default(),
            store_queue: Gauge::default(),
            connections: Gauge::default(),
            shed: Counter::default(),
            requests,
            registry: Registry::default(),
        };
        registry.register("starts", "Starts and resends by result", metrics.starts.clone());
        registry.register("checks", "Checks by verdict", metrics.checks.clone());
        registry.register("sends", "Messages handed to providers", metrics.sends.clone());
        registry.register("receipts", "Receipts of providers", metrics.receipts.clone());
        registry.register("notices", "Notices to people about their accounts, by what became of them", metrics.notices.clone());
        registry.register("provider_answer_seconds", "Time until a provider answered, or was left", metrics.provider_seconds.clone());
        registry.register("provider_breaker", "0 closed, 1 half-open, 2 open", metrics.breakers.clone());
        registry.register("delivery_queue", "Messages that wait or are under way", metrics.delivery_queue.clone());
        registry.register("limits_hit", "Calls refused by a limit", metrics.limits.clone());
        registry.register("http_request_seconds", "Time from a request's head to its answer", metrics.requests.clone());
        registry.register("store_queue_depth", "Transitions that wait for the next commit", metrics.store_queue.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("requests_shed", "Requests answered 503 because too many were under way", metrics.shed.clone());
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    /// A start or resend ended so.
    pub fn started(&self, service: &Arc<str>, started: &Started) {
        let result = match started {
            Started::Sending(_) => "sending",
            Started::Limited(limited) => {
                self.limited(service, limited.name);
                "limited"
            }
            Started::Invalid(_) => "invalid",
            Started::IdempotencyKeyReused => "key_reused",
            Started::NotFound => "not_found",
            Started::Ended(_) => "ended",
        };
        self.starts.get_or_create(&ServiceResult { service: Arc::clone(service), result }).inc();
    }

    /// A check ended so.
    pub fn checked(&self, service: &Arc<str>, verdict: &Verdict) {
        let result = match verdict {
            Verdict::Judged(checked) if checked.valid => "approved",
            Verdict::Judged(checked) => match checked.status {
                crate::verification::Status::Pending | crate::verification::Status::Exhausted => "wrong",
                crate::verification::Status::Approved => "used",
                crate::verification::Status::Canceled => "canceled",
                crate::verification::Status::Expired => "expired",
            },
            Verdict::NotFound => "not_found",
            Verdict::Limited(limited) => {
                self.limited(service, limited.name);
                "limited"
            }
            Verdict::Invalid(_) => "invalid",
            Verdict::NotJudged => "not_judged",
            Verdict::IdempotencyKeyInFlight => "key_in_flight",
            Verdict::IdempotencyKeyReused => "key_reused",
        };
        self.checks.get_or_create(&ServiceResult { service: Arc::clone(service), result }).inc();
    }

    /// A provider took a message, or did not, and how long that took.
    pub fn sent(&self, provider: &Arc<str>, channel: Channel, country: Option<Country>, result: &'static str, took: Duration) {
        self.provider_seconds.get_or_create(&ProviderLabels { provider: Arc::clone(provider) }).observe(took.as_secs_f64());
        let labels = SendLabels {
            provider: Arc::clone(provider),
            channel: channel.as_str(),
            country: country.map_or_else(|| "none".to_owned(), |country| country.as_str().to_owned()),
            result,
        };
        self.sends.get_or_create(&labels).inc();
    }

    /// A notice came to its end.
    pub fn noticed(&self, notice: &'static str, channel: Channel, result: &'static str) {
        self.notices.get_or_create(&NoticeLabels { notice, channel: channel.as_str(), result }).inc();
    }

    /// A receipt came; `result` is how far the message got, or that it changed nothing.
    pub fn receipt(&self, provider: &str, result: &'static str) {
        self.receipts.get_or_create(&ReceiptLabels { provider: provider.to_owned(), result }).inc();
    }

    /// An answer went out after `seconds`.
    pub fn answered(&self, labels: &RequestLabels, seconds: f64) {
        self.requests.get_or_create(labels).observe(seconds);
    }

    /// A request was shed.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// One more, or one fewer, open connection.
    pub fn connections(&self, change: i64) {
        self.connections.inc_by(change);
    }

    /// The metrics page, in the OpenMetrics text format that Prometheus reads.
    pub fn page(&self, store_queue_depth: usize, delivery_queue: usize, breakers: impl IntoIterator<Item = (Arc<str>, i64)>) -> String {
        self.store_queue.set(store_queue_depth as i64);
        self.delivery_queue.set(delivery_queue as i64);
        for (provider, breaker) in breakers {
            self.breakers.get_or_create(&ProviderLabels { provider }).set(breaker);
        }
        let mut page = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut page, &self.registry);
        page
    }

    fn limited(&self, service: &Arc<str>, limit: LimitName) {
        self.limits.get_or_create(&LimitLabels { service: Arc::clone(service), limit: limit.as_str() }).inc();
    }
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. A second call changes nothing.
pub fn log(format: LogFormat, filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    use std::io::IsTerminal;
    let filter = EnvFilter::try_new(filter)?;
    let terminal = std::io::stderr().is_terminal();
    let colors = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colors);
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Auto if !terminal => builder.json().flatten_event(true).try_init(),
        LogFormat::Auto | LogFormat::Pretty => builder.with_target(false).try_init(),
    };
    Ok(())
}
