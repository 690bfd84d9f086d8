//! A provider that makes the codes: Twilio Verify, as its documentation describes it, on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign::account::reset::{Forgot, Reset};
use countersign::account::secret_token::SecretToken;
use countersign::app;
use countersign::clock::Clock;
use countersign::config::Config;
use countersign::db::import;
use countersign::secret::SystemEntropy;
use countersign::verification::destination::Destination;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::actors::{Client, eventually, id, number, wrong};
use crate::app::TestApp;
use crate::sign_in::Person;
use crate::upstream::{Asked, Reply, Upstream};

/// What it has pending, and how it feels today.
#[derive(Default)]
struct State {
    pending: BTreeMap<String, Pending>,
    made: u32,
    /// In place of the next answers, in order.
    instead: Vec<Reply>,
    /// Approves a code as often as it comes, and all at the same time: only we can make the claim unique.
    forgetful: Option<Arc<Barrier>>,
}

struct Pending {
    sid: String,
    code: String,
    checks: u32,
    sends: u32,
}

struct TwilioVerify {
    state: Arc<Mutex<State>>,
    api: Upstream,
}

impl TwilioVerify {
    async fn new() -> TwilioVerify {
        let state = Arc::<Mutex<State>>::default();
        let answering = Arc::clone(&state);
        let api = Upstream::new(move |asked| answering.lock().expect("no test panics with the lock").answer(asked)).await;
        TwilioVerify { state, api }
    }

    fn settings(&self) -> String {
        let settings = "account_sid = \"AC1\"\nauth_token = \"hush\"\nservice_sid = \"VA1\"\nchannels = [\"sms\", \"call\"]";
        format!(
            "[provider.theirs]\ntype = \"twilio-verify\"\n{settings}\nbase_url = \"{}\"\n[delivery]\nretry_wait = \"1ms\"\n",
            self.api.url
        )
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the lock")
    }

    /// What the person reads.
    fn code(&self, to: &str) -> String {
        self.state().pending[to].code.clone()
    }

    fn sends(&self, to: &str) -> u32 {
        self.state().pending[to].sends
    }

    fn instead(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().instead.extend(replies);
    }
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if !self.instead.is_empty() {
            return self.instead.remove(0);
        }
        if asked.basic().as_deref() != Some("AC1:hush") {
            return refused(401, 20003, "Authenticate");
        }
        let (form, Some(path)) = (asked.form(), asked.path.strip_prefix("/v2/Services/VA1/")) else { return gone(asked) };
        let field = |name: &str| form.get(name).map(String::as_str);
        match path {
            "Verifications" => match (field("To"), field("Channel")) {
                (Some(to), Some("sms" | "call")) => self.start(to),
                _ => refused(400, 60200, "Invalid parameter: Channel"),
            },
            "VerificationCheck" => self.check(asked, field("VerificationSid").unwrap_or_default(), field("Code").unwrap_or_default()),
            update => {
                let sid = update.strip_prefix("Verifications/").unwrap_or_default();
                let to = self.pending.iter().find(|(_, pending)| pending.sid == sid).map(|(to, _)| to.clone());
                match (to.and_then(|to| self.pending.remove(&to)), field("Status")) {
                    (Some(_), Some("canceled")) => verification(200, sid, "canceled", false),
                    _ => gone(asked),
                }
            }
        }
    }

    fn start(&mut self, to: &str) -> Reply {
        self.made += 1;
        let (sid, code) = (format!("VE{:032x}", self.made), format!("{:06}", 271_828 + 7_919 * self.made));
        let pending = self.pending.entry(to.to_owned()).or_insert(Pending { sid, code, checks: 0, sends: 0 });
        pending.sends += 1;
        match pending.sends {
            6.. => refused(429, 60203, "Max send attempts reached"),
            _ => verification(201, &pending.sid, "pending", false),
        }
    }

    fn check(&mut self, asked: &Asked, sid: &str, code: &str) -> Reply {
        let Some((to, pending)) = self.pending.iter_mut().find(|(_, pending)| pending.sid == sid) else { return gone(asked) };
        pending.checks += 1;
        if pending.checks > 5 {
            return refused(429, 60202, "Max check attempts reached");
        }
        if pending.code != code {
            return verification(200, sid, "pending", false);
        }
        let to = to.clone();
        if self.forgetful.is_none() {
            self.pending.remove(&to);
        }
        Reply { together: self.forgetful.clone(), ..verification(200, sid, "approved", true) }
    }
}

fn verification(status: u16, sid: &str, word: &str, valid: bool) -> Reply {
    let body = json!({ "sid": sid, "service_sid": "VA1", "status": word, "valid": valid, "amount": null, "payee": null });
    Reply::new(status, body.to_string())
}

fn refused(status: u16, code: u32, message: &str) -> Reply {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    Reply::new(status, json!({ "code": code, "message": message, "more_info": more_info, "status": status }).to_string())
}

fn gone(asked: &Asked) -> Reply {
    refused(404, 20404, &format!("The requested resource {} was not found", asked.path))
}

async fn begun() -> (TwilioVerify, TestApp, Client) {
    let theirs = TwilioVerify::new().await;
    let app = TestApp::with(&theirs.settings()).await;
    let client = app.client();
    (theirs, app, client)
}

async fn valid(client: &Client, verification: &Value, code: &str) -> bool {
    client.check(verification, code).await.expect(200)["valid"] == true
}

/// The verification once its message was given up.
async fn failed(client: &Client, verification: &Value) -> Value {
    eventually("the message is given up", async || {
        let found = client.get(verification).await.expect(200);
        (found["delivery"] == "failed").then_some(found)
    })
    .await
}

#[tokio::test]
async fn they_make_the_code_and_it_passes_once() {
    let (theirs, app, client) = begun().await;
    let started = client.started(json!({ "to": number(1), "locale": "de-AT" })).await;
    client.sent(&started).await;
    let asked = theirs.api.asked_at("/Verifications").remove(0).form();
    let form =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>();
    assert_eq!(asked, form(&[("To", &number(1)), ("Channel", "sms"), ("Locale", "de")]));
    let shown = app.inbox().messages().await;
    assert!(shown.iter().all(|message| message["code"].is_null()), "a code that nobody here knows cannot be shown: {shown:?}");

    let code = theirs.code(&number(1));
    let checked = client.check(&started, &wrong(&code, 1)).await.expect(200);
    assert_eq!((&checked["valid"], &checked["attempts_left"]), (&json!(false), &json!(4)));
    let sid = theirs.state().pending[&number(1)].sid.clone();
    assert!(valid(&client, &started, &code).await);
    assert_eq!(theirs.api.asked_at("/VerificationCheck")[1].form(), form(&[("VerificationSid", &sid), ("Code", &code)]));
    assert!(!valid(&client, &started, &code).await, "twice");
    assert_eq!(theirs.api.asked_at("/VerificationCheck").len(), 2, "what has ended here is not asked about there");
}

/// OTP-04: even where the provider approves a code as often as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_at_once_one_passes() {
    let (theirs, _app, client) = begun().await;
    theirs.state().forgetful = Some(Arc::new(Barrier::new(5)));
    let started = client.started(json!({ "to": number(1) })).await;
    client.sent(&started).await;
    let code = theirs.code(&number(1));
    let verdicts = join_all((0..50).map(|_| valid(&client, &started, &code))).await;
    assert_eq!(verdicts.into_iter().filter(|valid| *valid).count(), 1);
    assert_eq!(theirs.api.asked_at("/VerificationCheck").len(), 5, "the checks of one code, and no more, are passed on");
}

/// OPS-01: what is not judged does not pass, and is counted.
#[tokio::test]
async fn while_they_are_down_nothing_passes() {
    let (theirs, _app, client) = begun().await;
    let started = client.started(json!({ "to": number(1) })).await;
    client.sent(&started).await;
    let code = theirs.code(&number(1));
    let approved = r#"{"status":"approved","valid":true}"#;
    let answers = [
        Reply::new(503, ""),
        refused(429, 20429, "Too many requests").retry_after(1),
        Reply::new(200, "<html>approved</html>"),
        Reply::new(500, approved),
    ];
    for (answer, left) in answers.into_iter().zip([4, 3, 2, 1]) {
        theirs.instead([answer]);
        let refused = client.check(&started, &code).await;
        refused.problem(503, "unavailable");
        assert!(refused.retry_after() > 0);
        let standing = client.get(&started).await.expect(200);
        assert_eq!((&standing["status"], &standing["attempts_left"]), (&json!("pending"), &json!(left)));
    }
    assert!(valid(&client, &started, &code).await, "the last check, once they are back");

    let next = client.started(json!({ "to": number(2) })).await;
    client.sent(&next).await;
    let code = theirs.code(&number(2));
    theirs.api.vanish();
    client.check(&next, &code).await.problem(503, "unavailable");
    assert_eq!(client.get(&next).await.expect(200)["attempts_left"], 4);
}

/// What is used up or canceled there is a wrong code here.
#[tokio::test]
async fn a_code_that_died_there_is_wrong_here() {
    let (theirs, _app, client) = begun().await;
    let started = client.started(json!({ "to": number(1) })).await;
    client.sent(&started).await;
    let code = theirs.code(&number(1));
    theirs.instead([refused(429, 60202, "Max check attempts reached")]);
    assert!(!valid(&client, &started, &code).await);
    theirs.state().pending.clear();
    assert!(!valid(&client, &started, &code).await);
}

/// OTP-05: they send the pending code again, whatever it is for. It is good for the first purpose only.
#[tokio::test]
async fn one_code_is_never_good_for_two_purposes() {
    let (theirs, app, client) = begun().await;
    let login = client.started(json!({ "to": number(1), "purpose": "login" })).await;
    client.sent(&login).await;
    let code = theirs.code(&number(1));
    app.advance(31);
    let payment = client.started(json!({ "to": number(1), "purpose": "payment" })).await;
    let standing = failed(&client, &payment).await;
    assert!(standing["timeline"].to_string().contains("another verification"), "{standing}");
    assert_eq!(theirs.sends(&number(1)), 2, "they did send it");
    assert!(!valid(&client, &payment, &code).await);
    assert!(valid(&client, &login, &code).await, "and the first one is not harmed");
    assert!(!valid(&client, &payment, &code).await);

    // Ours has expired, theirs lives on.
    let login = client.started(json!({ "to": number(2), "purpose": "login" })).await;
    client.sent(&login).await;
    let code = theirs.code(&number(2));
    app.advance(301);
    let payment = client.started(json!({ "to": number(2), "purpose": "payment" })).await;
    failed(&client, &payment).await;
    assert!(!valid(&client, &payment, &code).await && !valid(&client, &login, &code).await);
    app.advance(41);
    let again = client.started(json!({ "to": number(2), "purpose": "login" })).await;
    assert_ne!(id(&again), id(&login));
    client.sent(&again).await;
    assert!(valid(&client, &again, &code).await, "sent again for what it was made for");
}

#[tokio::test]
async fn a_resend_and_a_second_start_send_the_pending_code_again() {
    let (theirs, app, client) = begun().await;
    let started = client.started(json!({ "to": number(1) })).await;
    client.sent(&started).await;
    let code = theirs.code(&number(1));
    assert!(!valid(&client, &started, &wrong(&code, 1)).await);
    app.advance(31);
    client.resend(&started).await.expect(200);
    client.sent(&started).await;
    app.advance(41);
    let again = client.started(json!({ "to": number(1), "channel": "call" })).await;
    assert_eq!(id(&again), id(&started), "a start joins the pending one");
    assert_eq!(again["attempts_left"], 4, "and renews no checks");
    client.sent(&started).await;
    assert_eq!((theirs.sends(&number(1)), theirs.code(&number(1))), (3, code.clone()));
    assert_eq!(theirs.api.asked_at("/Verifications")[2].form()["Channel"], "call");
    assert!(valid(&client, &started, &code).await);
}

#[tokio::test]
async fn a_cancel_reaches_them() {
    let (theirs, app, client) = begun().await;
    let started = client.started(json!({ "to": number(1) })).await;
    client.sent(&started).await;
    let (code, sid) = (theirs.code(&number(1)), theirs.state().pending[&number(1)].sid.clone());
    client.cancel(&started).await.expect(200);
    assert_eq!(theirs.api.asked_at(&format!("/Verifications/{sid}"))[0].form()["Status"], "canceled");
    assert!(theirs.state().pending.is_empty());
    assert!(!valid(&client, &started, &code).await);
    app.advance(31);
    let next = client.started(json!({ "to": number(1) })).await;
    client.sent(&next).await;
    // They are down when the next one is called off: its code lives on there, and serves nobody here.
    let code = theirs.code(&number(1));
    theirs.instead([Reply::new(503, "")]);
    client.cancel(&next).await.expect(200);
    app.advance(41);
    let last = client.started(json!({ "to": number(1) })).await;
    failed(&client, &last).await;
    assert!(!valid(&client, &last, &code).await);
}

/// R06: they have perhaps sent a code. Asked again they send the same, and tell its name, without which it could never pass.
#[tokio::test]
async fn an_unclear_start_is_asked_again() {
    let (theirs, _app, client) = begun().await;
    let unclear =
        [Reply::new(500, ""), Reply::new(201, "<html>created</html>"), Reply::new(201, json!({ "sid": "VE/../Services" }).to_string())];
    for (index, answer) in (1..).zip(unclear) {
        theirs.instead([answer]);
        let started = client.started(json!({ "to": number(index) })).await;
        client.sent(&started).await;
        assert!(valid(&client, &started, &theirs.code(&number(index))).await);
    }
    theirs.instead([Reply::new(500, ""), Reply::new(500, "")]);
    let before = theirs.api.asked().len();
    let started = client.started(json!({ "to": number(9) })).await;
    failed(&client, &started).await;
    assert_eq!(theirs.api.asked().len(), before + 2, "twice at most");
}

#[tokio::test]
async fn a_refused_start_is_not_asked_again() {
    let (theirs, _app, client) = begun().await;
    for (index, answer, cause) in [
        (1, refused(429, 60203, "Max send attempts reached"), "too many codes to this number, 60203"),
        (2, refused(400, 60200, "Invalid parameter: To"), "the number cannot receive it, 60200"),
        (3, refused(403, 60410, "blocked"), "fraud guard"),
    ] {
        let before = theirs.api.asked().len();
        theirs.instead([answer]);
        let started = client.started(json!({ "to": number(index) })).await;
        let standing = failed(&client, &started).await;
        let told = standing["timeline"].to_string().replace(" (", ", ");
        assert!(told.contains(cause), "{told}");
        assert_eq!(theirs.api.asked().len(), before + 1, "{cause}");
    }
}

/// A service may not promise more than the provider keeps: the server does not start, and says which setting it is.
#[tokio::test]
async fn a_policy_beyond_their_limits_is_refused() {
    let theirs = TwilioVerify::new().await;
    let refusal = |toml: &str| app::check(&Config::from_toml(toml).expect("settings")).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(refusal(&theirs.settings()), Ok(()));
    let shorter = theirs.settings().replace("[delivery]", "code_ttl = \"2m\"\n[delivery]");
    let told = refusal(&shorter).expect_err("five minutes are more than two");
    assert!(told.contains("service.default.code_ttl_sms") && told.contains("120 s") && told.contains("theirs"), "{told}");
    let fits = format!("{shorter}[service.default]\ncode_ttl_sms = \"2m\"\ncode_ttl_call = \"2m\"\n");
    assert_eq!(refusal(&fits), Ok(()));
    let told = refusal("[provider.india]\ntype = \"startmessaging\"\napi_key = \"k\"\nchecks = 3\n").expect_err("five checks");
    assert!(told.contains("service.default.max_checks") && told.contains("india"), "{told}");
    for (wrong, key) in
        [("service_sid = \"VA1\"", "service_sid"), ("channels = [\"sms\", \"call\"]", "channels"), ("auth_token = \"hush\"", "auth_token")]
    {
        let broken = match key {
            "service_sid" => theirs.settings().replace(wrong, "service_sid = \"MG1\""),
            "channels" => theirs.settings().replace(wrong, "channels = []"),
            _ => theirs.settings().replace(wrong, ""),
        };
        let told = refusal(&broken).expect_err(key);
        assert!(told.contains("provider.theirs") && told.contains(key), "{told}");
    }
}

/// R1, R2 and R4 of the tutorials: their variables alone make the account.
#[test]
fn the_tutorials_variables_are_enough() {
    for (variables, name) in [
        (&["TWILIO_ACCOUNT_SID=AC1", "TWILIO_AUTH_TOKEN=t", "TWILIO_VERIFY_SERVICE_SID=VA1"][..], "twilio-verify"),
        (&["TWILIO_ACCOUNT_SID=AC1", "TWILIO_AUTH_TOKEN=t", "TWILIO_VERIFY_SID=VA1"], "twilio-verify"),
        (&["TWILIO_ACCOUNT_SID=AC1", "TWILIO_API_KEY=SK1", "TWILIO_API_KEY_SECRET=s", "TWILIO_VERIFY_SID=VA1"], "twilio-verify"),
        (&["STARTMESSAGING_API_KEY=sm_live_1"], "startmessaging"),
        (&["TELEGRAM_GATEWAY_TOKEN=t"], "telegram"),
    ] {
        let mut config = Config::from_toml("").expect("the defaults");
        let variables = variables.iter().map(|pair| pair.split_once('=').expect("a pair"));
        config.environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let accounts = app::check(&config).unwrap_or_else(|error| panic!("{name}: {error}"));
        let names: Vec<_> = accounts.accounts.iter().map(|account| &*account.provider.name).collect();
        assert_eq!(names, [name]);
        assert_eq!(accounts.accounts[0].variables.len(), config.environment.len(), "{name}: each is used");
    }
}

/// ENM-01, A38: what a provider says of a code, and how long it takes, tells a stranger nothing: it is asked about somebody only.
#[tokio::test]
async fn a_provider_does_not_tell_who_exists() {
    let theirs = TwilioVerify::new().await;
    let app = TestApp::with(&theirs.settings()).await;
    let (ann, nobody) = (Person::new(&app, 1), Person::new(&app, 2));
    let person = import::Person {
        full_name: "Ann Lee".into(),
        identifiers: vec![Destination::parse(&ann.phone, None).expect("a number")],
        password: None,
        created_at: app.clock.now(),
    };
    let terms = import::Terms { now: app.clock.now(), locale: "en", verified: true, entropy: &SystemEntropy };
    import::place(&app.app.database, &[person], &terms, true).await.expect("placed");
    let forgot = async |person: &Person| match person.accounts.forgot(&person.visitor, &person.phone).await {
        Ok(Forgot::Begun(token)) => token,
        other => panic!("{other:?}"),
    };
    let (hers, nobodys) = (forgot(&ann).await, forgot(&nobody).await);
    eventually("her flow knows its code", async || app.dump("flow").contains("verification\\\":\\\"").then_some(())).await;
    theirs.instead([refused(503, 20500, "Service unavailable")]);
    let reset = async |person: &Person, token: &SecretToken| {
        let begun = Instant::now();
        let reset = person.accounts.reset(&person.visitor, token, "000000", "another way to Tipperary").await;
        assert!(matches!(reset, Ok(Reset::Wrong)), "{reset:?}");
        begun.elapsed()
    };
    let (hers, nobodys) = tokio::join!(reset(&ann, &hers), reset(&nobody, &nobodys));
    assert!(theirs.state().instead.is_empty(), "the provider was asked");
    assert!(hers >= Duration::from_secs(5) && nobodys >= Duration::from_secs(5), "{hers:?} {nobodys:?}");
}
