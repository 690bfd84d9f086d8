//! Who delivers, in words: for `doctor` and for what `serve` says at its start.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{KINDS, Senders};
use crate::delivery::accounts::Configured;
use crate::delivery::provider::{Family, Kind};
use crate::delivery::route::Route;
use crate::verification::model::Channel;

/// Each account: "SMS, calls by twilio: Twilio Programmable Messaging (TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN …)".
pub fn accounts(senders: &Senders) -> Vec<String> {
    senders.accounts.iter().map(account).collect()
}

fn account(account: &Configured) -> String {
    let channels: Vec<_> = account.provider.channels().iter().map(|channel| name(*channel)).collect();
    let mut line = format!("{} by {}", channels.join(", "), account.provider.name);
    if *account.provider.name != *account.title {
        line.push_str(&format!(": {}", account.title));
    }
    if !account.variables.is_empty() {
        line.push_str(&format!(" ({})", account.variables.join(", ")));
    }
    line
}

/// Each route that may come to be used, and whom it leaves out: "SMS by twilio, then vonage".
pub fn routes(senders: &Senders) -> Vec<String> {
    Channel::ALL.into_iter().flat_map(|channel| routes_of(senders, channel)).collect()
}

fn routes_of(senders: &Senders, channel: Channel) -> Vec<String> {
    let routes = senders.routes.all().iter().filter(|route| route.channel == channel);
    let mut lines = Vec::new();
    for route in routes {
        let countries = route.countries.iter().flatten().map(|country| country.as_str()).collect::<Vec<_>>().join(", ");
        let countries = if countries.is_empty() { String::new() } else { format!(" to {countries}") };
        lines.push(format!("{}{countries} by {}{}", name(channel), members(senders, route), left_out(senders, route)));
        if route.countries.is_none() {
            // Whatever follows is never reached.
            break;
        }
    }
    lines
}

fn members(senders: &Senders, route: &Route) -> String {
    let names = route.providers.iter().map(|&place| &*senders.accounts[place].provider.name);
    names.collect::<Vec<_>>().join(", then ")
}

/// Why somebody who serves the channel is not asked.
fn left_out(senders: &Senders, route: &Route) -> String {
    let own_codes = |account: &Configured| matches!(account.provider.family, Family::Verify(_));
    let serves = |account: &Configured| account.provider.channels().contains(&route.channel);
    let others = senders.accounts.iter().enumerate().filter(|(place, account)| serves(account) && !route.providers.contains(place));
    let others: Vec<&str> = others.map(|(_, account)| &*account.provider.name).collect();
    if others.is_empty() {
        return String::new();
    }
    let others = others.join(", ");
    match route.providers.first().map(|&place| &senders.accounts[place]) {
        Some(first) if own_codes(first) => {
            format!(
                " alone; not {others}: {} comes first and makes its own codes, and two codes must not be live at once",
                first.provider.name
            )
        }
        _ => format!("; not {others}, which the route does not name, or which makes its own codes and comes later"),
    }
}

/// Variables that are set, known, and of no use: "DB_SOURCE is set and not used: …".
pub fn unused(accounts: &[Configured], environment: &BTreeMap<String, String>) -> Vec<String> {
    let is_set = |variable: &str| environment.get(variable).is_some_and(|value| !value.is_empty());
    let used: BTreeSet<&str> = accounts.iter().flat_map(|account| account.variables.iter().copied()).collect();
    let is_there = |kind: &&Kind| accounts.iter().any(|account| account.title == kind.title);
    let (there, absent): (Vec<&Kind>, Vec<&Kind>) = KINDS.iter().partition(is_there);
    let idle = |kind: &Kind, told: &BTreeSet<&str>| -> Vec<&'static str> {
        kind.environment.iter().map(|(variable, _)| *variable).filter(|variable| is_set(variable) && !told.contains(variable)).collect()
    };
    // What one kind has a use for, or is said of already, is not idle in another.
    let mut told = used;
    let mut lines = Vec::new();
    for kind in there {
        let idle = idle(kind, &told);
        if !idle.is_empty() {
            lines.push(format!("{}: another value counts for the same setting", not_used(&idle)));
            told.extend(idle);
        }
    }
    for kind in absent {
        let (idle, missing) = (idle(kind, &told), missing(kind, is_set));
        if !idle.is_empty() && !missing.is_empty() {
            lines.push(format!("{}: {} needs {} as well", not_used(&idle), kind.title, missing.join(", and ")));
        }
    }
    if is_set("DATABASE_URL") && is_set("DB_SOURCE") {
        lines.push("DB_SOURCE is set and not used: DATABASE_URL names the database".into());
    }
    lines
}

fn not_used(variables: &[&str]) -> String {
    format!("{} {} set and not used", variables.join(", "), if variables.len() == 1 { "is" } else { "are" })
}

/// What an account of that kind would need further: "TWILIO_PHONE_NUMBER or TWILIO_MESSAGING_SERVICE_SID".
fn missing(kind: &Kind, is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let variables_of = |group: &&[&str]| {
        let its = kind.environment.iter().filter(|(_, setting)| group.contains(setting));
        its.map(|(variable, _)| *variable).collect::<Vec<_>>()
    };
    let groups = kind.needs.iter().map(variables_of);
    groups.filter(|variables| !variables.iter().any(|variable| is_set(variable))).map(|variables| variables.join(" or ")).collect()
}

/// Of a channel, for people.
fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "SMS",
        Channel::Whatsapp => "WhatsApp",
        Channel::Call => "calls",
        Channel::Email => "mail",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::delivery::message::Envelope;
    use crate::delivery::provider::{Provider, SendError, VerifyProvider};
    use crate::delivery::providers::console::Console;
    use crate::delivery::route::{Routes, Routing};
    use crate::secret::Code;
    use crate::verification::courier::{ProviderLimits, ProviderVerdict};

    struct Hosted;

    #[async_trait]
    impl VerifyProvider for Hosted {
        fn channels(&self) -> &[Channel] {
            &[Channel::Sms]
        }
        fn limits(&self) -> ProviderLimits {
            ProviderLimits { life: Duration::from_secs(600), checks: 5 }
        }
        async fn start(&self, _: &Envelope) -> Result<String, SendError> {
            Err(SendError::unavailable("a test"))
        }
        async fn check(&self, _: &str, _: &Code) -> Result<ProviderVerdict, SendError> {
            Err(SendError::unavailable("a test"))
        }
    }

    fn account(name: &str, family: Family) -> Configured {
        Configured { provider: Provider { name: name.into(), family }, title: "Test", variables: vec!["A", "B"] }
    }

    fn ours(name: &str) -> Configured {
        account(name, Family::Message(Arc::new(Console { print: false })))
    }

    fn hosted(name: &str) -> Configured {
        account(name, Family::Verify(Arc::new(Hosted)))
    }

    fn said(accounts: Vec<Configured>) -> (String, Vec<String>) {
        let providers: Vec<_> = accounts.iter().map(|account| account.provider.clone()).collect();
        let routes = Routes::new(Vec::new(), Routing::Ordered, &providers).expect("routes");
        let senders = Senders { accounts, routes };
        (routes_of(&senders, Channel::Sms).concat(), super::accounts(&senders))
    }

    /// Who is asked, who is not, and why: two codes are never live at once.
    #[test]
    fn a_route_names_who_is_left_out() {
        let (sms, accounts) = said(vec![hosted("verify"), ours("own")]);
        assert!(sms.starts_with("SMS by verify alone; not own: verify comes first and makes its own codes"), "{sms}");
        assert_eq!(accounts[0], "SMS by verify: Test (A, B)");
        let (sms, _) = said(vec![ours("own"), hosted("verify"), ours("other")]);
        assert!(sms.starts_with("SMS by own, then other; not verify, "), "{sms}");
        assert_eq!(said(vec![hosted("verify")]).0, "SMS by verify");
    }
}
