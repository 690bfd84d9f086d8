//! Settings: where they come from, and that a wrong one refuses to start and is named (OTP-02, OTP-03, OPS-03).

use countersign::config::{Config, DEFAULT_TOML};

use crate::binary::Binary;

/// Settings that must not start, and the key that the complaint must name.
const WRONG: [(&str, &str); 53] = [
    ("[service.default]\ncode_length = 4", "service.default.code_length"),
    ("[service.default]\ncode_length = 11", "service.default.code_length"),
    ("[service.default]\ncode_ttl_sms = \"11m\"", "service.default.code_ttl_sms"),
    ("[service.default]\ncode_ttl_sms = \"601s\"", "service.default.code_ttl_sms"),
    ("[service.default]\ncode_ttl_email = \"59s\"", "service.default.code_ttl_email"),
    ("[service.default]\ncode_ttl_call = 300", "code_ttl_call"),
    ("[service.default]\nmax_checks = 6", "service.default.max_checks"),
    ("[service.default]\nmax_checks = 0", "service.default.max_checks"),
    ("[service.default]\nresend_waits = [\"29s\"]", "service.default.resend_waits"),
    ("[service.default.limits]\nhard_failures = 101", "service.default.limits.hard_failures"),
    ("[service.default.limits]\nsoft_failures = 60", "service.default.limits.soft_failures"),
    ("[service.default.limits]\ndestination = []", "service.default.limits.destination"),
    ("[service.default.limits]\ndestination = [\"101/24h\"]", "service.default.limits.destination"),
    ("[service.default.limits]\nip_sends = \"many\"", "ip_sends"),
    ("[service.default.limits]\nip_sends = \"0/1h\"", "ip_sends"),
    ("[service.default]\ncountries = [\"Germany\"]", "service.default.countries"),
    ("[service.default]\ncountries = [\"DE\", \"UK\"]", "service.default.countries: UK is no country that has numbers (GB?)"),
    ("[service.default]\ndefault_region = \"de\"", "service.default.default_region"),
    ("[service.default]\ndefault_region = \"UK\"", "service.default.default_region: UK is no country that has numbers (GB?)"),
    ("[[route]]\nchannel = \"sms\"\ncountries = [\"UK\"]\nproviders = [\"console\"]", "route[0]: UK is no country"),
    ("[service.default]\nbrand = \"\"", "service.default.brand"),
    ("[service.default]\nbrand = \"Shop\\nhttp://evil.example\"", "service.default.brand"),
    ("[service.default]\norigin = \"https://example.com\"", "service.default.origin"),
    ("[service.default]\ncode_lenght = 6", "code_lenght"),
    ("[service.\"Not A Name\"]", "Not A Name"),
    ("[service.shop]\ncode_length = 5", "service.shop.code_length"),
    ("[service.default.templates]\nen = \"{{ code }}\"", "templates"),
    ("[service.default.templates.sms]\nen = \"no code\"", "service.default.templates.sms.en: must contain {{ code }}"),
    ("[service.default.templates.sms]\nen = \"123456 always\"", "service.default.templates.sms.en"),
    ("[service.shop.templates.sms]\n\"pt-BR\" = \"{{ code }} {{ metadata }}\"", "service.shop.templates.sms.pt-BR"),
    ("[service.default.templates.sms]\nen = \"{{ code }} {{ link }}\"", "service.default.templates.sms.en"),
    ("[service.default.templates.sms]\nen = \"{{ code\"", "service.default.templates.sms.en"),
    ("[service.default.templates.sms]\n\"../en\" = \"{{ code }}\"", "service.default.templates.sms.../en"),
    ("[service.default.templates.whatsapp]\nen = \"{{ code }}\"", "templates"),
    ("[service.default.templates.email.en]\nsubject = \"a\\nb\"\ntext = \"{{ code }}\"", "service.default.templates.email.en.subject"),
    ("[service.default.templates.email.en]\nsubject = \"a\"\ntext = \"b\"", "service.default.templates.email.en.text"),
    (
        "[service.default.templates.email.en]\nsubject = \"a\"\ntext = \"{{ code }}\"\nhtml = \"b\"",
        "service.default.templates.email.en.html",
    ),
    ("[service.default.templates.email.en]\ntext = \"{{ code }}\"", "subject"),
    (
        "[service.default.templates.call.en]\ngreeting = \"{{ code }}\"\nagain = \"a\"\ngoodbye = \"b\"",
        "service.default.templates.call.en.greeting",
    ),
    ("[service.default]\nandroid_app_hash = \"FA+9qCX9VS\"", "service.default.android_app_hash"),
    ("[service.default]\nandroid_app_hash = \"FA+9qCX9VSu\"\norigin = \"example.com\"", "must not be set together with origin"),
    ("[server]\nhost = \"0.0.0.0\"", "server.host"),
    ("[server]\nhots = \"127.0.0.1\"", "hots"),
    ("[server]\nheader_timeout = \"0s\"", "server.header_timeout"),
    ("[server]\ntls_key_file = \"x\"", "server.tls_key_file"),
    ("[server]\ntrusted_proxies = [\"everybody\"]", "trusted_proxies"),
    ("mode = \"production\"", "service.default.countries"),
    (
        "mode = \"production\"\n[service.default]\ncountries = [\"DE\"]\n[dev]\ntest_destinations = { \"+15005550006\" = \"123456\" }",
        "dev.test_destinations",
    ),
    ("[dev]\ntest_destinations = { \"+15005550006\" = \"1234\" }", "dev.test_destinations"),
    // SES-07: cookies of people in production are for TLS only.
    ("mode = \"production\"\n[service.default]\ncountries = [\"DE\"]\n[accounts]\nenabled = true", "server.public_url"),
    (
        "mode = \"production\"\n[service.default]\ncountries = [\"DE\"]\n[accounts]\nenabled = true\n\
         [server]\npublic_url = \"http://id.example.com\"",
        "server.public_url",
    ),
    ("[store]\nretention = \"59m\"", "store.retention"),
    ("[limits]\ndestination = \"101/24h\"", "limits.destination"),
];

#[test]
fn wrong_settings_refuse_to_start_and_name_the_key() {
    for (toml, key) in WRONG {
        let binary = Binary::new().file("countersign.toml", toml);
        let said = binary.run(&["serve"]);
        assert_eq!(said.code, Some(2), "{toml}: {said:?}");
        assert!(said.complaints.contains(key), "{toml}: {key} is not named in {}", said.complaints);
        assert_eq!(said.out, "", "{toml}");
    }
}

#[test]
fn config_check_says_the_same_as_serve() {
    for (toml, key) in WRONG {
        let said = Binary::new().file("countersign.toml", toml).run(&["config", "check"]);
        assert_eq!(said.code, Some(2), "{toml}: {said:?}");
        assert!(said.complaints.contains(key), "{toml}: {key} is not named in {}", said.complaints);
    }
    let said = Binary::new().run(&["config", "check"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "ok\n"));
}

/// What a server would not start with is wrong wherever it is written, the environment included.
#[test]
fn config_check_sees_the_environment() {
    for (name, value) in [("DATABASE_URL", "oracle://db.example/app"), ("REDIS_URL", "memcached://cache.example")] {
        let said = Binary::new().with(name, value).run(&["config", "check"]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.complaints.contains(name), "{said:?}");
    }
    assert_eq!(Binary::new().with("REDIS_URL", "redis://cache.example").run(&["config", "check"]).code, Some(0));
}

#[test]
fn a_weak_pepper_refuses_to_start() {
    for (name, pepper) in [
        ("PEPPER", "c2hvcnQ="),
        ("PEPPER", "not base64 at all !"),
        ("PREVIOUS_PEPPER", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("PEPPER_FILE", "/nowhere"),
    ] {
        let said = Binary::new().with(&format!("COUNTERSIGN_SECRETS__{name}"), pepper).run(&["serve"]);
        assert_eq!(said.code, Some(2), "{name} {said:?}");
        assert!(said.complaints.contains(&format!("secrets.{}", name.to_lowercase())), "{name} {said:?}");
        assert!(name == "PEPPER_FILE" || !said.complaints.contains(pepper), "the value is repeated: {said:?}");
    }
}

/// A secret of the wrong type is a mistake like any other, and still a secret.
#[test]
fn a_mistyped_secret_is_not_repeated() {
    for toml in [
        "[secrets]\npepper = 918273645546372819",
        "[secrets]\npepper = [\"918273645546372819\"]",
        // No TOML: its parser shows the line.
        "[secrets]\npepper = \"918273645546372819\n",
        "[dev]\ntest_destinations = { \"+15005550006\" = 918273645 }",
    ] {
        let said = Binary::new().file("countersign.toml", toml).run(&["config", "check"]);
        assert_eq!(said.code, Some(2), "{toml}: {said:?}");
        assert!(!said.complaints.contains("918273645"), "{toml}: {}", said.complaints);
    }
}

/// The complaint says where the value came from.
#[test]
fn the_source_of_a_wrong_value_is_named() {
    for (variable, key) in [
        ("COUNTERSIGN_SERVER__MAX_CONNECTIONS", "server.max_connections"),
        ("COUNTERSIGN_SERVICE__DEFAULT__CODE_LENGTH", "service.default.code_length"),
        ("PORT", "server.port"),
    ] {
        let said = Binary::new().with(variable, "many").run(&["config", "check"]);
        assert!(said.code == Some(2) && said.complaints.contains(&format!("{key}: must be a whole number")), "{said:?}");
        assert!(said.complaints.contains(&format!("(from {variable})")), "{said:?}");
    }
    let said = Binary::new().file("own.toml", "[server]\nmax_connections = \"many\"").run(&["--config", "own.toml", "config", "check"]);
    assert!(said.code == Some(2) && said.complaints.contains("(from own.toml)"), "{said:?}");
    let said = Binary::new().run(&["--config", "missing.toml", "config", "check"]);
    assert!(said.code == Some(2) && said.complaints.contains("missing.toml"), "{said:?}");
}

fn shown(binary: &Binary, arguments: &[&str]) -> serde_json::Value {
    let said = binary.run(arguments);
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.out).expect("JSON")
}

/// Defaults, file, `.env`, environment: the later wins.
#[test]
fn later_layers_win() {
    let port = |binary: &Binary| shown(binary, &["config", "show"])["server"]["port"].clone();
    let binary = Binary::new().without("COUNTERSIGN_SERVER__PORT");
    assert_eq!(port(&binary), 8080);
    let binary = binary.file("countersign.toml", "[server]\nport = 1001");
    assert_eq!(port(&binary), 1001);
    let binary = binary.file(".env", "COUNTERSIGN_SERVER__PORT=1002\n");
    assert_eq!(port(&binary), 1002);
    let binary = binary.with("COUNTERSIGN_SERVER__PORT", "1003");
    assert_eq!(port(&binary), 1003, "what is set already is not overwritten by a file");
    let binary = binary.with("PORT", "1004").with("HOST", "http://localhost");
    assert_eq!(port(&binary), 1004);
    assert_eq!(shown(&binary, &["config", "show"])["server"]["host"], "localhost");
}

/// A further service takes from `default` what it does not say itself; a preset gives way to settings.
#[test]
fn services_inherit() {
    let toml = "[service.default]\nbrand = \"Acme\"\ncode_length = 7\n[service.shop]\npreset = \"twilio\"\ncode_ttl_sms = \"3m\"";
    let service = shown(&Binary::new().file("countersign.toml", toml), &["config", "show"])["service"].clone();
    assert_eq!((&service["shop"]["brand"], &service["shop"]["code_length"]), (&"Acme".into(), &7.into()));
    assert_eq!((&service["shop"]["code_ttl_sms"], &service["shop"]["code_ttl_email"]), (&"3m".into(), &"10m".into()));
    assert_eq!((&service["shop"]["same_code"], &service["default"]["same_code"]), (&true.into(), &false.into()));
}

#[test]
fn config_show_prints_no_secret() {
    let pepper = "kZ7v1m0rP2sT5u8xA4bD6eF9hJ3lN7qW1yC0gI2oK5M=";
    let binary = Binary::new()
        .with("COUNTERSIGN_SECRETS__PEPPER", pepper)
        .with("COUNTERSIGN_SECRETS__PREVIOUS_PEPPER", &pepper.replace('k', "K"))
        .file("countersign.toml", "[dev]\ntest_destinations = { \"+15005550006\" = \"918273\" }");
    let said = binary.run(&["config", "show"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for secret in [pepper, &pepper.replace('k', "K"), "918273"] {
        assert!(!said.out.contains(secret), "{}", said.out);
    }
    assert!(said.out.contains("[redacted]") && said.out.contains("+15005550006"), "{}", said.out);
}

/// The reference is what runs: it parses, has a line for every key, and no line for a key that is none.
#[test]
fn the_reference_is_true_and_complete() {
    let config = Config::from_toml("").expect("the defaults");
    // A line that is commented out shows how to set what is not set.
    let mut live = String::new();
    for line in DEFAULT_TOML.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_setting = bare
            .split_once(" = ")
            .is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
        let is_section = bare.starts_with('[') && bare.ends_with(']') && !bare.contains(' ');
        if is_setting || is_section {
            live.push_str(bare);
            live.push('\n');
        }
    }
    let live = live.replace("pepper = \"\"", "pepper = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"");
    Config::from_toml(&live).unwrap_or_else(|error| panic!("a commented line is not true: {error}\n{live}"));
    let reference: toml_value::Value = toml_value::parse(&live);
    let mut missing = Vec::new();
    toml_value::missing(&serde_json::to_value(&config).expect("JSON"), &reference, String::new(), &mut missing);
    assert_eq!(missing, Vec::<String>::new(), "keys without a line");
}

/// TOML read as a tree, through the parser that reads the settings.
mod toml_value {
    use figment::Figment;
    use figment::providers::{Format, Toml};
    pub use serde_json::Value;

    pub fn parse(toml: &str) -> Value {
        Figment::from(Toml::string(toml)).extract().expect("TOML")
    }

    pub fn missing(known: &Value, written: &Value, path: String, into: &mut Vec<String>) {
        for (name, value) in known.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            match written.get(name) {
                None => into.push(path),
                Some(written) => missing(value, written, path, into),
            }
        }
    }
}

#[test]
fn config_default_prints_the_reference() {
    let said = Binary::new().run(&["config", "default"]);
    assert_eq!((said.code, said.out.trim_end()), (Some(0), DEFAULT_TOML.trim_end()));
}

/// HOST as some tutorials have it: a URL.
#[tokio::test]
async fn host_may_be_a_url() {
    let binary = Binary::new().without("COUNTERSIGN_SERVER__PORT").with("HOST", "http://localhost").with("PORT", "0");
    let server = binary.serve().await;
    assert!(server.url.starts_with("http://localhost:"), "{}", server.url);
    server.stranger().get("/readyz").await.expect(200);
}
