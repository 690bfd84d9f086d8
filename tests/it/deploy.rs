//! The files that people start from: what they set is a setting.

use std::path::Path;

use crate::binary::Binary;

/// Each variable of ours in that file, with the value that it gets there.
fn variables(file: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)).expect(file);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|line| {
        let from = line.find("COUNTERSIGN_").filter(|_| !line.contains("${"))?;
        line[from..].split_once(['=', ':']).map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

#[test]
fn the_files_in_deploy_set_what_there_is() {
    for (file, count) in [("compose.yaml", 5), ("countersign@.service", 5)] {
        let found = variables(file);
        assert_eq!(found.len(), count, "{file}: {found:?}");
        let mut binary = Binary::new().file("pepper", &"ab".repeat(32)).file("database_url", "postgres://one@database/countersign");
        for (name, value) in found {
            let secret = value.replace("/run/secrets/", "").replace("%d/", "").replace("1%i", "18080").replace("%i", "8080");
            let value = if value.contains("/run/secrets/") || value.starts_with("%d/") {
                binary.directory().join(secret).display().to_string()
            } else if name.ends_with("DATA_DIR") {
                binary.data().display().to_string()
            } else {
                secret
            };
            binary = binary.without(&name).with(&name, &value);
        }
        // In dev mode nobody listens on all addresses.
        let binary = binary.without("COUNTERSIGN_SERVER__HOST");
        let said = binary.run(&["config", "check"]);
        assert_eq!(said.code, Some(0), "{file}: {said:?}");
    }
}
