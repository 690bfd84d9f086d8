//! The doors at which codes are asked for and shown, as those who come to them use them, and the street that they stand in:
//! one number, and everybody who may name it.

use std::collections::BTreeSet;

use countersign::db::client::Scope;
use countersign::http::twilio::sid;
use countersign::verification::policy::DEFAULT_SERVICE;
use serde_json::{Value, json};

use crate::actors::{Client, eventually, number};
use crate::app::TestApp;
use crate::people::Person;
use crate::tab::{PASSWORD, Tab};
use crate::twilio::Sdk;
use crate::wire::{Answer, Wire};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `/v1`, checked by id.
    Native,
    /// `/v1`, checked by destination.
    NativeTo,
    /// `/v1` by a caller who has authenticated the number's owner.
    NativeSubject,
    /// The tutorial with request ids.
    Gateway,
    /// The tutorial with numbers.
    Express,
    /// one-time-password-sms.
    Camara,
    /// Twilio Verify's.
    Twilio,
    /// A text of an integrator's own: a message without a code of ours.
    Texts,
    /// The password, and the code that follows, by JSON and by pages.
    JsonLogin,
    PageLogin,
    /// A code alone.
    JsonCode,
    PageCode,
    /// A forgotten password.
    JsonReset,
    PageReset,
    /// Somebody who is signed in names the number as their own.
    JsonClaim,
    PageClaim,
    /// Its owner, who is signed in, shows once more that it is still they.
    JsonConfirm,
    PageConfirm,
}

/// Everybody who may name one number.
pub struct Street<'a> {
    app: &'a TestApp,
    admin: std::sync::Arc<Wire>,
    /// The number.
    pub to: String,
    /// A caller with a key, and the same by Twilio's SDK.
    client: Client,
    sdk: Sdk,
    /// The owner's account.
    subject: Value,
    /// The owner, at browsers in which nobody is signed in.
    owner: (Person, Tab),
    /// The owner, signed in; nobody before the number is proven.
    signed_in: (Person, Tab),
    /// Two who claim it.
    claimers: (Person, Tab),
}

/// What a door gave to who asked there: the name of what was begun, where it has one.
pub struct Held(String);

impl<'a> Street<'a> {
    /// `is_proven`: the owner has shown a code that was sent there. Otherwise the number is only what somebody registered with.
    pub async fn new(app: &'a TestApp, is_proven: bool) -> Street<'a> {
        let owner = (Person::browser(app, 1), Tab::new(app, 1));
        let signed_in = (owner.0.elsewhere(), owner.1.elsewhere());
        owner.0.register().await;
        let mut subject = Value::Null;
        if is_proven {
            signed_in.0.sign_in().await;
            let code = signed_in.1.log_in().await;
            signed_in.1.enter(&code).await;
            subject = signed_in.0.get("/auth/me").await.expect(200)["id"].clone();
            // What it took to come so far counts no more.
            app.advance(11 * 60);
        }
        let claimers = (Person::browser(app, 2).arrive().await, Tab::new(app, 3).arrive().await);
        Street {
            app,
            admin: Wire::new(app.admin_address),
            to: number(1),
            client: app.client_of(DEFAULT_SERVICE, &Scope::ALL),
            sdk: Sdk::new(app).await,
            subject,
            owner,
            signed_in,
            claimers,
        }
    }

    /// How many messages the number got so far.
    pub async fn messages(&self) -> usize {
        self.newest().await.0
    }

    async fn newest(&self) -> (usize, Option<String>) {
        let all = self.app.inbox().messages().await;
        let mut own = all.iter().filter(|message| message["to"] == self.to.as_str()).peekable();
        let code = own.peek().and_then(|newest| newest["code"].as_str().map(str::to_owned));
        (own.count(), code)
    }

    /// The code of the message with that number, once it is there and it is known whom it is for.
    pub async fn code(&self, number: usize) -> String {
        let (_, code) = eventually("the message", async || Some(self.newest().await).filter(|(count, _)| *count >= number)).await;
        // Some answer before they have looked (ENM-01); what they send is judged as theirs a moment later.
        let unknown = ["Some(\"sign-in\")|None|", "Some(\"reset\")|None|"];
        eventually("whose flow it is", async || {
            let flows = self.app.dump("flow");
            (!unknown.iter().any(|words| flows.contains(words))).then_some(())
        })
        .await;
        code.unwrap_or_default()
    }

    /// Once nothing waits to be sent any more.
    pub async fn messages_in_the_end(&self) -> usize {
        self.app.messages_in_the_end().await;
        self.messages().await
    }

    /// Every route that something was posted to.
    pub async fn walked(&self) -> BTreeSet<String> {
        let page = self.admin.get("/metrics", &[]).await.body;
        let posted = page.lines().filter(|line| line.contains("method=\"POST\""));
        posted.filter_map(|line| line.split("route=\"").nth(1)?.split('"').next()).map(|route| format!("POST {route}")).collect()
    }

    /// Twilio's paths within the service that the client belongs to.
    fn verify(&self, path: &str) -> String {
        format!("/v2/Services/{}/{path}", sid::named(sid::SERVICE, DEFAULT_SERVICE))
    }

    fn texts(&self) -> String {
        format!("/2010-04-01/Accounts/{}/Messages.json", self.sdk.account_sid)
    }
}

/// Opens a page, for its token, and sends a form from it.
async fn submit(tab: &Tab, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    tab.get(page).await;
    tab.submit(path, fields).await
}

impl Door {
    /// Asks for a code for the street's number.
    pub async fn ask(self, street: &Street<'_>) -> (Answer, Held) {
        let (to, client, (json, page)) = (street.to.as_str(), &street.client, &street.owner);
        let (claimer, claiming) = &street.claimers;
        let answer = match self {
            Door::Native => client.post("/v1/verifications", json!({ "to": to })).await,
            Door::NativeTo => client.post("/v1/verifications", json!({ "to": to, "purpose": "by-destination" })).await,
            Door::NativeSubject => client.post("/v1/verifications", json!({ "to": to, "subject": street.subject })).await,
            Door::Gateway => client.post("/auth/send-otp", json!({ "phone": to })).await,
            Door::Express => client.post("/send-code", json!({ "phoneNumber": to })).await,
            Door::Camara => client.post("/one-time-password-sms/vwip/send-code", json!({ "phoneNumber": to, "message": "{{code}}" })).await,
            Door::Twilio => street.sdk.post(&street.verify("Verifications"), &[("To", to), ("Channel", "sms")]).await,
            Door::Texts => street.sdk.post(&street.texts(), &[("To", to), ("From", "+15005550006"), ("Body", "Come home")]).await,
            Door::JsonLogin => json.login().await,
            Door::PageLogin => submit(page, "/login", "/login", &[("phone", to), ("password", PASSWORD)]).await,
            Door::JsonCode => json.post("/auth/code", json!({ "identifier": to })).await,
            Door::PageCode => submit(page, "/login", "/login/code", &[("phone", to)]).await,
            Door::JsonReset => json.post("/auth/password/forgot", json!({ "identifier": to })).await,
            Door::PageReset => submit(page, "/forgot", "/forgot", &[("identifier", to)]).await,
            Door::JsonClaim => claimer.post("/auth/identifiers", json!({ "identifier": to })).await,
            Door::PageClaim => submit(claiming, "/security", "/security/identifiers/add", &[("identifier", to)]).await,
            Door::JsonConfirm => street.signed_in.0.post("/auth/confirm", json!({ "method": "sms" })).await,
            Door::PageConfirm => submit(&street.signed_in.1, "/security/confirm", "/security/confirm/method", &[("method", "sms")]).await,
        };
        let id = match self {
            Door::Native | Door::NativeSubject | Door::JsonClaim => Some("id"),
            Door::Gateway => Some("request_id"),
            Door::Camara => Some("authenticationId"),
            _ => None,
        };
        let held = match id {
            Some(id) => answer.json()[id].as_str().map(str::to_owned),
            None if self == Door::PageClaim => claiming.value_of("identifier"),
            None => None,
        };
        (answer, Held(held.unwrap_or_default()))
    }

    /// How many more messages [`Door::again`] asks for.
    pub fn others(self) -> usize {
        match self {
            Door::Native | Door::NativeSubject | Door::JsonCode | Door::PageCode | Door::PageReset | Door::JsonClaim => 1,
            Door::JsonLogin | Door::PageLogin | Door::PageClaim | Door::PageConfirm => 2,
            _ => 0,
        }
    }

    /// Asks for the code once more in each way that the door has for that.
    pub async fn again(self, street: &Street<'_>, Held(id): &Held) {
        let (to, (json, page)) = (street.to.as_str(), &street.owner);
        let (claimer, claiming) = &street.claimers;
        let login = [("phone", to)];
        let sms = [("method", "sms")];
        match self {
            Door::Native | Door::NativeSubject => {
                street.client.post(&format!("/v1/verifications/{id}/resend"), json!({})).await;
            }
            Door::JsonCode => {
                json.post("/auth/resend-otp", json!({})).await;
            }
            Door::JsonLogin => {
                json.post("/auth/resend-otp", json!({})).await;
                json.post("/auth/method", json!({ "method": "sms" })).await;
            }
            Door::PageCode => {
                submit(page, "/login", "/verify/resend", &login).await;
            }
            Door::PageLogin => {
                submit(page, "/login", "/verify/resend", &login).await;
                submit(page, "/login", "/verify/method", &sms).await;
            }
            Door::PageReset => {
                submit(page, "/forgot", "/reset/resend", &[("identifier", to)]).await;
            }
            Door::JsonClaim => {
                claimer.post("/auth/identifiers", json!({ "identifier": to })).await;
            }
            Door::PageClaim => {
                submit(claiming, "/security", "/security/identifiers/send", &[("identifier", id)]).await;
                submit(claiming, "/security", "/security/identifiers/verify/resend", &[("identifier", id)]).await;
            }
            Door::PageConfirm => {
                submit(&street.signed_in.1, "/security/confirm", "/security/confirm/code/resend", &[]).await;
                submit(&street.signed_in.1, "/security/confirm", "/security/confirm/code/method", &sms).await;
            }
            _ => assert_eq!(self.others(), 0, "{self:?}"),
        }
    }

    /// Shows a code.
    pub async fn show(self, street: &Street<'_>, Held(id): &Held, code: &str) -> Answer {
        let (to, client, (json, page)) = (street.to.as_str(), &street.client, &street.owner);
        let (claimer, claiming) = &street.claimers;
        let new = "another long way to Tipperary";
        match self {
            Door::Native | Door::NativeSubject => client.post(&format!("/v1/verifications/{id}/check"), json!({ "code": code })).await,
            Door::NativeTo => client.check_destination(json!({ "to": to, "purpose": "by-destination", "code": code })).await,
            Door::Gateway => client.post("/auth/verify-otp", json!({ "request_id": id, "code": code })).await,
            Door::Express => client.post("/verify-code", json!({ "phoneNumber": to, "smsCode": code })).await,
            Door::Camara => {
                let body = json!({ "authenticationId": id, "code": code });
                client.post("/one-time-password-sms/vwip/validate-code", body).await
            }
            Door::Twilio => street.sdk.post(&street.verify("VerificationCheck"), &[("To", to), ("Code", code)]).await,
            Door::Texts => panic!("no code of ours is in it"),
            Door::JsonLogin | Door::JsonCode => json.verify(code).await,
            Door::PageLogin | Door::PageCode => submit(page, "/verify", "/verify", &[("code", code), ("phone", to)]).await,
            Door::JsonReset => json.post("/auth/password/reset", json!({ "code": code, "password": new })).await,
            Door::PageReset => submit(page, "/forgot", "/reset", &[("username", to), ("code", code), ("password", new)]).await,
            Door::JsonClaim => claimer.post(&format!("/auth/identifiers/{id}/verify"), json!({ "code": code })).await,
            Door::PageClaim => submit(claiming, "/security", "/security/identifiers/verify", &[("identifier", id), ("code", code)]).await,
            Door::JsonConfirm => street.signed_in.0.post("/auth/confirm", json!({ "code": code })).await,
            Door::PageConfirm => submit(&street.signed_in.1, "/security/confirm", "/security/confirm/code", &[("code", code)]).await,
        }
    }

    /// Whether its answer to "send" tells what came of that. The others say the same to everybody (ENM-01), or show what is
    /// under way.
    pub fn tells(self) -> bool {
        use Door::{Camara, Express, Gateway, Native, NativeSubject, NativeTo, Texts, Twilio};
        matches!(self, Native | NativeTo | NativeSubject | Gateway | Express | Camara | Twilio | Texts)
    }
}
