//! What stands beside verifications in Twilio's face: kept and shown, or refused in its words.

use serde_json::json;

use crate::twilio::Sdk;
use crate::twilio_factors::{Story, refused};

/// A list of an account's own. ABU-03: it lifts no limit.
#[tokio::test]
async fn numbers_on_the_safe_list_are_limited_all_the_same() {
    let story = Story::new("[limits]\ndestination = \"1/1h\"\n").await;
    let (twilio, number) = (&story.twilio, "+15017122661");
    let added = twilio.post("/v2/SafeList/Numbers", &[("PhoneNumber", number)]).await.expect(201);
    assert!(added["sid"].as_str().is_some_and(|sid| sid.starts_with("GN") && sid.len() == 34), "{added}");
    refused(&twilio.post("/v2/SafeList/Numbers", &[("PhoneNumber", "+1 501 712 2661")]).await, 400, 60411);
    refused(&twilio.post("/v2/SafeList/Numbers", &[("PhoneNumber", "ann@example.com")]).await, 400, 60200);
    let path = format!("/v2/SafeList/Numbers/{number}");
    assert_eq!(twilio.get(&path).await.expect(200), added);
    assert_eq!(twilio.get(&path.replace('+', "%2B")).await.expect(200), added);
    let stranger = Sdk::new(&story.app).await;
    refused(&stranger.get(&path).await, 404, 20404);
    refused(&stranger.delete(&path).await, 404, 20404);
    let start = async || twilio.post(&format!("{}/Verifications", story.service), &[("To", number), ("Channel", "sms")]).await;
    start().await.expect(201);
    assert_eq!(start().await.status, 429);
    assert_eq!(twilio.delete(&path).await.status, 204);
    refused(&twilio.get(&path).await, 404, 20404);
}

#[tokio::test]
async fn templates_are_the_shipped_texts() {
    let story = Story::new("").await;
    let all = story.twilio.get("/v2/Templates").await.expect(200);
    let templates = all["templates"].as_array().expect("a list");
    assert_eq!(templates.len(), 3);
    let sms = templates.iter().find(|template| template["channels"] == json!(["sms"])).expect("a template");
    assert!(sms["sid"].as_str().is_some_and(|sid| sid.starts_with("HJ") && sid.len() == 34), "{sms}");
    assert_eq!(sms["translations"]["en"]["is_default_translation"], true);
    assert!(sms["translations"]["de"]["text"].as_str().is_some_and(|text| text.contains("{{ code }}")), "{sms}");
    let named = story.twilio.get("/v2/Templates?FriendlyName=nobody").await.expect(200);
    assert_eq!(named["templates"], json!([]));
}

#[tokio::test]
async fn messaging_configurations_are_kept() {
    let story = Story::new("").await;
    let (twilio, path) = (&story.twilio, format!("{}/MessagingConfigurations", story.service));
    let (one, other) = (format!("MG{}", "a".repeat(32)), format!("MG{}", "b".repeat(32)));
    let made = twilio.post(&path, &[("Country", "CA"), ("MessagingServiceSid", &one)]).await.expect(201);
    assert_eq!((&made["country"], &made["messaging_service_sid"]), (&json!("CA"), &json!(one)));
    refused(&twilio.post(&path, &[("Country", "CA"), ("MessagingServiceSid", &other)]).await, 400, 60213);
    twilio.post(&path, &[("Country", "all"), ("MessagingServiceSid", &one)]).await.expect(201);
    for (country, sid) in [("Canada", one.as_str()), ("ca", &one), ("US", "MG1")] {
        refused(&twilio.post(&path, &[("Country", country), ("MessagingServiceSid", sid)]).await, 400, 60200);
    }
    assert_eq!(twilio.post(&format!("{path}/CA"), &[("MessagingServiceSid", &other)]).await.expect(200)["messaging_service_sid"], other);
    assert_eq!(twilio.get(&path).await.expect(200)["messaging_configurations"].as_array().map(Vec::len), Some(2));
    assert_eq!(twilio.delete(&format!("{path}/CA")).await.status, 204);
    refused(&twilio.get(&format!("{path}/CA")).await, 404, 20404);
}

/// A token that opens nothing is not handed out, and nothing is notified that cannot be.
#[tokio::test]
async fn push_is_refused() {
    let story = Story::new("").await;
    let form = [("Identity", "user-0123456789"), ("FactorType", "push")];
    refused(&story.twilio.post(&format!("{}/AccessTokens", story.service), &form).await, 403, 60204);
    let factor = story.verified().await;
    let challenges = format!("{}/Challenges", story.person);
    let challenge = story.twilio.post(&challenges, &[("FactorSid", factor["sid"].as_str().expect("a SID"))]).await.expect(201);
    let path = format!("{challenges}/{}/Notifications", challenge["sid"].as_str().expect("a SID"));
    refused(&story.twilio.post(&path, &[("Ttl", "60")]).await, 403, 60204);
    refused(&story.twilio.get("/v2/Forms/form-push").await, 404, 20404);
}
