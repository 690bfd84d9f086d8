//! The keys that sign access tokens, as an operator meets them.

use serde_json::Value;

use crate::binary::Binary;

fn keys(binary: &Binary, arguments: &[&str]) -> Vec<Value> {
    let said = binary.run(&[&["keys"], arguments, &["--json"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.out).expect("a list")
}

fn standings(keys: &[Value]) -> Vec<&str> {
    keys.iter().map(|key| key["standing"].as_str().expect("text")).collect()
}

/// TOK-07: a rotation publishes, and signs later; one at once leaves nothing of the old keys. No private half is ever shown.
#[test]
fn keys_are_listed_and_rotated() {
    let binary = Binary::new();
    assert_eq!(keys(&binary, &["list"]), Vec::<Value>::new());
    assert!(binary.run(&["keys", "list"]).out.contains("No keys"));
    let first = keys(&binary, &["rotate"]);
    assert_eq!(standings(&first), ["signs"], "where nobody signs nobody waits");
    let names: Vec<_> = first[0].as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["active_at", "algorithm", "created_at", "kid", "opens", "retired_at", "standing"]);
    let both = keys(&binary, &["rotate"]);
    assert_eq!(standings(&both), ["signs", "next"]);
    assert!(both[0]["kid"] == first[0]["kid"] && both[0]["retired_at"].is_string() && both[1]["retired_at"].is_null());
    assert_eq!(keys(&binary, &["list"]), both);
    let people = binary.run(&["keys", "list"]).out;
    assert!(people.contains("signs, and has a successor") && people.contains("signs from "), "{people}");
    let last = keys(&binary, &["rotate", "--now"]);
    assert_eq!((standings(&last), last.len()), (vec!["signs"], 1));
    assert!(both.iter().all(|key| key["kid"] != last[0]["kid"]));
}

/// A key that another pepper sealed is told of, and is no key.
#[test]
fn a_key_under_a_lost_pepper_is_named() {
    let binary = Binary::new();
    keys(&binary, &["rotate"]);
    std::fs::remove_file(binary.data().join("pepper.key")).expect("the pepper");
    assert_eq!(keys(&binary, &["list"])[0]["opens"], false);
    assert!(binary.run(&["keys", "list"]).out.contains("does not open with this pepper"));
    let rotated = keys(&binary, &["rotate"]);
    assert_eq!((&rotated[1]["opens"], &rotated[1]["standing"]), (&true.into(), &"signs".into()));
}
