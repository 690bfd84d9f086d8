//! What `REDIS_URL` says: one server, Sentinels, or a Cluster. Never shown with its password.

use redis::cluster::ClusterClient;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates, TlsMode};

use crate::secret::Redacted;
use crate::verification::store::redis::link::{ANSWER_WITHIN, CONNECT_WITHIN, Peer};

/// Why a URL cannot be used. Never repeats it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PeerError {
    /// None of ours.
    #[error(
        "must begin with redis://, rediss://, redis+unix:// (or unix://), redis-sentinel://, rediss-sentinel://, redis-cluster:// or rediss-cluster://"
    )]
    Scheme,
    /// The client does not understand it.
    #[error("cannot be read: {0}")]
    Address(String),
    /// Sentinels know masters by their names.
    #[error("must name the master: redis-sentinel://HOST:26379,HOST:26379/MASTER")]
    Master,
    /// Without TLS nobody shows a certificate.
    #[error("is of use with rediss://, rediss-sentinel:// and rediss-cluster:// only")]
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Sentinel,
    Cluster,
}

/// A URL, taken apart.
pub struct PeerConfig {
    kind: Kind,
    /// One for each server, with what it is opened with.
    urls: Vec<Redacted<String>>,
    /// The same, for people.
    shown: Vec<String>,
    master: String,
    nodes: Nodes,
    is_encrypted: bool,
    /// Who vouches for the servers; none: whom the system trusts.
    authorities: Option<TlsCertificates>,
}

/// How the servers that Sentinels name are opened.
#[derive(Default)]
struct Nodes {
    username: Option<String>,
    password: Option<Redacted<String>>,
    database: i64,
}

impl PeerConfig {
    /// Takes a URL apart.
    pub fn parse(url: &str) -> Result<PeerConfig, PeerError> {
        let (scheme, rest) = url.split_once("://").ok_or(PeerError::Scheme)?;
        let is_encrypted = scheme.starts_with("rediss") || scheme.starts_with("valkeys");
        let kind = match scheme {
            "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix" => Kind::Single,
            "redis-sentinel" | "rediss-sentinel" => Kind::Sentinel,
            "redis-cluster" | "rediss-cluster" => Kind::Cluster,
            _ => return Err(PeerError::Scheme),
        };
        let mut config = PeerConfig {
            kind,
            urls: Vec::new(),
            shown: Vec::new(),
            master: String::new(),
            nodes: Nodes::default(),
            is_encrypted,
            authorities: None,
        };
        if kind == Kind::Single {
            config.shown.push(without_secrets(scheme, rest));
            config.urls.push(Redacted::new(url.to_owned()));
        } else {
            config.many(rest)?;
        }
        // Whatever is wrong is said now, and not with the first verification.
        config.peer().map(|_| config)
    }

    /// Believes only servers that one of these authorities (PEM) vouches for.
    pub fn trusting(mut self, authorities: Vec<u8>) -> Result<PeerConfig, PeerError> {
        if !self.is_encrypted {
            return Err(PeerError::Plain);
        }
        self.authorities = Some(TlsCertificates { client_tls: None, root_cert: Some(authorities) });
        self.peer().map(|_| self)
    }

    /// `[USER[:PASSWORD]@]HOST[:PORT],…[/MASTER][?…]`
    fn many(&mut self, rest: &str) -> Result<(), PeerError> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (rest, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = rest.rsplit_once('@').map_or(("", rest), |(user, hosts)| (user, hosts));
        let scheme = if self.is_encrypted { "rediss" } else { "redis" };
        let mut opened_by = if user.is_empty() { String::new() } else { format!("{user}@") };
        if self.kind == Kind::Sentinel {
            if path.is_empty() {
                return Err(PeerError::Master);
            }
            path.clone_into(&mut self.master);
            self.nodes = nodes(user, query)?;
            // Theirs are not those of the servers behind them.
            opened_by = sentinel_user(query);
        }
        for host in hosts.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            let usual_port = if self.kind == Kind::Sentinel { ":26379" } else { "" };
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let host = if has_port { host.to_owned() } else { format!("{host}{usual_port}") };
            self.urls.push(Redacted::new(format!("{scheme}://{opened_by}{host}")));
            self.shown.push(host);
        }
        Ok(())
    }

    /// For people: where, and not with what password.
    pub fn shown(&self) -> String {
        let hosts = self.shown.join(", ");
        match self.kind {
            Kind::Single => hosts,
            Kind::Sentinel => format!("master \"{}\" by Sentinels at {hosts}", self.master),
            Kind::Cluster => format!("cluster at {hosts}"),
        }
    }

    /// Who is asked. Nothing is connected yet.
    pub fn peer(&self) -> Result<Peer, PeerError> {
        let address = |error: redis::RedisError| PeerError::Address(error.kind_text());
        let infos =
            self.urls.iter().map(|url| url.expose().as_str().into_connection_info()).collect::<Result<Vec<_>, _>>().map_err(address)?;
        Ok(match self.kind {
            Kind::Single => {
                let info = infos.into_iter().next().ok_or(PeerError::Scheme)?;
                let client = match &self.authorities {
                    Some(authorities) => Client::build_with_tls(info, authorities.clone()),
                    None => Client::open(info),
                };
                Peer::Single(Box::new(client.map_err(address)?))
            }
            Kind::Sentinel => Peer::Sentinel(Box::new(tokio::sync::Mutex::new(self.sentinels(&infos).map_err(address)?))),
            Kind::Cluster => {
                // Retries of its own would run a script twice when a connection broke after it ran.
                let mut client =
                    ClusterClient::builder(infos).retries(0).connection_timeout(CONNECT_WITHIN).response_timeout(ANSWER_WITHIN);
                if let Some(authorities) = &self.authorities {
                    client = client.certs(authorities.clone());
                }
                Peer::Cluster(Box::new(client.build().map_err(address)?))
            }
        })
    }

    /// Sentinels, and how the servers that they name are opened.
    fn sentinels(&self, infos: &[ConnectionInfo]) -> RedisResult<SentinelClient> {
        let addresses = infos.iter().map(|info| info.addr().clone());
        let mut client =
            SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?.set_client_to_redis_db(self.nodes.database);
        if let Some(username) = &self.nodes.username {
            client = client.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.nodes.password {
            client = client.set_client_to_redis_password(password.expose());
        }
        let theirs = infos.first().map(ConnectionInfo::redis_settings);
        if let Some(username) = theirs.and_then(|settings| settings.username()) {
            client = client.set_client_to_sentinel_username(username);
        }
        if let Some(password) = theirs.and_then(|settings| settings.password()) {
            client = client.set_client_to_sentinel_password(password);
        }
        if self.is_encrypted {
            client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(authorities) = &self.authorities {
            client = client.set_client_to_redis_certificates(authorities.clone()).set_client_to_sentinel_certificates(authorities.clone());
        }
        client.build()
    }
}

/// The kind of an error only: its text may repeat the URL.
trait KindText {
    fn kind_text(&self) -> String;
}

impl KindText for redis::RedisError {
    fn kind_text(&self) -> String {
        format!("{:?}", self.kind())
    }
}

fn without_secrets(scheme: &str, rest: &str) -> String {
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
    format!("{scheme}://{hosts}")
}

fn decoded(text: &str) -> Option<String> {
    // The rules of forms, save that a plus is a plus.
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).filter(|text| !text.is_empty())
}

fn nodes(user: &str, query: &str) -> Result<Nodes, PeerError> {
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    let database = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "db");
    let database = database.map(|(_, value)| value.parse()).transpose().map_err(|_| PeerError::Address("db".into()))?;
    Ok(Nodes { username: decoded(username), password: decoded(password).map(Redacted::new), database: database.unwrap_or_default() })
}

fn sentinel_user(query: &str) -> String {
    let find =
        |wanted: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let encoded = |text: String| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    match (find("sentinel_username"), find("sentinel_password")) {
        (None, None) => String::new(),
        (username, password) => {
            format!("{}:{}@", username.map(encoded).unwrap_or_default(), password.map(encoded).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PeerConfig, PeerError> {
        PeerConfig::parse(url)
    }

    #[test]
    fn every_kind_is_understood_and_none_shows_its_password() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost"),
            ("redis://:hush@localhost:6380/2", "redis://localhost:6380/2"),
            ("rediss://me:hush@cache.example:6380", "rediss://cache.example:6380"),
            ("unix:///run/redis.sock?pass=hush", "unix:///run/redis.sock"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
            (
                "redis-sentinel://me:hush@one,two:5000/main?db=3&sentinel_password=hush",
                "master \"main\" by Sentinels at one:26379, two:5000",
            ),
            ("redis-cluster://:hush@one:7000,two:7001", "cluster at one:7000, two:7001"),
        ] {
            let config = parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(config.shown(), shown);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_being_repeated() {
        assert_eq!(parse("http://hush").err(), Some(PeerError::Scheme));
        assert_eq!(parse("localhost:6379").err(), Some(PeerError::Scheme));
        assert_eq!(parse("redis-sentinel://one").err(), Some(PeerError::Master));
        for url in ["redis://:hush@localhost:99999", "redis-cluster://", "redis-sentinel://one/main?db=hush", "redis://localhost/hush"] {
            let error = parse(url).err().unwrap_or_else(|| panic!("{url} was accepted"));
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
