//! The files that people start from: what they set is a setting, and what they name is there.

use std::path::Path;

use crate::binary::Binary;

const SECRETS: &str = "/run/secrets/";

fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).expect(file)
}

/// The configuration that the compose file gives to both replicas.
#[test]
fn what_the_containers_read_is_a_configuration() {
    let config = text("countersign.toml");
    let compose = text("compose.yaml");
    let mut binary = Binary::new();
    for (name, secret) in [
        ("pepper", "ab".repeat(32)),
        ("database_url", "postgres://countersign:one@database/countersign\n".into()),
        ("twilio_auth_token", "0".repeat(32)),
    ] {
        assert!(config.contains(&format!("{SECRETS}{name}\"")), "{name}");
        assert!(compose.contains(&format!("{name}: {{ file: ./{name} }}")), "{name}");
        binary = binary.file(name, &secret);
    }
    let here = format!("{}/", binary.directory().display());
    let binary = binary.file("countersign.toml", &config.replace(SECRETS, &here));
    let said = binary.run(&["config", "check"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    // Whoever connects from the network of the containers is a proxy.
    let network = compose.split("subnet: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a network");
    assert!(config.contains(&format!("trusted_proxies = [\"{network}\"]")), "{network}");
}

/// What the units set beside the configuration.
#[test]
fn the_units_set_what_there_is() {
    for (file, count) in [("countersign.service", 0), ("countersign@.service", 2)] {
        let unit = text(file);
        let variables: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('=')).collect();
        assert_eq!(variables.len(), count, "{file}: {variables:?}");
        let mut binary = Binary::new();
        for (name, value) in variables {
            let value = if name.ends_with("DATA_DIR") { binary.data().display().to_string() } else { value.replace("%i", "8080") };
            binary = binary.without(name).with(name, &value);
        }
        let said = binary.run(&["config", "check"]);
        assert_eq!(said.code, Some(0), "{file}: {said:?}");
    }
}
