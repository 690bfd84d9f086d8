//! Every door at which a code can be asked for and shown counts in the same place (ATT-06, A07): the API, the published
//! tutorials' routes, people's sign-in by JSON and by pages, CAMARA's, and Twilio's. Who a person is, once that is known, has
//! counts of its own (ATT-08): those again are one, whichever door it is known at.
//!
//! A route that is added belongs into [`SENDING`] or [`JUDGING`], and then a [`Door`] has to walk through it; or into
//! [`NEITHER`].

use std::collections::{BTreeMap, BTreeSet};

use countersign::http;

use crate::actors::wrong;
use crate::app::TestApp;
use crate::door::{Door, Street};

/// A number that somebody registered with and nobody has proven: whoever asks there is a stranger.
const UNPROVEN: [Door; 11] = [
    Door::Native,
    Door::NativeTo,
    Door::Gateway,
    Door::Express,
    Door::Camara,
    Door::Twilio,
    Door::Texts,
    Door::JsonLogin,
    Door::PageLogin,
    Door::JsonClaim,
    Door::PageClaim,
];
/// A proven number, and somebody who has shown nothing yet.
const PROVEN: [Door; 11] = [
    Door::JsonCode,
    Door::PageCode,
    Door::JsonReset,
    Door::PageReset,
    Door::Native,
    Door::NativeTo,
    Door::Gateway,
    Door::Express,
    Door::Camara,
    Door::Twilio,
    Door::Texts,
];
/// Its owner, who has shown a password or is signed in; and a caller who vouches for that.
const KNOWN: [Door; 5] = [Door::NativeSubject, Door::JsonLogin, Door::PageLogin, Door::JsonConfirm, Door::PageConfirm];

/// Whose count, and the doors to it.
const WALKS: [(bool, &[Door]); 3] = [(false, &UNPROVEN), (true, &PROVEN), (true, &KNOWN)];

/// Routes that send a code, or a text.
const SENDING: &str = "
    POST /v1/verifications
    POST /v1/verifications/{id}/resend
    POST /auth/send-otp
    POST /send-code
    POST /one-time-password-sms/vwip/send-code
    POST /v2/Services/{service}/Verifications
    POST /2010-04-01/Accounts/{account}/Messages.json
    POST /auth/login
    POST /auth/code
    POST /auth/resend-otp
    POST /auth/method
    POST /auth/confirm
    POST /auth/password/forgot
    POST /auth/identifiers
    POST /login
    POST /login/code
    POST /verify/resend
    POST /verify/method
    POST /forgot
    POST /reset/resend
    POST /security/identifiers/add
    POST /security/identifiers/send
    POST /security/identifiers/verify/resend
    POST /security/confirm/method
    POST /security/confirm/code/resend
    POST /security/confirm/code/method
";

/// Routes that judge a code of ours.
const JUDGING: &str = "
    POST /v1/verifications/{id}/check
    POST /v1/verifications/check
    POST /auth/verify-otp
    POST /verify-code
    POST /one-time-password-sms/vwip/validate-code
    POST /v2/Services/{service}/VerificationCheck
    POST /auth/confirm
    POST /auth/password/reset
    POST /auth/identifiers/{id}/verify
    POST /verify
    POST /reset
    POST /security/identifiers/verify
    POST /security/confirm/code
";

/// Routes that do neither. What they judge, if anything, is no code that was sent: passwords, passkeys, authenticator apps and
/// recovery codes have counts of their own.
const NEITHER: &str = "
    The API: ends and forgives, and what operators do with accounts.
    POST /v1/verifications/{id}/cancel
    POST /v1/failures/release
    PATCH /v1/accounts/{id}
    DELETE /v1/accounts/{id}/sessions

    People by JSON.
    POST /auth/register
    POST /auth/methods
    POST /auth/recover
    POST /auth/passkey
    POST /auth/passkey/options
    POST /auth/password/change
    POST /auth/factors/totp
    POST /auth/factors/totp/confirm
    POST /auth/factors/passkey
    POST /auth/factors/passkey/options
    DELETE /auth/factors/{id}
    POST /auth/recovery-codes
    DELETE /auth/identifiers/{id}
    DELETE /auth/sessions/{id}
    POST /auth/sessions/revoke-others
    POST /auth/logout
    POST /auth/refresh
    POST /auth/introspect

    People by pages.
    POST /register
    POST /login/passkey
    POST /login/passkey/options
    POST /recover
    POST /logout
    POST /security/sessions/revoke
    POST /security/sessions/revoke-others
    POST /security/identifiers/remove
    POST /security/totp
    POST /security/totp/start
    POST /security/totp/remove
    POST /security/passkeys/options
    POST /security/passkeys/add
    POST /security/passkeys/remove
    POST /security/recovery-codes
    POST /security/password
    POST /security/confirm

    Twilio's: services, and what belongs to them. An update of a verification shows no code: its caller says what became of it.
    POST /v2/Services
    POST /v2/Services/{service}
    DELETE /v2/Services/{service}
    POST /v2/Services/{service}/Verifications/{verification}
    POST /v2/Services/{service}/RateLimits
    POST /v2/Services/{service}/RateLimits/{limit}
    DELETE /v2/Services/{service}/RateLimits/{limit}
    POST /v2/Services/{service}/RateLimits/{limit}/Buckets
    POST /v2/Services/{service}/RateLimits/{limit}/Buckets/{bucket}
    DELETE /v2/Services/{service}/RateLimits/{limit}/Buckets/{bucket}
    POST /v2/Services/{service}/Entities
    DELETE /v2/Services/{service}/Entities/{identity}
    POST /v2/Services/{service}/Entities/{identity}/Factors
    POST /v2/Services/{service}/Entities/{identity}/Factors/{factor}
    DELETE /v2/Services/{service}/Entities/{identity}/Factors/{factor}
    POST /v2/Services/{service}/Entities/{identity}/Challenges
    POST /v2/Services/{service}/Entities/{identity}/Challenges/{challenge}
    POST /v2/Services/{service}/Entities/{identity}/Challenges/{challenge}/Notifications
    POST /v2/Services/{service}/Webhooks
    POST /v2/Services/{service}/Webhooks/{webhook}
    DELETE /v2/Services/{service}/Webhooks/{webhook}
    POST /v2/Services/{service}/MessagingConfigurations
    POST /v2/Services/{service}/MessagingConfigurations/{country}
    DELETE /v2/Services/{service}/MessagingConfigurations/{country}
    POST /v2/Services/{service}/AccessTokens
    POST /v2/SafeList/Numbers
    DELETE /v2/SafeList/Numbers/{number}
    POST /2010-04-01/Accounts/{account}/Messages/{message}
    DELETE /2010-04-01/Accounts/{account}/Messages/{message}

    Clients' tokens, \"it was not me\", and receipts: what follows a failed message is the engine's own affair, and is counted.
    POST /oauth2/token
    POST /not-me/{token}
    POST /webhooks/{provider}
";

fn routes(list: &str) -> BTreeSet<String> {
    list.lines().map(str::trim).filter(|line| line.contains(" /")).map(str::to_owned).collect()
}

/// Nothing in the way but what `limits` says.
fn settings(limits: &str) -> String {
    format!(
        "[accounts]\npasswordless = true\n\
         [accounts.limits]\nip_sign_ins = \"1000/1m\"\nsign_in_failures = \"1000/1m\"\naccount_failures = \"1000/1m\"\n\
         [camara]\nversions = [\"vwip\"]\n\
         [limits]\ndestination = \"100/24h\"\n\
         [twilio_face]\nmessages = true\n\
         [service.default]\nresend_waits = []\nlimits.ip_sends = \"1000/1h\"\nlimits.ip_checks = \"1000/1h\"\n{limits}"
    )
}

/// ATT-06, A07: a wrong code at each door is one more of the same count, and when it is full every door is closed.
#[tokio::test]
async fn wrong_codes_at_all_doors_are_one_count() {
    let mut walked = BTreeSet::new();
    for (is_proven, doors) in WALKS {
        let judging = || doors.iter().filter(|door| **door != Door::Texts);
        let count = judging().count();
        let limits = format!("limits.destination = [\"100/24h\"]\nlimits.soft_failures = {count}\nlimits.hard_failures = {count}");
        let app = TestApp::with(&settings(&limits)).await;
        let street = Street::new(&app, is_proven).await;
        for door in judging() {
            let before = street.messages().await;
            let (sent, held) = door.ask(&street).await;
            assert!(sent.status < 300, "{door:?} sends: {} {}", sent.status, sent.body);
            let code = street.code(before + 1).await;
            let answer = door.show(&street, &held, &wrong(&code, 1)).await;
            assert!(matches!(answer.status, 200 | 400 | 401 | 422), "{door:?} judges: {} {}", answer.status, answer.body);
        }
        are_closed(&street, doors).await;
        walked.append(&mut street.walked().await);
    }
    assert!(walked.is_superset(&routes(JUDGING)), "not walked: {:?}", routes(JUDGING).difference(&walked));
}

/// A07: messages through all doors are one count, too.
#[tokio::test]
async fn messages_through_all_doors_are_one_count() {
    let mut walked = BTreeSet::new();
    for (is_proven, doors) in WALKS {
        let count: usize = doors.iter().map(|door| 1 + door.others()).sum();
        let app = TestApp::with(&settings(&format!("limits.destination = [\"{count}/10m\"]"))).await;
        let street = Street::new(&app, is_proven).await;
        let before = street.messages().await;
        let (mut sent, mut held) = (before, Vec::new());
        for door in doors {
            let (answer, holds) = door.ask(&street).await;
            assert!(answer.status < 300, "{door:?} sends: {} {}", answer.status, answer.body);
            street.code(sent + 1).await;
            door.again(&street, &holds).await;
            sent += 1 + door.others();
            street.code(sent).await;
            held.push((door, holds));
        }
        assert_eq!(sent - before, count);
        for (door, holds) in &held {
            door.again(&street, holds).await;
        }
        are_closed(&street, doors).await;
        walked.append(&mut street.walked().await);
    }
    assert!(walked.is_superset(&routes(SENDING)), "not walked: {:?}", routes(SENDING).difference(&walked));
}

/// Whoever asks at any of these doors gets nothing.
async fn are_closed(street: &Street<'_>, doors: &[Door]) {
    let before = street.messages().await;
    for door in doors {
        let (answer, _) = door.ask(street).await;
        assert!(!door.tells() || matches!(answer.status, 403 | 429), "{door:?} is open: {} {}", answer.status, answer.body);
    }
    assert_eq!(street.messages_in_the_end().await, before, "a door is open");
}

/// ATT-06: a route that is not in one of the lists is a door that nobody has tried. What is only read sends and judges nothing.
#[tokio::test]
async fn every_route_is_a_door_or_none() {
    let app = TestApp::with(&settings("")).await;
    let router = format!("{:?}", http::public(&app.app));
    let (mut paths, mut methods) = (BTreeMap::new(), BTreeMap::new());
    for piece in router.split("fallback_router").next().expect("text").split("RouteId(").skip(1) {
        let (id, rest) = piece.split_once("): ").expect("a route");
        match rest.strip_prefix('"') {
            Some(path) => paths.insert(id, path.split('"').next().expect("a path")).map(drop),
            None => methods.insert(id, rest).map(drop),
        };
    }
    let mut found = BTreeSet::new();
    for (id, methods) in methods {
        let has = |name: &&str| methods.contains(&format!(" {name}: ")) && !methods.contains(&format!(" {name}: None"));
        found.extend(
            ["delete", "patch", "post", "put"].into_iter().filter(has).map(|name| format!("{} {}", name.to_uppercase(), paths[id])),
        );
    }
    assert!(found.len() > 100, "axum shows its routes in another way: {router}");
    let doors = &routes(SENDING) | &routes(JUDGING);
    let neither = routes(NEITHER);
    assert!(doors.is_disjoint(&neither), "{:?}", doors.intersection(&neither));
    let known = &doors | &neither;
    assert!(found.is_subset(&known), "doors that nobody has tried: {:#?}", found.difference(&known));
    assert!(known.is_subset(&found), "doors that are not there: {:#?}", known.difference(&found));
}
