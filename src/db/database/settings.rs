//! Where the database is and how it is used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::Dialect;
use crate::db::Synchronous;
use crate::secret::Redacted;

/// Where the data lie.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a file of SQLite's.
    File(PathBuf, Synchronous),
    /// In a server's database, named by a URL that may hold a password.
    Server(Dialect, Redacted<String>),
}

/// What a database is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub place: Place,
    /// Connections to a server at most.
    pub connections: u32,
    /// How long a request waits for a connection before it fails.
    pub acquire_timeout: Duration,
    /// How long a statement may take on a server.
    pub statement_timeout: Duration,
    /// The file of the embedded store, which had API clients in it once: they are taken over.
    pub embedded: Option<PathBuf>,
}

impl Settings {
    /// Usual ones.
    pub fn new(place: Place) -> Settings {
        let (acquire_timeout, statement_timeout) = (Duration::from_secs(3), Duration::from_secs(10));
        Settings { place, connections: 16, acquire_timeout, statement_timeout, embedded: None }
    }

    /// Usual ones for a file.
    pub fn file(file: &Path, synchronous: Synchronous) -> Settings {
        Settings::new(Place::File(file.to_owned(), synchronous))
    }
}

impl Place {
    /// What a URL names: `sqlite:`, `postgres:`, `postgresql:`, `mysql:` or `mariadb:`. The error says the rule, and nothing of
    /// the URL.
    pub fn parse(url: &str, synchronous: Synchronous) -> Result<Place, String> {
        let schemes = "must begin with sqlite:, postgres:, postgresql:, mysql: or mariadb:";
        let (scheme, rest) = url.split_once(':').ok_or(schemes)?;
        let dialect = match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let path = path.split('?').next().unwrap_or_default();
                if path.is_empty() || path == ":memory:" {
                    return Err("must name a file after sqlite:".into());
                }
                return Ok(Place::File(path.into(), synchronous));
            }
            "postgres" | "postgresql" => Dialect::Postgres,
            "mysql" | "mariadb" => Dialect::Mysql,
            _ => return Err(schemes.into()),
        };
        let parsed =
            Url::parse(url).map_err(|_| format!("is no URL: {scheme}://USER:PASSWORD@HOST/DATABASE, with what is special as %XX"))?;
        if parsed.path().trim_matches('/').is_empty() {
            return Err("must name the database after the host".into());
        }
        Ok(Place::Server(dialect, Redacted::new(url.to_owned())))
    }

    /// The same, where the server must show a certificate that this authority vouches for (a file in PEM), or one that the system
    /// trusts. Unless the URL says otherwise, it must be for that very host, and there is no connection without one.
    pub fn trusting(self, authority: &Path) -> Place {
        let Place::Server(dialect, url) = self else { return self };
        let Ok(mut address) = Url::parse(url.expose()) else { return Place::Server(dialect, url) };
        let (mode, strict, file) = match dialect {
            Dialect::Postgres => ("sslmode", "verify-full", "sslrootcert"),
            Dialect::Mysql | Dialect::Sqlite => ("ssl-mode", "VERIFY_IDENTITY", "ssl-ca"),
        };
        if !address.query_pairs().any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode")) {
            address.query_pairs_mut().append_pair(mode, strict);
        }
        address.query_pairs_mut().append_pair(file, &authority.to_string_lossy());
        Place::Server(dialect, Redacted::new(address.into()))
    }

    /// Whose SQL is spoken there.
    pub fn dialect(&self) -> Dialect {
        match self {
            Place::File(..) => Dialect::Sqlite,
            Place::Server(dialect, _) => *dialect,
        }
    }

    /// The place for people: host and database, and neither name nor password.
    pub fn shown(&self) -> String {
        match self {
            Place::File(file, _) => format!("SQLite {}", file.display()),
            Place::Server(dialect, url) => {
                let Ok(url) = Url::parse(url.expose()) else { return dialect.name().into() };
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
                format!("{} {host}{port}{}", dialect.name(), url.path())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_makes_certificates_obligatory() {
        for (url, with_authority) in [
            ("postgres://me:a%20b@db/app", "postgres://me:a%20b@db/app?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"),
            ("postgres://db/app?sslmode=verify-ca", "postgres://db/app?sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem"),
            ("mysql://db/app", "mysql://db/app?ssl-mode=VERIFY_IDENTITY&ssl-ca=%2Fetc%2Fca.pem"),
        ] {
            let place = Place::parse(url, Synchronous::Full).expect(url).trusting(Path::new("/etc/ca.pem"));
            assert!(matches!(&place, Place::Server(_, url) if url.expose() == with_authority), "{with_authority}");
        }
    }

    #[test]
    fn places_are_read_and_shown_without_secrets() {
        for (url, shown) in [
            ("sqlite:data/a.db", "SQLite data/a.db"),
            ("sqlite:///var/a.db?mode=rwc", "SQLite /var/a.db"),
            ("postgres://me:hush@db.example/app", "PostgreSQL db.example/app"),
            ("postgresql://db.example:5433/app?sslmode=require", "PostgreSQL db.example:5433/app"),
            ("mysql://me:hush@[::1]:3307/app", "MySQL/MariaDB [::1]:3307/app"),
            ("mariadb://me@localhost/app?socket=/run/mysqld/mysqld.sock", "MySQL/MariaDB localhost/app"),
        ] {
            let place = Place::parse(url, Synchronous::Full).expect(url);
            assert_eq!(place.shown(), shown);
            assert!(!format!("{place:?}").contains("hush"), "{place:?}");
        }
        for url in
            ["", "oracle://hush@x/y", "mysql://hush@x", "mysql://hush@x/", "sqlite:", "sqlite::memory:", "postgres://me:hu/sh@x y/app"]
        {
            let refused = Place::parse(url, Synchronous::Full).expect_err(url);
            assert!(!refused.contains("hush") && refused.starts_with(['m', 'i']), "{refused}");
        }
    }
}
