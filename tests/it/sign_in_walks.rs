//! MFA-03: sign-ins walked in random order by people who skip, repeat, go back, mix their flows up and try each other's
//! codes. Whatever they do, a session begins only where a flow's own password came first and its own fresh code after it.
//!
//! `COUNTERSIGN_WALK_STEPS=100000 cargo nextest run sign_in_walks` walks further; `COUNTERSIGN_WALK_SEED` walks the same way
//! again.

use std::collections::HashSet;

use countersign::account::model::Method;
use countersign::account::second_factor::{Proof, Proved};
use countersign::account::secret_token::SecretToken;
use countersign::account::sign_in::{FlowRef, SignIn};

use crate::app::TestApp;
use crate::sign_in::{PASSWORD, Person};

/// Enough to see a mistake that one step in a hundred makes.
const STEPS: u64 = 1_500;

/// SplitMix64: the same walk for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len() as u64) as usize) }
    }
}

/// A flow, as the model knows it.
#[derive(Clone)]
struct Walked {
    token: SecretToken,
    /// Whose password began it.
    owner: usize,
    /// Where.
    browser: usize,
    ended: bool,
}

struct World {
    app: TestApp,
    people: Vec<Person>,
    flows: Vec<Walked>,
    used: HashSet<(usize, String)>,
    sessions: u64,
}

impl World {
    async fn new() -> World {
        let app = TestApp::with(
            "[accounts.limits]\nip_sign_ins = \"1000000/1s\"\nsign_in_failures = \"1000000/1s\"\naccount_failures = \"1000000/1s\"\n",
        )
        .await;
        let people: Vec<_> = (0..3).map(|index| Person::new(&app, index)).collect();
        for person in &people {
            person.register().await;
        }
        World { app, people, flows: Vec::new(), used: HashSet::new(), sessions: 0 }
    }

    /// Codes that were sent to that person, the newest first.
    async fn codes(&self, person: usize) -> Vec<String> {
        let to = self.people[person].phone.replace('+', "%2B");
        let messages = self.app.stranger().get(&format!("/dev/inbox.json?to={to}&limit=3")).await.expect(200);
        let codes = messages.as_array().expect("a list").iter();
        codes.filter_map(|message| message["code"].as_str().map(str::to_owned)).collect()
    }

    async fn step(&mut self, dice: &mut Dice) {
        let (browser, target) = (dice.below(3) as usize, dice.below(3) as usize);
        // The person at that browser, at the door of that account.
        let visitor = self.people[browser].visitor.clone();
        let walker = Person { visitor, phone: self.people[target].phone.clone(), ..self.people[browser].clone() };
        match dice.below(10) {
            0 | 1 => {
                let right = dice.below(3) > 0;
                match walker.password(if right { PASSWORD } else { "not the password" }).await {
                    SignIn::Next(step) => {
                        assert!(right, "a wrong password went through");
                        let token = step.token.expect("a token");
                        self.flows.push(Walked { token, owner: target, browser, ended: false });
                    }
                    SignIn::Refused => assert!(!right, "a right password was refused"),
                    other => panic!("{other:?}"),
                }
            }
            2 => {
                if let Some(flow) = dice.one(&self.flows).cloned() {
                    let method = [None, Some(Method::Sms), Some(Method::Email), Some(Method::Totp), Some(Method::Passkey)];
                    let method = *dice.one(&method).expect("a method");
                    let which = FlowRef::Token(flow.token.clone());
                    let asked = walker.accounts.ask(&walker.visitor, &which, method).await.expect("an answer");
                    assert!(asked.is_none() || !flow.ended, "an ended flow went on");
                }
            }
            3 => {
                if let Some(flow) = dice.one(&self.flows).cloned() {
                    assert!(!walker.is_signed_in(&flow.token).await, "a flow's token is no session");
                }
            }
            4 => self.app.advance(dice.below(400) + 1),
            5 if dice.below(4) == 0 && !self.flows.is_empty() => {
                let place = dice.below(self.flows.len() as u64) as usize;
                walker.accounts.give_up(&self.flows[place].token).await.expect("an answer");
                self.flows[place].ended = true;
            }
            _ => self.prove(&walker, browser, target, dice).await,
        }
    }

    async fn prove(&mut self, walker: &Person, browser: usize, target: usize, dice: &mut Dice) {
        let place = (!self.flows.is_empty()).then(|| {
            // Mostly the newest: the older ones have ended.
            let age = dice.below(6).min(self.flows.len() as u64 - 1) as usize;
            self.flows.len() - 1 - age
        });
        let Some(place) = place else { return };
        let flow = self.flows[place].clone();
        let by_name = dice.below(8) == 0;
        let which = if by_name { FlowRef::Typed(walker.phone.clone()) } else { FlowRef::Token(flow.token.clone()) };
        let whose = if dice.below(3) > 0 { flow.owner } else { target };
        let codes = self.codes(whose).await;
        let code = match dice.below(5) {
            0 => "000000".to_owned(),
            1 => codes.last().cloned().unwrap_or_default(),
            _ => codes.first().cloned().unwrap_or_default(),
        };
        let proof = match dice.below(12) {
            0 => Proof::RecoveryCode(code.clone()),
            1 => Proof::Passkey(serde_json::json!({ "id": code })),
            _ => Proof::Code(code.clone()),
        };
        let Proved::Done(signed_in) = walker.accounts.prove(&walker.visitor, &which, proof, false).await.expect("an answer") else {
            return;
        };
        self.sessions += 1;
        let owner = if by_name { target } else { flow.owner };
        let place = if by_name {
            let of_name = |walked: &&mut Walked| walked.owner == target && walked.browser == browser && !walked.ended;
            let found = self.flows.iter_mut().rev().find(of_name);
            found.expect("a session without a password before it")
        } else {
            &mut self.flows[place]
        };
        assert!(!place.ended, "a flow made two sessions");
        place.ended = true;
        assert!(self.codes(owner).await.contains(&code), "a session by a code that was never sent to its owner");
        assert!(self.used.insert((owner, format!("{}{code}", signed_in.session.created_at.0 / 600_000))), "a code passed twice");
        let current = walker.accounts.current(&signed_in.token).await.expect("an answer").expect("a session");
        let identifiers = walker.accounts.identifiers(&current).await.expect("an answer");
        assert_eq!(identifiers[0].value, self.people[owner].phone, "somebody else's session");
        assert_eq!(signed_in.session.methods, ["pwd", "sms", "mfa"]);
    }
}

pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var_os(name).and_then(|value| value.to_str()?.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn no_walk_ends_in_a_session_without_proof_of_every_step() {
    let (seed, steps) = (setting("COUNTERSIGN_WALK_SEED", 20), setting("COUNTERSIGN_WALK_STEPS", STEPS));
    println!("seed {seed}, {steps} steps");
    let (mut world, mut dice) = (World::new().await, Dice(seed));
    for _ in 0..steps {
        world.step(&mut dice).await;
    }
    println!("{} flows, {} sessions", world.flows.len(), world.sessions);
    assert!(world.sessions > steps / 200, "a walk that hardly ever arrives shows nothing: {} sessions", world.sessions);
}
