//! Who delivers, in words: for `doctor` and for what `serve` says at its start.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{KINDS, Senders};
use crate::delivery::accounts::Configured;
use crate::delivery::provider::{Family, Kind};
use crate::delivery::route::Route;
use crate::verification::model::Channel;

/// Variables of the systems that this one replaces which it knows and has no use for yet, and what they stand for there.
const NOT_USED_YET: [(&str, &str); 4] = [
    ("DATABASE_URL", "verifications are kept in this server's own SQLite file; no other database is opened"),
    ("DB_SOURCE", "verifications are kept in this server's own SQLite file; no other database is opened"),
    ("REDIS_URL", "codes and limits are kept in this server's own SQLite file; no Redis is asked"),
    ("JWT_SECRET", "this version signs no tokens"),
];

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

/// Variables that are set, known, and of no use: "DATABASE_URL is set and not used: …".
pub fn unused(accounts: &[Configured], environment: &BTreeMap<String, String>) -> Vec<String> {
    let is_set = |variable: &str| environment.get(variable).is_some_and(|value| !value.is_empty());
    let used: BTreeSet<&str> = accounts.iter().flat_map(|account| account.variables.iter().copied()).collect();
    // What one kind has a use for is not idle in another.
    let is_idle = |variable: &&str| is_set(variable) && !used.contains(variable);
    let mut lines = Vec::new();
    for kind in KINDS {
        let idle: Vec<&str> = kind.environment.iter().map(|(variable, _)| *variable).filter(is_idle).collect();
        let missing = missing(kind, is_set);
        if idle.is_empty() || (missing.is_empty() && accounts.is_empty()) {
            continue;
        }
        let why = match missing.as_slice() {
            [] => "another value counts for the same setting".to_owned(),
            missing => format!("{} needs {} as well", kind.title, missing.join(", and ")),
        };
        let verb = if idle.len() == 1 { "is" } else { "are" };
        lines.push(format!("{} {verb} set and not used: {why}", idle.join(", ")));
    }
    let known = NOT_USED_YET.iter().filter(|(variable, _)| is_set(variable));
    lines.extend(known.map(|(variable, what)| format!("{variable} is set and not used: {what}")));
    lines
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
