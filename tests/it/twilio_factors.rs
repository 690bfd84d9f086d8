//! Entities, factors and challenges by Twilio's face, as its SDKs use them; and what is tried against them.

use std::collections::BTreeSet;

use countersign::db::client::Scope;
use countersign::verification::policy::DEFAULT_SERVICE;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::people::{totp_at, totp_now};
use crate::twilio::Sdk;
use crate::wire::Answer;

const PERSON: &str = "user-0123456789";

/// An integrator with one person of its own.
pub(crate) struct Story {
    pub(crate) app: TestApp,
    pub(crate) twilio: Sdk,
    /// The path of the service.
    pub(crate) service: String,
    /// The path of the person.
    pub(crate) person: String,
}

impl Story {
    pub(crate) async fn new(toml: &str) -> Story {
        let app = TestApp::with(toml).await;
        let twilio = Sdk::new(&app).await;
        let service = twilio.service(&[("FriendlyName", "Acme")]).await;
        let person = format!("{service}/Entities/{PERSON}");
        Story { app, twilio, service, person }
    }

    /// A factor that waits for its first code.
    async fn factor(&self, more: &[(&str, &str)]) -> Value {
        let form = [&[("FriendlyName", "Bob's phone"), ("FactorType", "totp")], more].concat();
        self.twilio.post(&format!("{}/Factors", self.person), &form).await.expect(201)
    }

    fn path(&self, factor: &Value) -> String {
        format!("{}/Factors/{}", self.person, factor["sid"].as_str().expect("a SID"))
    }

    async fn verify(&self, factor: &Value, code: &str) -> Answer {
        self.twilio.post(&self.path(factor), &[("AuthPayload", code)]).await
    }

    fn code(&self, factor: &Value) -> String {
        totp_now(&self.app, &factor["binding"]["secret"])
    }

    /// A code of six digits that is none of those that count now.
    fn wrong(&self, factor: &Value) -> String {
        let right: BTreeSet<_> = (-2..=2).map(|steps| totp_at(&self.app, &factor["binding"]["secret"], steps)).collect();
        (0..).map(|number| format!("{number:06}")).find(|code| !right.contains(code)).expect("one of a million")
    }

    /// A factor that has proven itself. The clock is one step further then.
    pub(crate) async fn verified(&self) -> Value {
        let factor = self.factor(&[]).await;
        assert_eq!(self.verify(&factor, &self.code(&factor)).await.expect(200)["status"], "verified");
        self.app.advance(30);
        factor
    }

    async fn challenge(&self, factor: &Value, more: &[(&str, &str)]) -> Answer {
        let form = [&[("FactorSid", factor["sid"].as_str().expect("a SID"))], more].concat();
        self.twilio.post(&format!("{}/Challenges", self.person), &form).await
    }

    async fn answer(&self, challenge: &Value, code: &str) -> Answer {
        let sid = challenge["sid"].as_str().expect("a SID");
        self.twilio.post(&format!("{}/Challenges/{sid}", self.person), &[("AuthPayload", code)]).await
    }
}

/// Twilio's shape of an error.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, code: u32) {
    answer.refused(status, code);
}

/// TOTP-05, TOTP-04: an app counts from its first right code on, and its secret is shown once.
#[tokio::test]
async fn an_app_is_set_up_and_answers_challenges() {
    let story = Story::new("").await;
    let factor = story.factor(&[("Metadata", r#"{"os":"x"}"#)]).await;
    assert_eq!((&factor["status"], &factor["factor_type"]), (&json!("unverified"), &json!("totp")));
    assert_eq!(factor["config"], json!({ "alg": "sha1", "skew": 1, "code_length": 6, "time_step": 30 }));
    assert_eq!(factor["metadata"], json!({ "os": "x" }));
    let secret = factor["binding"]["secret"].as_str().expect("a secret");
    let uri = factor["binding"]["uri"].as_str().expect("a URI");
    assert_eq!(uri, format!("otpauth://totp/Acme:Bob%27s%20phone?secret={secret}&issuer=Acme&algorithm=SHA1&digits=6&period=30"));
    refused(&story.challenge(&factor, &[]).await, 403, 60318);
    let wrong = story.verify(&factor, &story.wrong(&factor)).await.expect(200);
    assert_eq!(wrong["status"], "unverified");
    let right = story.verify(&factor, &story.code(&factor)).await.expect(200);
    assert_eq!(right["status"], "verified");
    assert!(right.get("binding").is_none() && !right.to_string().contains(secret));
    refused(&story.verify(&factor, &story.code(&factor)).await, 400, 60306);

    // The code that verified is used (TOTP-02).
    let challenge = story.challenge(&factor, &[]).await.expect(201);
    assert_eq!((&challenge["status"], &challenge["date_responded"]), (&json!("pending"), &Value::Null));
    assert_eq!(story.answer(&challenge, &story.code(&factor)).await.expect(200)["status"], "pending");
    story.app.advance(30);
    let approved = story.answer(&challenge, &story.code(&factor)).await.expect(200);
    assert_eq!(approved["status"], "approved");
    assert!(approved["date_responded"].is_string());
    refused(&story.answer(&challenge, &story.code(&factor)).await, 403, 60322);
    let found = story.twilio.get(&format!("{}/Challenges/{}", story.person, approved["sid"].as_str().expect("a SID"))).await.expect(200);
    assert_eq!(found, approved);
    let listed = story.twilio.get(&story.path(&factor)).await.expect(200);
    assert!(listed.get("binding").is_none());
}

/// What a challenge carries, and a code that comes with it.
#[tokio::test]
async fn a_challenge_may_bring_its_code() {
    let story = Story::new("").await;
    let factor = story.verified().await;
    let code = story.code(&factor);
    let details =
        [("Details.Message", "Login?"), ("Details.Fields", r#"{"label":"IP","value":"1.2.3.4"}"#), ("HiddenDetails", r#"{"ip":"1"}"#)];
    let challenge = story.challenge(&factor, &[&details[..], &[("AuthPayload", code.as_str())]].concat()).await.expect(201);
    assert_eq!(challenge["status"], "approved");
    assert_eq!(challenge["details"]["message"], "Login?");
    assert_eq!(challenge["details"]["fields"], json!([{ "label": "IP", "value": "1.2.3.4" }]));
    assert_eq!(challenge["hidden_details"], json!({ "ip": "1" }));
    let replayed = story.challenge(&factor, &[("AuthPayload", code.as_str())]).await.expect(201);
    assert_eq!(replayed["status"], "pending", "a step counts once, whichever challenge it came to (TOTP-02)");
    let filtered = async |query: &str| {
        let path = format!("{}/Challenges?{query}", story.person);
        story.twilio.get(&path).await.expect(200)["challenges"].as_array().expect("a list").len()
    };
    assert_eq!((filtered("Status=pending").await, filtered("Status=approved").await, filtered("Order=desc").await), (1, 1, 2));
    story.app.advance(301);
    assert_eq!((filtered("Status=pending").await, filtered("Status=expired").await), (0, 1));
    refused(&story.answer(&replayed, &story.code(&factor)).await, 403, 60323);
    refused(&story.challenge(&factor, &[("ExpirationDate", "2020-01-01T00:00:00Z")]).await, 400, 60300);
}

/// ATT-01, ATT-04: five codes, and the right one is the sixth.
#[tokio::test]
async fn the_sixth_code_is_not_judged() {
    let story = Story::new("").await;
    let factor = story.factor(&[]).await;
    for _ in 0..5 {
        assert_eq!(story.verify(&factor, &story.wrong(&factor)).await.expect(200)["status"], "unverified");
    }
    refused(&story.verify(&factor, &story.code(&factor)).await, 429, 60310);

    let factor = story.verified().await;
    let challenge = story.challenge(&factor, &[]).await.expect(201);
    for _ in 0..5 {
        assert_eq!(story.answer(&challenge, &story.wrong(&factor)).await.expect(200)["status"], "pending");
    }
    refused(&story.answer(&challenge, &story.code(&factor)).await, 429, 60308);
    refused(&story.answer(&challenge, &story.code(&factor)).await, 429, 60308);
    let path = format!("{}/Challenges/{}", story.person, challenge["sid"].as_str().expect("a SID"));
    assert_eq!(story.twilio.get(&path).await.expect(200)["status"], "denied");
    // What is no code was not counted, and is no code (TOTP-06).
    let challenge = story.challenge(&factor, &[]).await.expect(201);
    for no_code in ["12345", "1234567", " 123456", "123 456", "+123456", "１２３４５６"] {
        refused(&story.answer(&challenge, no_code).await, 400, 60300);
    }
    assert_eq!(story.answer(&challenge, &story.code(&factor)).await.expect(200)["status"], "approved");
}

/// ATT-02: after fifty wrong codes in a row a factor is judged no more, by whichever challenge; removed and enrolled anew it is.
#[tokio::test]
async fn a_factor_closes_after_fifty_wrong_codes() {
    let story = Story::new("").await;
    let factor = story.verified().await;
    for _ in 0..10 {
        let challenge = story.challenge(&factor, &[]).await.expect(201);
        for _ in 0..5 {
            story.answer(&challenge, &story.wrong(&factor)).await.expect(200);
        }
    }
    refused(&story.challenge(&factor, &[]).await, 429, 60310);
    refused(&story.challenge(&factor, &[("AuthPayload", &story.code(&factor))]).await, 429, 60310);
    assert_eq!(story.twilio.delete(&story.path(&factor)).await.status, 204);
    let factor = story.verified().await;
    let code = story.code(&factor);
    assert_eq!(story.challenge(&factor, &[("AuthPayload", &code)]).await.expect(201)["status"], "approved");
}

/// TOTP-02, ATT-04, OTP-04: fifty equal right codes at once, to one challenge and to fifty: one passes.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_equal_codes_one_passes() {
    let story = Story::new("").await;
    let factor = story.factor(&[]).await;
    let code = story.code(&factor);
    let answers = join_all((0..50).map(|_| story.verify(&factor, &code))).await;
    let verified = answers.iter().filter(|answer| answer.status == 200 && answer.json()["status"] == "verified").count();
    // Those that were counted before the first one passed see it verified, too; the event is told once.
    assert!((1..=5).contains(&verified), "{verified}");

    story.app.advance(30);
    let challenge = story.challenge(&factor, &[]).await.expect(201);
    let code = story.code(&factor);
    let answers = join_all((0..50).map(|_| story.answer(&challenge, &code))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200 && answer.json()["status"] == "approved").count(), 1);
    assert!(answers.iter().filter(|answer| answer.status == 200).count() <= 5, "no more than five were judged");

    story.app.advance(30);
    let mut challenges = Vec::new();
    for _ in 0..40 {
        challenges.push(story.challenge(&factor, &[]).await.expect(201));
    }
    let code = story.code(&factor);
    let answers = join_all(challenges.iter().map(|challenge| story.answer(challenge, &code))).await;
    let approved = answers.iter().filter(|answer| answer.status == 200 && answer.json()["status"] == "approved").count();
    assert_eq!(approved, 1, "over forty challenges");
}

/// 60312: so many challenges of one factor, in an hour and in a day; at once, too.
#[tokio::test(flavor = "multi_thread")]
async fn challenges_are_bounded() {
    let story = Story::new("").await;
    let factor = story.verified().await;
    let asked = join_all((0..60).map(|_| story.challenge(&factor, &[]))).await;
    assert_eq!(asked.iter().filter(|answer| answer.status == 201).count(), 50);
    refused(asked.iter().find(|answer| answer.status != 201).expect("a refusal"), 429, 60312);
    story.app.advance(3601);
    let asked = join_all((0..60).map(|_| story.challenge(&factor, &[]))).await;
    assert_eq!(asked.iter().filter(|answer| answer.status == 201).count(), 50);
    story.app.advance(3601);
    refused(&story.challenge(&factor, &[]).await, 429, 60312);
    story.app.advance(24 * 3600);
    story.challenge(&factor, &[]).await.expect(201);
}

/// OTP-02: what would make codes guessable is refused by name; the rest of Twilio's range is served.
#[tokio::test]
async fn forms_of_apps() {
    let story = Story::new("").await;
    let path = format!("{}/Factors", story.person);
    for (name, value) in [
        ("Config.CodeLength", "3"),
        ("Config.CodeLength", "5"),
        ("Config.CodeLength", "9"),
        ("Config.TimeStep", "19"),
        ("Config.TimeStep", "61"),
        ("Config.Alg", "md5"),
        ("Binding.Secret", "GEZDGNBVGY3TQOJQ"),
        ("Binding.Secret", "not base32!"),
        ("FactorType", "sms"),
        ("Metadata", "[1]"),
    ] {
        let mut form = vec![("FriendlyName", "Bob"), ("FactorType", "totp")];
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        refused(&story.twilio.post(&path, &form).await, 400, 60300);
    }
    for kind in ["push", "passkeys"] {
        refused(&story.twilio.post(&path, &[("FriendlyName", "Bob"), ("FactorType", kind)]).await, 403, 60204);
    }
    let brought = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let form = [
        ("Binding.Secret", brought),
        ("Config.CodeLength", "8"),
        ("Config.Alg", "sha256"),
        ("Config.TimeStep", "60"),
        ("Config.Skew", "0"),
    ];
    let factor = story.factor(&form).await;
    assert_eq!(factor["binding"]["secret"], brought);
    assert_eq!(factor["config"], json!({ "alg": "sha256", "skew": 0, "code_length": 8, "time_step": 60 }));
    let uri = factor["binding"]["uri"].as_str().expect("a URI");
    assert!(uri.ends_with("&algorithm=SHA256&digits=8&period=60"), "{uri}");
}

/// TOTP-04: whoever reads the database learns no secret, and a row that was moved to another person opens nothing there.
#[tokio::test]
async fn secrets_are_sealed_for_their_factor() {
    let story = Story::new("").await;
    let bob = story.verified().await;
    let carols = format!("{}/Entities/user-9876543210", story.service);
    let carol = story.twilio.post(&format!("{carols}/Factors"), &[("FriendlyName", "Carol"), ("FactorType", "totp")]).await.expect(201);
    let dump = story.app.dump("entity_factor");
    for factor in [&bob, &carol] {
        let secret = factor["binding"]["secret"].as_str().expect("a secret");
        assert!(!dump.contains(secret), "{secret}");
    }
    let ids: Vec<_> =
        [&bob, &carol].map(|factor| uuid::Uuid::try_parse(&factor["sid"].as_str().expect("a SID")[2..]).expect("an id")).into();
    story.app.meddle(&format!(
        "UPDATE entity_factor SET secret = (SELECT secret FROM (SELECT secret FROM entity_factor WHERE id = '{}') AS other) WHERE id = '{}'",
        ids[1], ids[0]
    )).await;
    let challenge = story.challenge(&bob, &[]).await.expect(201);
    let answer = story.answer(&challenge, &totp_now(&story.app, &carol["binding"]["secret"])).await;
    refused(&answer, 500, 20500);
}

/// OPS-07: what belongs to another account, another service or another person is not there.
#[tokio::test]
async fn others_are_not_there() {
    let story = Story::new("").await;
    let factor = story.verified().await;
    let challenge = story.challenge(&factor, &[]).await.expect(201);
    let (factor_sid, challenge_sid) = (factor["sid"].as_str().expect("a SID"), challenge["sid"].as_str().expect("a SID"));
    let stranger = Sdk::new(&story.app).await;
    let theirs = stranger.service(&[("FriendlyName", "Other")]).await;
    let neighbours = story.twilio.service(&[("FriendlyName", "Neighbour")]).await;
    for service in [&theirs, &neighbours] {
        for identity in [PERSON, "user-9876543210"] {
            stranger.post(&format!("{theirs}/Entities"), &[("Identity", identity)]).await;
            story.twilio.post(&format!("{neighbours}/Entities"), &[("Identity", identity)]).await;
            let caller = if *service == theirs { &stranger } else { &story.twilio };
            for end in [format!("Factors/{factor_sid}"), format!("Challenges/{challenge_sid}")] {
                let path = format!("{service}/Entities/{identity}/{end}");
                refused(&caller.get(&path).await, 404, 20404);
                refused(&caller.post(&path, &[("AuthPayload", &story.code(&factor))]).await, 404, 20404);
            }
            refused(&caller.delete(&format!("{service}/Entities/{identity}/Factors/{factor_sid}")).await, 404, 20404);
            let form = [("FactorSid", factor_sid)];
            refused(&caller.post(&format!("{service}/Entities/{identity}/Challenges"), &form).await, 404, 60390);
        }
    }
    // Another account in the first one's service.
    for path in [story.person.clone(), story.path(&factor), format!("{}/Challenges", story.person), format!("{}/Entities", story.service)] {
        refused(&stranger.get(&path).await, 404, 20404);
    }
    assert_eq!(story.answer(&challenge, &story.code(&factor)).await.expect(200)["status"], "approved");
}

/// Entities and factors come and go, in pages; with a person go the factors.
#[tokio::test]
async fn people_come_and_go() {
    let story = Story::new("").await;
    let entities = format!("{}/Entities", story.service);
    for number in 0..5 {
        let entity = story.twilio.post(&entities, &[("Identity", &format!("person-{number:04}"))]).await.expect(201);
        assert!(entity["sid"].as_str().is_some_and(|sid| sid.starts_with("YE") && sid.len() == 34), "{entity}");
    }
    refused(&story.twilio.post(&entities, &[("Identity", "person-0000")]).await, 409, 60301);
    for wrong in ["short", "with space 12", "under_score_1"] {
        refused(&story.twilio.post(&entities, &[("Identity", wrong)]).await, 400, 60300);
    }
    let mut url = Some(format!("{entities}?PageSize=2"));
    let mut seen = Vec::new();
    while let Some(path) = url {
        let page = story.twilio.get(&path).await.expect(200);
        assert_eq!(page["meta"]["key"], "entities");
        seen.extend(
            page["entities"].as_array().expect("a list").iter().map(|entity| entity["identity"].as_str().expect("text").to_owned()),
        );
        url = page["meta"]["next_page_url"]
            .as_str()
            .map(|url| url.split_once("/v2/").expect("absolute").1.to_owned())
            .map(|rest| format!("/v2/{rest}"));
    }
    // The clock stands still: among those of one millisecond there is no order.
    seen.sort();
    assert_eq!(seen, (0..5).map(|number| format!("person-{number:04}")).collect::<Vec<_>>());
    let factors = format!("{entities}/person-0000/Factors");
    let factor = story.twilio.post(&factors, &[("FriendlyName", "Bob"), ("FactorType", "totp")]).await.expect(201);
    let renamed = story.twilio.post(&format!("{factors}/{}", factor["sid"].as_str().expect("a SID")), &[("FriendlyName", "Robert")]).await;
    assert_eq!(renamed.expect(200)["friendly_name"], "Robert");
    assert_eq!(story.twilio.delete(&format!("{entities}/person-0000")).await.status, 204);
    refused(&story.twilio.get(&factors).await, 404, 20404);
    story.twilio.post(&entities, &[("Identity", "person-0000")]).await.expect(201);
    assert_eq!(story.twilio.get(&factors).await.expect(200)["factors"], json!([]));
    assert_eq!(story.app.dump("entity_factor").trim_matches('|'), "");
    // With a service go its people.
    assert_eq!(story.twilio.delete(&story.service).await.status, 204);
    assert_eq!(story.app.dump("entity").trim_matches('|'), "");
}

/// 60315: a hundred factors of one person, and not one more, at once either.
#[tokio::test(flavor = "multi_thread")]
async fn factors_are_bounded() {
    let story = Story::new("").await;
    let path = format!("{}/Factors", story.person);
    let form = [("FriendlyName", "Bob"), ("FactorType", "totp")];
    let made = join_all((0..110).map(|_| story.twilio.post(&path, &form))).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 100);
    refused(made.iter().find(|answer| answer.status != 201).expect("a refusal"), 400, 60315);
}

/// OPS-03: credentials without the scope do nothing, and none at all nothing either.
#[tokio::test]
async fn scopes_are_asked_for() {
    let story = Story::new("").await;
    let reader = Sdk::of(&story.app, DEFAULT_SERVICE, &[Scope::Read]).await;
    let own = reader.get("/v2/Services").await.expect(200);
    let service = format!("/v2/Services/{}", own["services"][0]["sid"].as_str().expect("a SID"));
    refused(&reader.post(&format!("{service}/Entities"), &[("Identity", PERSON)]).await, 403, 20403);
    reader.get(&format!("{service}/Entities")).await.expect(200);
    let nobody = Sdk { auth_token: "0".repeat(32), ..reader };
    refused(&nobody.get(&format!("{service}/Entities")).await, 401, 20003);
}
