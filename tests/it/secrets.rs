//! OTP-07, OTP-09, LOG-02, A36, A37: the real executable, logging all it can, in every way that codes pass through it. Then
//! everything that it left behind is searched for every code: logs, files, answers.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use countersign::dev_provider::AUTH_TOKEN;
use countersign::dev_provider::fault::Fail;
use countersign::dev_provider::knobs::Change;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::actors::{Client, eventually, id, number, wrong};
use crate::binary::Binary;
use crate::stand_in::{StandIn, code, post_receipt};
use crate::wire::{Answer, Wire};

/// Ten digits: six would turn up by chance, in times and ids.
const SETTINGS: &str = "
[log]
filter = \"trace\"
[console]
print = false
[service.default]
code_length = 10
custom_code = true
resend_waits = []
";
const OWN_CODE: &str = "9182736455";

/// Bytes as text, one character each, so that the quick search for text finds bytes.
fn searchable(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A code, and what it could be kept as by somebody who means well.
fn forms(code: &str) -> Vec<(&'static str, String)> {
    let hash = Sha256::digest(code.as_bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    vec![
        ("in clear", code.to_owned()),
        ("in hex", hex(code.as_bytes())),
        ("in base64", STANDARD_NO_PAD.encode(code)),
        ("as SHA-256", searchable(&hash)),
        ("as SHA-256 in hex", hex(&hash)),
        ("as SHA-256 in HEX", hex(&hash).to_uppercase()),
        ("as SHA-256 in base64", STANDARD_NO_PAD.encode(hash)),
        ("as SHA-256 in base64url", URL_SAFE_NO_PAD.encode(hash)),
    ]
}

/// Every way that a code goes in or out. What was answered, the inbox's answers left out.
async fn exercise(client: &Client, server: &crate::binary::Running, first: u32) -> Vec<Answer> {
    let (inbox, stranger) = (server.inbox(), server.stranger());
    let mut answers = Vec::new();
    for index in first..first + 5 {
        let to = number(index);
        let started = client.start(json!({ "to": to, "ip": "203.0.113.9", "subject": "account-17", "metadata": { "order": "17" } })).await;
        let verification = started.expect(201);
        let old = inbox.code(&verification).await;
        answers.push(started);
        answers.push(client.check(&verification, &wrong(&old, 1)).await);
        answers.push(client.resend(&verification).await);
        let code = inbox.code_of_message(&verification, 2).await;
        answers.push(client.check(&verification, &old).await);
        answers.push(client.post_once("/v1/verifications/check", &format!("key-{to}"), json!({ "to": to, "code": code })).await);
        answers.push(client.post_once("/v1/verifications/check", &format!("key-{to}"), json!({ "to": to, "code": old })).await);
        answers.push(client.check(&verification, &code).await);
        // Codes where they do not belong.
        answers.push(client.post("/v1/verifications", json!({ "to": code })).await);
        answers.push(client.post("/v1/verifications", json!({ "to": to, "channel": code, "x": code })).await);
        answers.push(client.post("/v1/verifications", json!({ "to": to, "ip": code })).await);
        answers.push(client.post(&format!("/v1/verifications/{}/check", id(&verification)), json!({ "code": [code] })).await);
        answers.push(client.list(&to, &format!("&code={code}")).await);
        answers.push(client.list(&to, "").await);
        answers.push(client.get(&verification).await);
        answers.push(client.start(json!({ "to": number(index + 500), "code": OWN_CODE })).await);
    }
    let mail = client.started(json!({ "to": format!("ann.lee{first}@example.com") })).await;
    inbox.code(&mail).await;
    answers.push(client.get(&mail).await);
    answers.push(client.cancel(&mail).await);

    let to = number(first + 900);
    answers.push(stranger.post("/send-code", &[], json!({ "phoneNumber": to })).await);
    let code = eventually("the tutorial's code", async || {
        let messages = inbox.messages().await;
        let message = messages.iter().find(|message| message["to"] == to.as_str())?;
        Some(message["code"].as_str()?.to_owned())
    })
    .await;
    answers.push(stranger.post("/verify-code", &[], json!({ "phoneNumber": to, "smsCode": wrong(&code, 1) })).await);
    answers.push(stranger.post("/verify-code", &[], json!({ "phoneNumber": to, "smsCode": code })).await);

    let sent = stranger.post("/auth/send-otp", &[], json!({ "phone": number(first + 901) })).await;
    let request_id = sent.expect(200)["request_id"].clone();
    answers.push(sent);
    let code = inbox.code(&json!({ "id": request_id })).await;
    for body in [
        json!({ "request_id": code, "code": [code] }),
        json!({ "request_id": code, "code": code }),
        json!({ "request_id": request_id, "code": wrong(&code, 1) }),
        json!({ "request_id": request_id, "code": code }),
    ] {
        answers.push(stranger.post("/auth/verify-otp", &[], body).await);
    }
    answers
}

#[tokio::test]
async fn codes_are_nowhere_but_in_the_inbox() {
    let binary = Binary::new().file("countersign.toml", SETTINGS);
    let server = binary.serve().await;
    let http1 = server.client();
    let http2 =
        Client { wire: Wire::http2(server.url.trim_start_matches("http://").parse().expect("an address")).await, key: server.key.clone() };
    let mut answers = exercise(&http1, &server, 0).await;
    answers.extend(exercise(&http2, &server, 100).await);
    for path in ["/", "/docs", "/openapi.json", "/readyz", "/nothing"] {
        answers.push(server.stranger().get(path).await);
    }
    answers.push(Wire::new(server.admin).get("/metrics", &[]).await);

    let messages = server.inbox().messages().await;
    let mut codes: Vec<String> = messages.iter().map(|message| message["code"].as_str().expect("a code").to_owned()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() > 20 && codes.contains(&OWN_CODE.to_owned()), "{} codes", codes.len());

    // Twice: while codes are live and the journal is not yet written back, and after a clean end.
    let mut places = files(&binary, "while it runs");
    server.signal("TERM");
    let (_, log) = server.ended().await;
    places.extend(files(&binary, "in the end"));
    assert!(log.contains("verification.started") && log.contains("TRACE"), "the log tells all that it can");
    assert!(places.iter().any(|(_, text)| text.contains(&number(0))), "the search finds what is there");
    places.push(("the log".into(), log.clone()));
    for answer in &answers {
        places.push((format!("an answer {}", answer.status), format!("{:?}\n{}", answer.headers, answer.body)));
    }
    for code in &codes {
        for (form, needle) in forms(code) {
            for (place, text) in &places {
                assert!(!text.contains(&needle), "a code {form} is in {place}: {}", around(text, &needle));
            }
        }
    }

    let answered = places.iter().filter(|(place, _)| place.starts_with("an answer"));
    for (place, text) in answered.chain([&("the log".to_owned(), log.clone())]) {
        for message in &messages {
            let to = message["to"].as_str().expect("a destination");
            assert!(!text.contains(to.trim_start_matches('+')), "{place} has {to} in full: {}", around(text, to.trim_start_matches('+')));
        }
        assert!(!text.contains(http1.key.splitn(3, '_').nth(2).expect("a key")), "{place} has the key");
    }
}

/// The way to a provider: what it is handed (code, number, our auth token) is in no log, metric or answer, however it fails.
#[tokio::test]
async fn nothing_that_a_provider_is_handed_is_told() {
    let provider = StandIn::new().await;
    let settings = format!(
        "{SETTINGS}limits.destination = [\"100/24h\"]\n[server]\npublic_url = \"https://otp.example\"\n[delivery]\nretry_wait = \"5ms\"\n{}",
        provider.section("a")
    );
    let binary = Binary::new().file("countersign.toml", &settings);
    let server = binary.serve().await;
    let client = server.client();
    let mut answers = Vec::new();
    provider.provider.set(Change { retry_after: Some(0), ..Change::default() });
    for (index, (_, fail, _)) in (0..).zip(Fail::ALL.into_iter().filter(|(_, fail, _)| !matches!(fail, Fail::Hang | Fail::HangBody))) {
        // A success between the failures keeps the breaker closed.
        for (fail, channel) in [(fail, ["sms", "whatsapp", "call"][index as usize % 3]), (Fail::None, "sms"), (Fail::None, "call")] {
            provider.fail(fail);
            let started = client.start(json!({ "to": number(index), "channel": channel, "wait": true })).await;
            let verification = started.expect(201);
            answers.push(started);
            answers.push(client.check(&verification, "0000000000").await);
            answers.push(client.get(&verification).await);
        }
    }
    let messages = provider.received();
    for (message, status) in messages.iter().filter(|message| message.taken).zip(["delivered", "undelivered", "sent"].into_iter().cycle()) {
        answers.push(post_receipt(&server.wire, message, if message.resource == "Calls" { "completed" } else { status }, AUTH_TOKEN).await);
        answers.push(post_receipt(&server.wire, message, status, "forged").await);
    }
    answers.push(Wire::new(server.admin).get("/metrics", &[]).await);
    answers.push(server.stranger().get("/readyz").await);
    let codes: Vec<_> = messages.iter().filter(|message| message.resource == "Messages").map(code).collect();
    assert!(codes.len() >= 20, "{} codes", codes.len());
    server.signal("TERM");
    let (_, log) = server.ended().await;
    assert!(log.contains("TRACE") && log.contains("not delivered"), "the log tells all that it can");
    let basic = STANDARD_NO_PAD.encode(format!("AC00000000000000000000000000000000:{AUTH_TOKEN}"));
    let mut secrets = vec![("the auth token", AUTH_TOKEN.to_owned()), ("the credentials", basic)];
    for code in &codes {
        secrets.extend(forms(code));
    }
    secrets.extend(messages.iter().map(|message| ("a number", message.to.rsplit('+').next().expect("a number").to_owned())));
    for (what, secret) in &secrets {
        assert!(!log.contains(secret), "{what} is in the log: {}", around(&log, secret));
        for answer in &answers {
            let text = format!("{:?}\n{}", answer.headers, answer.body);
            assert!(!text.contains(secret), "{what} is in an answer {}: {}", answer.status, around(&text, secret));
        }
    }
}

fn files(binary: &Binary, when: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(binary.data()).expect("a directory");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files.map(|file| (format!("{} {when}", file.display()), searchable(&std::fs::read(&file).expect("a file")))).collect()
}

fn around<'a>(text: &'a str, needle: &str) -> &'a str {
    let at = text.find(needle).unwrap_or(0);
    let start = text[..at].char_indices().rev().nth(80).map_or(0, |(index, _)| index);
    let end = text[at..].char_indices().nth(120).map_or(text.len(), |(index, _)| at + index);
    &text[start..end]
}

/// Dev mode's files are their owner's.
#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let binary = Binary::new();
    let server = binary.serve().await;
    server.client().started(json!({ "to": number(1) })).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&binary.data()), 0o700);
    for name in ["countersign.db", "pepper.key", "first-client.key"] {
        assert_eq!(mode(&binary.data().join(name)), 0o600, "{name}");
    }
}
