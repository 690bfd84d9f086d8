//! Signing in, told at the services' own doors: the steps in their order, and nothing else (MFA-01 to MFA-05, A02, A22, A43).

use std::net::IpAddr;
use std::sync::Arc;

use countersign::account::Accounts;
use countersign::account::factors::Enrolled;
use countersign::account::identifiers::Claimed;
use countersign::account::model::{Assurance, Method, Visitor};
use countersign::account::password::Password;
use countersign::account::passwordless::Passwordless;
use countersign::account::register::{Registered, Registration};
use countersign::account::reset::{Forgot, Reset};
use countersign::account::second_factor::{Proof, Proved};
use countersign::account::secret_token::SecretToken;
use countersign::account::sessions::SignedIn;
use countersign::account::sign_in::{FlowRef, NotSent, SignIn, Step};
use countersign::clock::Clock;
use countersign::db::import;
use countersign::secret::{Redacted, SystemEntropy};
use countersign::verification::destination::Destination;

use crate::actors::{all_arrived, eventually, number, wrong};
use crate::app::TestApp;

pub const PASSWORD: &str = "a long way to Tipperary";

/// Somebody at a browser.
#[derive(Clone)]
pub struct Person {
    pub accounts: Arc<Accounts>,
    pub visitor: Visitor,
    pub phone: String,
}

impl Person {
    pub fn new(app: &TestApp, index: u32) -> Person {
        let accounts = Arc::clone(app.app.accounts.as_ref().expect("accounts"));
        let visitor = Visitor {
            ip: IpAddr::from([192, 0, 2, u8::try_from(index % 250).expect("small")]),
            agent: "a browser".into(),
            keeps_cookies: false,
            browser: Some(SecretToken::random(&SystemEntropy)),
            locale: "en".into(),
        };
        Person { accounts, visitor, phone: number(index) }
    }

    /// The same person at another browser elsewhere.
    pub fn elsewhere(&self, last: u8) -> Person {
        let browser = Some(SecretToken::random(&SystemEntropy));
        Person { visitor: Visitor { ip: IpAddr::from([198, 51, 100, last]), browser, ..self.visitor.clone() }, ..self.clone() }
    }

    pub async fn register(&self) -> Registered {
        let wanted = Registration { full_name: "Ann Lee".into(), phone: Some(self.phone.clone()), email: None, password: PASSWORD.into() };
        self.accounts.register(&self.visitor, wanted).await.expect("an answer")
    }

    pub async fn password(&self, password: &str) -> SignIn {
        self.accounts.sign_in(&self.visitor, &self.phone, password).await.expect("an answer")
    }

    /// The password step, which must pass.
    pub async fn begin(&self) -> Step {
        match self.password(PASSWORD).await {
            SignIn::Next(step) => *step,
            other => panic!("no next step: {other:?}"),
        }
    }

    pub async fn prove(&self, flow: &FlowRef, code: &str) -> Proved {
        self.accounts.prove(&self.visitor, flow, Proof::Code(code.into()), false).await.expect("an answer")
    }

    /// From the password to the session.
    pub async fn sign_in(&self, app: &TestApp) -> SignedIn {
        let before = self.codes(app).await.len();
        let flow = flow(&self.begin().await);
        let code = eventually("another code arrives", async || {
            let codes = self.codes(app).await;
            (codes.len() > before).then(|| codes[0].clone())
        });
        match self.prove(&flow, &code.await).await {
            Proved::Done(signed_in) => *signed_in,
            other => panic!("not signed in: {other:?}"),
        }
    }

    /// The codes that were sent to this person, the newest first: of every message that was begun.
    pub async fn codes(&self, app: &TestApp) -> Vec<String> {
        all_arrived(&app.app, &self.phone).await;
        let messages = app.inbox().messages().await;
        let mine = messages.iter().filter(|message| message["to"] == self.phone.as_str());
        mine.filter_map(|message| message["code"].as_str().map(str::to_owned)).collect()
    }

    /// What the newest message to this person says.
    pub async fn newest_code(&self, app: &TestApp) -> String {
        eventually("a code arrives", async || self.codes(app).await.into_iter().next()).await
    }

    pub async fn is_signed_in(&self, token: &SecretToken) -> bool {
        self.accounts.current(token).await.expect("an answer").is_some()
    }
}

pub fn flow(step: &Step) -> FlowRef {
    FlowRef::Token(step.token.clone().expect("a token"))
}

/// R1's whole way: a code to the number of the registration makes it proven, and the session knows how it came about.
#[tokio::test]
async fn a_password_and_a_code_make_a_session() {
    let app = TestApp::new().await;
    let ann = Person::new(&app, 1);
    assert!(matches!(ann.register().await, Registered::Made));
    assert!(matches!(ann.register().await, Registered::Taken(_)));
    let step = ann.begin().await;
    assert_eq!((step.method, step.methods.first()), (Some(Method::Sms), Some(&Method::Sms)));
    let code = ann.newest_code(&app).await;
    assert!(matches!(ann.prove(&flow(&step), &wrong(&code, 1)).await, Proved::Wrong));
    let Proved::Done(signed_in) = ann.prove(&flow(&step), &code).await else { panic!("not signed in") };
    assert_eq!(signed_in.session.methods, ["pwd", "sms", "mfa"]);
    assert_eq!(signed_in.session.assurance, Assurance::Aal2);
    let current = ann.accounts.current(&signed_in.token).await.expect("an answer").expect("a session");
    assert_eq!(current.account.full_name, "Ann Lee");
    let identifiers = ann.accounts.identifiers(&current).await.expect("an answer");
    assert!(identifiers.iter().all(|identifier| identifier.proven_at.is_some()));
    // The flow is gone, and so is the code (A02).
    assert!(matches!(ann.prove(&flow(&step), &code).await, Proved::Ended));
}

/// A23, MFA-01: the token of a flow is no session, and no code passes in a flow of another browser.
#[tokio::test]
async fn a_flow_opens_nothing_but_its_own_next_step() {
    let app = TestApp::new().await;
    let (ann, eve) = (Person::new(&app, 1), Person::new(&app, 2));
    ann.register().await;
    eve.register().await;
    let hers = ann.begin().await;
    let code = ann.newest_code(&app).await;
    let evil = eve.begin().await;
    let token = hers.token.clone().expect("a token");
    assert!(!ann.is_signed_in(&token).await, "the half of a sign-in is no session");
    assert!(matches!(eve.prove(&flow(&evil), &code).await, Proved::Wrong), "another flow's code");
    assert!(matches!(eve.prove(&FlowRef::Typed(ann.phone.clone()), &code).await, Proved::Ended), "from another network");
    assert!(matches!(ann.prove(&FlowRef::Token(SecretToken::random(&SystemEntropy)), &code).await, Proved::Ended));
    assert!(matches!(ann.prove(&FlowRef::Typed(ann.phone.clone()), &code).await, Proved::Done(_)), "a client without cookies");
}

/// ENM-01, A38: unknown, wrong and too long are one answer.
#[tokio::test]
async fn who_exists_is_not_told() {
    let app = TestApp::new().await;
    let (ann, nobody) = (Person::new(&app, 1), Person::new(&app, 2));
    ann.register().await;
    assert!(matches!(ann.password("not her password").await, SignIn::Refused));
    assert!(matches!(nobody.password(PASSWORD).await, SignIn::Refused));
    assert!(matches!(nobody.accounts.sign_in(&nobody.visitor, "no number", PASSWORD).await, Ok(SignIn::Refused)));
    for person in [&ann, &nobody] {
        assert!(matches!(person.accounts.forgot(&person.visitor, &person.phone).await, Ok(Forgot::Begun(_))));
    }
}

/// PWD-03, A47: wrong passwords close the door for whoever types them, and not for a browser that signed in before.
#[tokio::test]
async fn wrong_passwords_close_the_strangers_door() {
    let app = TestApp::new().await;
    let ann = Person::new(&app, 1);
    ann.register().await;
    ann.sign_in(&app).await;
    let mut refused = 0;
    for attempt in 0..60_u8 {
        app.advance(1);
        let stranger = ann.elsewhere(attempt);
        match stranger.password("not her password").await {
            SignIn::Refused => refused += 1,
            SignIn::Limited(limited) => assert_eq!(limited.name.as_str(), "account_failures"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 50, "wrong passwords of strangers in a day");
    assert!(matches!(ann.elsewhere(99).password(PASSWORD).await, SignIn::Limited(_)), "closed for a browser that nobody knows");
    assert!(matches!(ann.password(PASSWORD).await, SignIn::Next(_)), "open for hers");
    for attempt in 0..6 {
        let answer = ann.password("not her password").await;
        assert_eq!(matches!(answer, SignIn::Limited(_)), attempt >= 4, "{attempt}: {answer:?}");
    }
}

/// A43: what others claimed without proof goes when somebody proves it.
#[tokio::test]
async fn a_claim_ends_where_a_proof_begins() {
    let app = TestApp::new().await;
    let eve = Person::new(&app, 1);
    eve.register().await;
    app.advance(24 * 3600 + 1);
    let ann = Person { visitor: Person::new(&app, 2).visitor, ..eve.clone() };
    let wanted =
        Registration { full_name: "Ann".into(), phone: Some(ann.phone.clone()), email: None, password: "another one of hers".into() };
    assert!(matches!(ann.accounts.register(&ann.visitor, wanted).await, Ok(Registered::Made)), "an old claim blocks nobody");
    let SignIn::Next(step) = ann.password("another one of hers").await else { panic!("no next step") };
    assert!(matches!(ann.prove(&flow(&step), &ann.newest_code(&app).await).await, Proved::Done(_)));
    assert!(matches!(eve.password(PASSWORD).await, SignIn::Refused), "her account is gone");
}

/// REC-03, REC-04, SES-05: a reset ends every session and makes none; with the same place as the second factor the next one
/// is worth one factor.
#[tokio::test]
async fn a_reset_ends_sessions_and_proves_one_factor() {
    let app = TestApp::new().await;
    let ann = Person::new(&app, 1);
    ann.register().await;
    let before = ann.sign_in(&app).await;
    app.advance(120);
    let Ok(Forgot::Begun(token)) = ann.accounts.forgot(&ann.visitor, &ann.phone).await else { panic!("no reset") };
    let code = eventually("the reset's code arrives", async || {
        let messages = app.inbox().messages().await;
        let codes: Vec<_> = messages.iter().filter_map(|message| message["code"].as_str()).collect();
        (codes.len() == 2).then(|| codes[0].to_owned())
    })
    .await;
    let reset = async |code: &str, password: &str| ann.accounts.reset(&ann.visitor, &token, code, password).await.expect("an answer");
    assert!(matches!(reset(&wrong(&code, 1), "quite another password").await, Reset::Wrong));
    assert!(matches!(reset(&code, "quite another password").await, Reset::Done));
    assert!(matches!(reset(&code, "and one more password").await, Reset::Ended));
    assert!(!ann.is_signed_in(&before.token).await);
    assert!(matches!(ann.password(PASSWORD).await, SignIn::Refused));
    app.advance(120);
    let SignIn::Next(step) = ann.password("quite another password").await else { panic!("no next step") };
    let Proved::Done(signed_in) = ann.prove(&flow(&step), &ann.newest_code(&app).await).await else { panic!("not signed in") };
    assert_eq!(signed_in.session.assurance, Assurance::Aal1, "both were the same phone");
}

/// Back and again within the wait between messages: the code that is there already serves the new flow.
#[tokio::test]
async fn beginning_again_does_not_need_another_message() {
    let app = TestApp::new().await;
    let ann = Person::new(&app, 1);
    ann.register().await;
    ann.begin().await;
    let code = ann.newest_code(&app).await;
    let again = ann.begin().await;
    assert!(again.not_sent.is_none() && again.method == Some(Method::Sms));
    let more = ann.accounts.ask(&ann.visitor, &flow(&again), None).await.expect("an answer").expect("a step");
    assert!(matches!(more.not_sent, Some(NotSent::Limited(_))), "another code is not due");
    assert!(matches!(ann.prove(&flow(&again), &code).await, Proved::Done(_)));
    assert_eq!(app.inbox().messages().await.len(), 1);
    // From now on the number is hers, and counts as hers.
    ann.sign_in(&app).await;
    let third = ann.begin().await;
    assert!(matches!(third.not_sent, Some(NotSent::Limited(_))), "that code is used, and another one is not due");
}

/// Where the service allows it a code alone signs in, with one factor; and never to a number that nobody proved.
#[tokio::test]
async fn a_code_alone_signs_in_where_allowed() {
    let app = TestApp::with("[accounts]\npasswordless = true\n").await;
    let (ann, nobody) = (Person::new(&app, 1), Person::new(&app, 2));
    ann.register().await;
    let begin = async |person: &Person| match person.accounts.sign_in_by_code(&person.visitor, &person.phone).await {
        Ok(Passwordless::Begun(step)) => *step,
        other => panic!("not begun: {other:?}"),
    };
    let (unproven, unknown) = (begin(&ann).await, begin(&nobody).await);
    assert_eq!((unproven.method, unproven.methods.len()), (unknown.method, unknown.methods.len()));
    assert_eq!(app.messages_in_the_end().await, 0);
    let app = TestApp::with("[accounts]\npasswordless = true\n").await;
    let ann = Person::new(&app, 1);
    ann.register().await;
    ann.sign_in(&app).await;
    app.advance(120);
    let step = begin(&ann).await;
    eventually("the code is sent", async || (app.inbox().messages().await.len() == 2).then_some(())).await;
    let Proved::Done(signed_in) = ann.prove(&flow(&step), &ann.newest_code(&app).await).await else { panic!("not signed in") };
    assert_eq!((signed_in.session.assurance, signed_in.session.methods.join(" ")), (Assurance::Aal1, "sms".into()));
}

/// A02, R20: fifty equal right answers at once make one session.
#[tokio::test]
async fn of_many_right_answers_one_wins() {
    let app = TestApp::new().await;
    let ann = Person::new(&app, 1);
    ann.register().await;
    for _ in 0..10 {
        let step = ann.begin().await;
        let code = ann.newest_code(&app).await;
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (ann, flow, code) = (ann.clone(), flow(&step), code.clone());
                tokio::spawn(async move { matches!(ann.prove(&flow, &code).await, Proved::Done(_)) })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            winners += usize::from(task.await.expect("an answer"));
        }
        assert_eq!(winners, 1);
        app.advance(3600);
    }
}

/// What was shown decides what is proven: a recovery code proves no number, whatever was sent there before (A43).
#[tokio::test]
async fn only_the_code_that_was_sent_there_proves_a_number() {
    let app = TestApp::with("[accounts]\nsecond_factor = \"when_enrolled\"\n").await;
    let ann = Person::new(&app, 1);
    ann.register().await;
    let SignIn::Done(signed_in) = ann.password(PASSWORD).await else { panic!("no session") };
    let current = ann.accounts.current(&signed_in.token).await.expect("an answer").expect("a session");
    let Enrolled::Done(codes) = ann.accounts.make_recovery_codes(&ann.visitor, &current).await.expect("an answer") else {
        panic!("no recovery codes")
    };
    let step = ann.begin().await;
    assert_eq!(step.method, Some(Method::Sms));
    let proof = Proof::RecoveryCode(codes[0].clone());
    let proved = ann.accounts.prove(&ann.visitor, &flow(&step), proof, false).await.expect("an answer");
    assert!(matches!(proved, Proved::Done(_)));
    let identifiers = ann.accounts.identifiers(&current).await.expect("an answer");
    assert!(identifiers.iter().all(|identifier| identifier.proven_at.is_none()), "proven by a code on paper");

    // Whoever proves it by a reset gets an account without what was enrolled before.
    app.advance(120);
    let Ok(Forgot::Begun(token)) = ann.accounts.forgot(&ann.visitor, &ann.phone).await else { panic!("no reset") };
    eventually("the code", async || (app.inbox().messages().await.len() >= 2).then_some(())).await;
    let code = ann.newest_code(&app).await;
    assert!(matches!(ann.accounts.reset(&ann.visitor, &token, &code, "quite another password").await, Ok(Reset::Done)));
    let SignIn::Done(after) = ann.password("quite another password").await else { panic!("a factor of before is asked for") };
    let current = ann.accounts.current(&after.token).await.expect("an answer").expect("a session");
    assert!(ann.accounts.factors(&current).await.expect("an answer").is_empty());
}

/// Somebody who proves an address of their own and claims a number of somebody else's beside it.
async fn claim_beside(app: &TestApp, index: u32, phone: &str) {
    let email = format!("eve{index}@example.com");
    let eve = Person::new(app, index);
    let wanted = Registration {
        full_name: "Eve".into(),
        phone: Some(phone.into()),
        email: Some(email.clone()),
        password: "eve's own password".into(),
    };
    assert!(matches!(eve.accounts.register(&eve.visitor, wanted).await, Ok(Registered::Made)));
    let eve = Person { phone: email, ..eve };
    let SignIn::Next(step) = eve.password("eve's own password").await else { panic!("no next step") };
    let asked = eve.accounts.ask(&eve.visitor, &flow(&step), Some(Method::Email)).await.expect("an answer").expect("a step");
    assert_eq!(asked.method, Some(Method::Email));
    assert!(matches!(eve.prove(&flow(&step), &eve.newest_code(app).await).await, Proved::Done(_)));
}

/// A43, A47: however many claim a number, whoever has proven nothing yet can still sign in by it and get another password: people
/// who came from another system, and who registered last.
#[tokio::test]
async fn claims_of_others_lock_nobody_out() {
    let app = TestApp::with("[service.default]\nresend_waits = []").await;
    let (imported, registered) = (Person::new(&app, 1), Person::new(&app, 2));
    let password = imported.accounts.hasher.hash(Password::parse(PASSWORD).expect("a password")).await.expect("a hash");
    let person = import::Person {
        full_name: "Ann Lee".into(),
        identifiers: vec![Destination::parse(&imported.phone, None).expect("a number")],
        password: Some(Redacted::new(password)),
        created_at: app.clock.now(),
    };
    let terms = import::Terms { now: app.clock.now(), locale: "en", verified: false, entropy: &SystemEntropy };
    import::place(&app.app.database, &[person], &terms, true).await.expect("placed");
    app.advance(25 * 3600);
    for index in 0..5 {
        claim_beside(&app, 10 + index, &imported.phone).await;
        claim_beside(&app, 20 + index, &registered.phone).await;
        app.advance(3600);
    }
    assert!(matches!(registered.register().await, Registered::Made));
    for person in [imported, registered] {
        person.begin().await;
        let before = person.codes(&app).await.len();
        assert!(matches!(person.accounts.forgot(&person.visitor, &person.phone).await, Ok(Forgot::Begun(_))));
        eventually("the code of the reset", async || (person.codes(&app).await.len() > before).then_some(())).await;
    }
}

/// A47: a claim on somebody's number neither forgives wrong passwords there nor uses up their messages.
#[tokio::test]
async fn a_claim_is_no_lever_on_its_owner() {
    let app = TestApp::new().await;
    let (ann, eve) = (Person::new(&app, 1), Person::new(&app, 2));
    ann.register().await;
    ann.sign_in(&app).await;
    eve.register().await;
    let evil = eve.sign_in(&app).await;
    let evil = eve.accounts.current(&evil.token).await.expect("an answer").expect("a session");
    app.advance(60);
    assert!(matches!(eve.accounts.add_identifier(&eve.visitor, &evil, &ann.phone).await, Ok(Claimed::Sent { .. })));
    let at_hers = Person { phone: ann.phone.clone(), ..eve.clone() };
    for _ in 0..5 {
        assert!(matches!(at_hers.password("not her password").await, SignIn::Refused));
    }
    assert!(matches!(at_hers.password("not her password").await, SignIn::Limited(_)));
    eve.sign_in(&app).await;
    assert!(matches!(at_hers.password("not her password").await, SignIn::Limited(_)), "forgiven by another account's sign-in");
}

/// One mailbox is one person, however it is written; and later claims hide nobody.
#[tokio::test]
async fn a_mailbox_is_one_identity() {
    let app = TestApp::new().await;
    let register = async |index: u32, email: &str, password: &str| {
        let person = Person::new(&app, index);
        let wanted = Registration {
            full_name: "Ann".into(),
            phone: Some(person.phone.clone()),
            email: Some(email.into()),
            password: password.into(),
        };
        let made = person.accounts.register(&person.visitor, wanted).await.expect("an answer");
        (person, made)
    };
    let (ann, made) = register(1, "Ann@Example.com", PASSWORD).await;
    assert!(matches!(made, Registered::Made));
    assert!(matches!(register(2, "ann@example.com", PASSWORD).await.1, Registered::Taken(_)));
    let by_mail = Person { phone: "ANN@example.com".into(), ..ann.clone() };
    let step = by_mail.begin().await;
    assert!(matches!(ann.prove(&flow(&step), &ann.newest_code(&app).await).await, Proved::Done(_)));
    for index in 3..10 {
        // Later: at one and the same time nobody comes first.
        app.advance(1);
        let (eve, made) = register(index, "ann@example.com", "some other long password").await;
        assert!(matches!(made, Registered::Made), "a claim of an account that proved its number keeps nobody out");
        let step = eve.accounts.sign_in(&eve.visitor, &eve.phone, "some other long password").await.expect("an answer");
        let SignIn::Next(step) = step else { panic!("no next step") };
        assert!(matches!(eve.prove(&flow(&step), &eve.newest_code(&app).await).await, Proved::Done(_)));
    }
    app.advance(120);
    assert!(matches!(by_mail.password(PASSWORD).await, SignIn::Next(_)), "hidden by the claims of others");
}
