//! MFA-03, OTP-05: the same walk through what does not begin with a password: codes alone, confirmations, resets. Whatever is mixed
//! up with what, a session begins by a code that a sign-in sent, a confirmation makes none and changes no other, and a reset
//! signs nobody in.
//!
//! `COUNTERSIGN_WALK_STEPS` and `COUNTERSIGN_WALK_SEED` as in [`crate::sign_in_walks`].

use std::collections::HashMap;

use countersign::account::model::Method;
use countersign::account::passwordless::Passwordless;
use countersign::account::reset::{Forgot, Reset};
use countersign::account::second_factor::{Proof, Proved};
use countersign::account::secret_token::SecretToken;
use countersign::account::sessions::SignedIn;
use countersign::account::sign_in::FlowRef;
use uuid::Uuid;

use crate::app::TestApp;
use crate::sign_in::{PASSWORD, Person};
use crate::sign_in_walks::{Dice, setting};

/// Enough to see a mistake that one step in fifty makes.
const STEPS: u64 = 600;

/// What a token was given for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    CodeAlone,
    Confirmation(Uuid),
    Reset,
}

#[derive(Clone)]
struct Walked {
    token: SecretToken,
    kind: Kind,
    owner: usize,
    ended: bool,
}

struct World {
    app: TestApp,
    people: Vec<Person>,
    /// The newest session of each, by their own tokens.
    sessions: Vec<Option<SignedIn>>,
    flows: Vec<Walked>,
    done: HashMap<&'static str, u64>,
}

impl World {
    async fn new() -> World {
        let app = TestApp::with(
            "[accounts]\npasswordless = true\n[service.default]\nresend_waits = []\n\
             [service.default.limits]\ndestination = [\"100/1m\"]\nip_sends = \"1000000/1s\"\nip_checks = \"1000000/1s\"\nsoft_failures = 100\nhard_failures = 100\n\
             [limits]\ndestination = \"100/1m\"\n\
             [accounts.limits]\nip_sign_ins = \"1000000/1s\"\nsign_in_failures = \"1000000/1s\"\naccount_failures = \"1000000/1s\"\n",
        )
        .await;
        let people: Vec<_> = (0..3).map(|index| Person::new(&app, index)).collect();
        let mut sessions = Vec::new();
        for person in &people {
            person.register().await;
            sessions.push(Some(person.sign_in(&app).await));
        }
        World { app, people, sessions, flows: Vec::new(), done: HashMap::new() }
    }

    /// Codes that were sent to that person, the newest first, each with its purpose.
    async fn codes(&self, person: usize) -> Vec<(String, String)> {
        let to = self.people[person].phone.replace('+', "%2B");
        let messages = self.app.stranger().get(&format!("/dev/inbox.json?to={to}&limit=6")).await.expect(200);
        let mut codes = Vec::new();
        for message in messages.as_array().expect("a list") {
            let (Some(code), Some(id)) = (message["code"].as_str(), message["verification"].as_str()) else { continue };
            let id = Uuid::try_parse(id).expect("an id");
            let (verification, _) = self.app.app.engine.get("default", id).await.expect("an answer").expect("it is there");
            codes.push((code.to_owned(), verification.purpose.to_string()));
        }
        codes
    }

    /// Every session there is, as it lies in the database: id by id.
    fn count(&self) -> usize {
        self.app.count("session")
    }

    async fn step(&mut self, dice: &mut Dice) {
        let (browser, target) = (dice.below(3) as usize, dice.below(3) as usize);
        let visitor = self.people[browser].visitor.clone();
        let walker = Person { visitor, phone: self.people[target].phone.clone(), ..self.people[browser].clone() };
        match dice.below(9) {
            0 => {
                if let Passwordless::Begun(step) = walker.accounts.sign_in_by_code(&walker.visitor, &walker.phone).await.expect("an answer")
                {
                    self.begun(step.token.clone().expect("a token"), Kind::CodeAlone, target).await;
                }
            }
            1 => {
                let Some(signed_in) = &self.sessions[target] else { return };
                let Some(current) = walker.accounts.current(&signed_in.token).await.expect("an answer") else {
                    self.sessions[target] = None;
                    return;
                };
                let step = walker.accounts.begin_confirmation_by(&walker.visitor, &current, Method::Sms).await.expect("an answer");
                let kind = Kind::Confirmation(current.session.id);
                self.begun(step.token.clone().expect("a token"), kind, target).await;
            }
            2 => {
                if let Forgot::Begun(token) = walker.accounts.forgot(&walker.visitor, &walker.phone).await.expect("an answer") {
                    self.begun(token, Kind::Reset, target).await;
                }
            }
            3 => self.app.advance(dice.below(400) + 1),
            4 => {
                if let Some(flow) = dice.one(&self.flows).cloned() {
                    assert!(!walker.is_signed_in(&flow.token).await, "a flow's token is no session");
                }
            }
            _ => self.show(&walker, target, dice).await,
        }
    }

    async fn begun(&mut self, token: SecretToken, kind: Kind, owner: usize) {
        self.flows.push(Walked { token, kind, owner, ended: false });
        // What goes out behind the answer is mostly there by then.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }

    async fn show(&mut self, walker: &Person, target: usize, dice: &mut Dice) {
        if self.flows.is_empty() {
            return;
        }
        let age = if dice.below(3) > 0 { 0 } else { dice.below(4).min(self.flows.len() as u64 - 1) as usize };
        let place = self.flows.len() - 1 - age;
        let flow = self.flows[place].clone();
        let codes = self.codes(if dice.below(4) > 0 { flow.owner } else { target }).await;
        // Mostly the one that it was sent, or any other there is.
        let wanted = if flow.kind == Kind::Reset { "reset" } else { "sign-in" };
        let newest = codes.iter().find(|(_, purpose)| purpose == wanted && dice.below(3) > 0);
        let code = newest.or_else(|| dice.one(&codes)).map_or_else(|| "000000".to_owned(), |(code, _)| code.clone());
        let before = self.count();
        // Each token is shown at the other door, too.
        if (flow.kind == Kind::Reset) != (dice.below(6) == 0) {
            let reset = walker.accounts.reset(&walker.visitor, &flow.token, &code, PASSWORD).await.expect("an answer");
            if matches!(reset, Reset::Done) {
                self.is_by(place, Kind::Reset, &code, "reset").await;
                assert!(self.count() < before || before == 0 || self.sessions[flow.owner].is_none(), "a reset ends every session");
                if let Some(signed_in) = self.sessions[flow.owner].take() {
                    assert!(!walker.is_signed_in(&signed_in.token).await, "a reset ends every session");
                }
            }
            assert!(self.count() <= before, "a reset signs nobody in");
            return;
        }
        let proof = Proof::Code(code.clone());
        let proved = walker.accounts.prove(&walker.visitor, &FlowRef::Token(flow.token.clone()), proof, false).await;
        let Proved::Done(signed_in) = proved.expect("an answer") else {
            assert_eq!(self.count(), before, "no session without an end");
            return;
        };
        let current = walker.accounts.current(&signed_in.token).await.expect("an answer").expect("a session");
        let identifiers = walker.accounts.identifiers(&current).await.expect("an answer");
        assert_eq!(identifiers[0].value, self.people[flow.owner].phone, "somebody else's session");
        match flow.kind {
            Kind::Confirmation(session) => {
                self.is_by(place, Kind::Confirmation(session), &code, "sign-in").await;
                assert_eq!((signed_in.session.id, self.count()), (session, before), "a confirmation is of its own session");
            }
            kind => {
                self.is_by(place, Kind::CodeAlone, &code, "sign-in").await;
                assert_eq!((kind, self.count()), (Kind::CodeAlone, before + 1));
                assert_eq!(signed_in.session.methods, ["sms"], "a code alone is one factor");
            }
        }
        self.sessions[flow.owner] = Some(*signed_in);
    }

    /// The flow ended once, and by a code that was sent for this to its owner.
    async fn is_by(&mut self, place: usize, kind: Kind, code: &str, purpose: &str) {
        let flow = &mut self.flows[place];
        assert!(!flow.ended, "a flow ended twice");
        assert_eq!(flow.kind, kind);
        flow.ended = true;
        let owner = flow.owner;
        let sent = self.codes(owner).await;
        assert!(sent.iter().any(|(sent, of)| sent == code && of == purpose), "{kind:?} by a code of something else: {sent:?}");
        let name = match kind {
            Kind::CodeAlone => "by a code alone",
            Kind::Confirmation(_) => "confirmed",
            Kind::Reset => "reset",
        };
        *self.done.entry(name).or_default() += 1;
    }
}

#[tokio::test]
async fn no_code_counts_for_anything_else() {
    let (seed, steps) = (setting("COUNTERSIGN_WALK_SEED", 20), setting("COUNTERSIGN_WALK_STEPS", STEPS));
    println!("seed {seed}, {steps} steps");
    let (mut world, mut dice) = (World::new().await, Dice(seed));
    for _ in 0..steps {
        world.step(&mut dice).await;
    }
    println!("{} flows, {:?}", world.flows.len(), world.done);
    for name in ["by a code alone", "confirmed", "reset"] {
        assert!(world.done.get(name).is_some_and(|times| *times > steps / 200), "a walk that hardly ever arrives: {:?}", world.done);
    }
}
