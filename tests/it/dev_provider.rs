//! The stand-in itself: what developers without accounts meet.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign::dev_provider::AUTH_TOKEN;
use countersign::dev_provider::receipt::signature;
use serde_json::json;

use crate::binary::Binary;
use crate::stand_in::StandIn;
use crate::wire::{Answer, Wire};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn wire(stand_in: &StandIn) -> std::sync::Arc<Wire> {
    Wire::new(stand_in.provider.url.trim_start_matches("http://").parse().expect("an address"))
}

async fn twilio(wire: &Wire, path: &str, body: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("AC00:{AUTH_TOKEN}")));
    wire.send("POST", path, &[FORM, ("authorization", &basic)], body.to_owned()).await
}

/// Twilio's own example, and one of a status callback.
#[test]
fn signatures_are_those_of_the_documentation() {
    let form = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>();
    let voice = form(&[
        ("To", "+18005551212"),
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
    ]);
    assert_eq!(signature("https://mycompany.com/myapp.php?foo=1&bar=2", &voice, "12345"), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    let (account, message) = (format!("AC{}", "a".repeat(32)), format!("SM{}", "b".repeat(32)));
    let status = form(&[
        ("MessageSid", &message),
        ("SmsSid", &message),
        ("AccountSid", &account),
        ("ApiVersion", "2010-04-01"),
        ("From", "+15005550006"),
        ("MessageStatus", "delivered"),
        ("SmsStatus", "delivered"),
        ("RawDlrDoneDate", "2311141200"),
        ("To", "+15017122661"),
    ]);
    assert_eq!(signature("https://otp.example.com/webhooks/twilio/status?p=1", &status, "12345"), "TOj9YbSSh/jNOUM9TviKuiI2XDg=");
}

/// The SDKs' own requests, and the errors that an account meets.
#[tokio::test]
async fn it_speaks_twilio_messaging() {
    let stand_in = StandIn::new().await;
    let wire = wire(&stand_in);
    let path = "/2010-04-01/Accounts/AC00/Messages.json";
    let body = "To=%2B15017122661&StatusCallback=https%3A%2F%2Fexample.com%2Fcb&From=%2B15005550006&Body=H%C3%A9llo+%26+1%3D2";
    let sent = twilio(&wire, path, body).await.expect(201);
    assert_eq!((&sent["status"], &sent["to"], &sent["body"]), (&json!("queued"), &json!("+15017122661"), &json!("Héllo & 1=2")));
    assert!(sent["sid"].as_str().is_some_and(|sid| sid.len() == 34 && sid.starts_with("SM")), "{sent}");
    let date = sent["date_created"].as_str().expect("a date");
    assert!(date.ends_with(" +0000") && date.as_bytes()[3] == b',', "RFC 2822: {date}");
    for (body, code) in [
        ("From=%2B15005550006&Body=x", 21604),
        ("To=%2B15017122661&Body=x", 21603),
        ("To=%2B15017122661&From=%2B15005550006", 21602),
        ("To=%2B15005550001&From=%2B15005550006&Body=x", 21211),
        ("To=%2B15005550009&From=%2B15005550006&Body=x", 21614),
    ] {
        let refused = twilio(&wire, path, body).await.expect(400);
        assert_eq!((&refused["code"], &refused["status"]), (&json!(code), &json!(400)), "{body}");
    }
    assert_eq!(wire.send("POST", path, &[FORM], body).await.expect(401)["code"], 20003);
    let call = twilio(&wire, "/2010-04-01/Accounts/AC00/Calls.json", "To=%2B15017122661&From=%2B15005550006&Twiml=%3CResponse%2F%3E").await;
    assert!(call.expect(201)["sid"].as_str().is_some_and(|sid| sid.starts_with("CA")));
    let kept = wire.get("/messages", &[]).await.expect(200);
    assert_eq!((kept[0]["text"].as_str(), kept[1]["resource"].as_str()), (Some("Héllo & 1=2"), Some("Calls")));
}

/// A repeated start is the same verification; the right code approves once; then it is gone.
#[tokio::test]
async fn it_speaks_twilio_verify() {
    let stand_in = StandIn::new().await;
    let wire = wire(&stand_in);
    let start = async || twilio(&wire, "/v2/Services/VA00/Verifications", "To=%2B15017122661&Channel=sms").await;
    let check = async |code: &str| twilio(&wire, "/v2/Services/VA00/VerificationCheck", &format!("To=%2B15017122661&Code={code}")).await;
    let first = start().await.expect(201);
    assert_eq!((&first["status"], &first["valid"], &first["lookup"]), (&json!("pending"), &json!(false), &json!({})));
    let again = start().await.expect(201);
    assert_eq!((&again["sid"], again["send_code_attempts"].as_array().map(Vec::len)), (&first["sid"], Some(2)));
    let code = stand_in.received()[1].text.clone();
    assert_eq!(code, stand_in.received()[0].text, "the same code");
    assert_eq!(check("000").await.expect(200)["status"], "pending");
    let right = check(&code).await.expect(200);
    assert_eq!((&right["status"], &right["valid"], &right["sid"]), (&json!("approved"), &json!(true), &first["sid"]));
    assert_eq!(check(&code).await.expect(404)["code"], 20404);
    let next = start().await.expect(201);
    assert_ne!(next["sid"], first["sid"]);
    for _ in 0..5 {
        check("000").await.expect(200);
    }
    assert_eq!(check("000").await.expect(429)["code"], 60202);
    let path = format!("/v2/Services/VA00/Verifications/{}", next["sid"].as_str().expect("a sid"));
    assert_eq!(twilio(&wire, &path, "Status=canceled").await.expect(200)["status"], "canceled");
    assert_eq!(twilio(&wire, &path, "Status=canceled").await.expect(404)["code"], 20404);
    for _ in 0..5 {
        start().await.expect(201);
    }
    assert_eq!(start().await.expect(429)["code"], 60203);
}

#[tokio::test]
async fn it_speaks_startmessaging() {
    let stand_in = StandIn::new().await;
    let wire = wire(&stand_in);
    let post = async |path: &str, body: serde_json::Value| {
        wire.send("POST", path, &[("content-type", "application/json"), ("x-api-key", "sm_live_1")], body.to_string()).await
    };
    let send = json!({ "phoneNumber": "+919812345678", "idempotencyKey": "one" });
    let sent = post("/otp/send", send.clone()).await.expect(200);
    let id = &sent["data"]["requestId"];
    assert!(id.is_string() && sent["data"]["expiresAt"].is_string() && sent["data"]["attemptsLeft"].is_u64(), "{sent}");
    assert_eq!(&post("/otp/send", send).await.expect(200)["data"]["requestId"], id, "the same key, the same message");
    assert_eq!(stand_in.received().len(), 1);
    let code = stand_in.received()[0].text.clone();
    let verify = async |code: &str| post("/otp/verify", json!({ "requestId": id, "otpCode": code })).await;
    assert_eq!(verify("000").await.expect(200)["data"]["verified"], false);
    assert_eq!(verify(&code).await.expect(200)["data"]["verified"], true);
    assert!(verify(&code).await.expect(400)["message"].is_string());
    assert_eq!(
        wire.send("POST", "/otp/send", &[("content-type", "application/json")], "{\"phoneNumber\":\"1\",\"idempotencyKey\":\"2\"}")
            .await
            .status,
        401
    );
}

/// The control route, and what it says of a mistake.
#[tokio::test]
async fn it_is_controlled_while_it_runs() {
    let stand_in = StandIn::new().await;
    let wire = wire(&stand_in);
    let control = async |body: &str| wire.send("POST", "/control", &[], body.to_owned()).await;
    let set = control("{\"fail\":\"429\",\"retry_after\":7}").await.expect(200);
    assert_eq!(set, json!({ "fail": "429", "receipts": "none", "delay_ms": 0, "retry_after": 7 }));
    let refused = twilio(&wire, "/2010-04-01/Accounts/AC00/Messages.json", "To=%2B15017122661&From=%2B15005550006&Body=x").await;
    assert_eq!((refused.expect(429)["code"].as_u64(), refused.retry_after()), (Some(20429), 7));
    assert!(control("{\"fial\":\"429\"}").await.expect(400)["message"].as_str().is_some_and(|text| text.contains("fial")));
    assert_eq!(wire.send("DELETE", "/messages", &[], "").await.status, 204);
    assert_eq!(wire.get("/messages", &[]).await.expect(200), json!([]));
}

#[test]
fn its_help_teaches() {
    let said = Binary::new().run(&["dev-provider", "--help"]);
    assert_eq!(said.code, Some(0));
    for word in ["--fail", "--receipts", "/control", "/messages", "Messages.json", "VerificationCheck", "/otp/send", "hang-body"] {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
    let wrong = Binary::new().run(&["dev-provider", "--fail", "sometimes"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.complaints.contains("unavailable"), "{}", wrong.complaints);
}
