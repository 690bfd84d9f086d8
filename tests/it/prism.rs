//! Every request that the Twilio clients make, against Prism serving Twilio's own API definitions: it answers 422 or 415 to
//! what they do not allow. Run by `./test prism`, which starts Prism and names its addresses in the environment.
//!
//! What Prism cannot show (it has no state, and knows no error but 429) is in [`crate::twilio_verify`]. Calls are in neither
//! definition, so the form of a call is checked nowhere but in our own tests.

use serde_json::{Value, json};

use crate::actors::{Client, eventually, id, number};
use crate::app::TestApp;

/// Where Prism listens; the tests are ignored where nobody has said so.
fn address(name: &str) -> String {
    std::env::var_os(name).and_then(|url| url.into_string().ok()).unwrap_or_else(|| panic!("{name} is not set: run ./test prism"))
}

fn account() -> String {
    format!("account_sid = \"AC{}\"\nauth_token = \"hush\"\n", "a".repeat(32))
}

/// Starts one, and insists that the provider took its message.
async fn taken(client: &Client, body: Value) -> Value {
    let started = client.started(body.clone()).await;
    let standing = eventually("it is known what became of the message", async || {
        let found = client.get(&started).await.expect(200);
        (found["delivery"] != "queued").then_some(found)
    })
    .await;
    assert_eq!(standing["delivery"], "sent", "{body}: {standing}");
    standing
}

#[tokio::test]
#[ignore = "needs Prism: ./test prism"]
async fn prism_takes_every_message() {
    let messages = address("PRISM_MESSAGES");
    let (service, template) = (format!("MG{}", "b".repeat(32)), format!("HX{}", "c".repeat(32)));
    let senders = [
        ("from = \"+15005550006\"".to_owned(), &["sms"][..]),
        (format!("messaging_service_sid = \"{service}\""), &["sms"]),
        ("whatsapp_from = \"+15005550006\"".to_owned(), &["whatsapp"]),
        (format!("whatsapp_from = \"whatsapp:+15005550006\"\nwhatsapp_content_sid = \"{template}\""), &["whatsapp"]),
        (format!("from = \"+15005550006\"\nmessaging_service_sid = \"{service}\"\nwhatsapp_from = \"+15005550006\""), &["sms", "whatsapp"]),
    ];
    let keys =
        [account(), format!("account_sid = \"AC{}\"\napi_key = \"SK{}\"\napi_key_secret = \"hush\"\n", "a".repeat(32), "d".repeat(32))];
    for ((sender, channels), credentials) in senders.iter().zip(keys.iter().cycle()) {
        // With a StatusCallback and without.
        for server in ["", "[server]\npublic_url = \"https://otp.example.com\"\n"] {
            let app =
                TestApp::with(&format!("{server}[provider.twilio]\ntype = \"twilio\"\n{credentials}{sender}\nbase_url = \"{messages}\"\n"))
                    .await;
            for (index, channel) in (1..).zip(*channels) {
                let standing = taken(&app.client(), json!({ "to": number(index), "channel": channel, "locale": "de" })).await;
                assert!(standing["message_id"].as_str().is_some_and(|sid| sid.starts_with("SM")), "{standing}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs Prism: ./test prism"]
async fn prism_takes_every_verification() {
    let settings = format!("{}service_sid = \"VA{}\"\nchannels = [\"sms\", \"call\", \"whatsapp\", \"email\"]", account(), "0".repeat(32));
    let app =
        TestApp::with(&format!("[provider.verify]\ntype = \"twilio-verify\"\n{settings}\nbase_url = \"{}\"\n", address("PRISM_VERIFY")))
            .await;
    let client = app.client();
    // Prism gives each start the one SID of its example, and that is remembered for a day.
    for (index, channel, locale) in [(1, "sms", "en"), (2, "call", "pt-BR"), (3, "whatsapp", "de-AT"), (4, "email", "sw")] {
        let to = if channel == "email" { "Ann.Lee+otp@example.com".to_owned() } else { number(index) };
        app.advance(86_401);
        let standing = taken(&client, json!({ "to": to, "channel": channel, "locale": locale })).await;
        assert!(standing["message_id"].as_str().is_some_and(|sid| sid.starts_with("VE")), "{standing}");
        if channel == "call" {
            let canceled = client.cancel(&standing).await.expect(200);
            assert_eq!((canceled["status"].as_str(), id(&canceled)), (Some("canceled"), id(&standing)));
        } else {
            // Its answer is always the example's: what counts is that it is one.
            let checked = client.check(&standing, "123456").await.expect(200);
            assert_eq!(checked["valid"], true, "{checked}");
        }
    }
}
