//! Databases and Redis that are spoken to in private: their certificate must be theirs, and who vouches for it one of ours. The
//! servers (`tests/databases/run --tls`) take nobody who does not encrypt, so that what works is encrypted.

use serde_json::json;

use crate::actors::number;
use crate::binary::{Binary, Said};

const NOT_TRUSTED: &str = "shows a certificate that is not trusted here";

fn variable(name: &str) -> String {
    std::env::var(name).expect("tests/databases/run --tls sets it")
}

/// The databases, by the name that their certificate is for.
fn databases() -> [(String, &'static str); 2] {
    let named = |name: &str| variable(name).replace("127.0.0.1", "localhost");
    [
        (named("COUNTERSIGN_TEST_POSTGRES_URL"), "sslmode=verify-full&sslrootcert="),
        (named("COUNTERSIGN_TEST_MYSQL_URL"), "ssl-mode=VERIFY_IDENTITY&ssl-ca="),
    ]
}

fn quiet() -> Binary {
    Binary::new().with("COUNTERSIGN_CONSOLE__PRINT", "false")
}

fn migrate(binary: &Binary) -> Said {
    binary.run(&["migrate"])
}

async fn sends_and_checks(binary: Binary, index: u32) {
    let server = binary.serve().await;
    let client = server.client();
    let started = client.started(json!({ "to": number(index) })).await;
    let code = server.inbox().code(&started).await;
    assert_eq!(client.check(&started, &code).await.expect(200)["valid"], true);
}

#[tokio::test]
#[ignore = "needs servers that speak TLS: tests/databases/run"]
async fn a_database_is_believed_by_its_certificate() {
    let (ca, other_ca) = (variable("COUNTERSIGN_TEST_CA"), variable("COUNTERSIGN_TEST_OTHER_CA"));
    for (url, strictly) in databases() {
        let strict = format!("{url}?{}", strictly.split('&').next().expect("a mode"));
        let by_url = migrate(&quiet().with("DATABASE_URL", &format!("{url}?{strictly}{ca}")));
        assert_eq!(by_url.code, Some(0), "{by_url:?}");
        let by_system = migrate(&quiet().with("DATABASE_URL", &strict).with("SSL_CERT_FILE", &ca));
        assert_eq!(by_system.code, Some(0), "{by_system:?}");

        let address = url.replace("localhost", "127.0.0.1");
        for (url, ca_file, cause) in
            [(&strict, None, "UnknownIssuer"), (&url, Some(&other_ca), "UnknownIssuer"), (&address, Some(&ca), "not valid for name")]
        {
            let mut binary = quiet().with("DATABASE_URL", url);
            if let Some(file) = ca_file {
                binary = binary.with("COUNTERSIGN_DATABASE__CA_FILE", file);
            }
            for command in ["migrate", "serve"] {
                let refused = binary.run(&[command]);
                let told = refused.complaints.contains(NOT_TRUSTED) && refused.complaints.contains(cause);
                assert!(refused.code == Some(1) && told, "{url} {command}: {refused:?}");
                assert!(!refused.complaints.contains("creates"), "a password is told: {refused:?}");
            }
        }
        sends_and_checks(quiet().with("DATABASE_URL", &url).with("COUNTERSIGN_DATABASE__CA_FILE", &ca), 1).await;
    }
}

#[tokio::test]
#[ignore = "needs servers that speak TLS: tests/databases/run"]
async fn redis_is_believed_by_its_certificate() {
    let (ca, other_ca) = (variable("COUNTERSIGN_TEST_CA"), variable("COUNTERSIGN_TEST_OTHER_CA"));
    let address = variable("COUNTERSIGN_TEST_REDIS_URL");
    let url = address.replace("127.0.0.1", "localhost");
    let with = |url: &str, ca_file: Option<&String>| {
        let binary = quiet().with("REDIS_URL", url);
        ca_file.into_iter().fold(binary, |binary, file| binary.with("COUNTERSIGN_REDIS__CA_FILE", file))
    };
    for (url, ca_file, cause) in
        [(&url, None, "UnknownIssuer"), (&url, Some(&other_ca), "UnknownIssuer"), (&address, Some(&ca), "not valid for name")]
    {
        let binary = with(url, ca_file);
        let doctor = binary.run(&["doctor"]);
        let told = doctor.out.lines().any(|line| line.starts_with("WRONG") && line.contains(cause));
        assert!(doctor.code == Some(1) && told, "{url}: {doctor:?}");
        let server = binary.serve().await;
        server.client().start(json!({ "to": number(1) })).await.problem(503, "unavailable");
        assert!(server.log().contains(cause), "{}", server.log());
    }
    for (url, ca_file) in [("redis://localhost", ca.as_str()), (url.as_str(), "/dev/null")] {
        let binary = quiet().with("COUNTERSIGN_REDIS__URL", url).with("COUNTERSIGN_REDIS__CA_FILE", ca_file);
        let refused = binary.run(&["config", "check"]);
        assert!(refused.code == Some(2) && refused.complaints.contains("redis.ca_file"), "{refused:?}");
    }

    sends_and_checks(with(&url, Some(&ca)), 1).await;
    // The same Redis, which remembers the first number.
    sends_and_checks(with(&url, None).with("SSL_CERT_FILE", &ca), 2).await;
}
