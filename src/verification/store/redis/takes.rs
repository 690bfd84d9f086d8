//! Limits, as scripts take them, and what a script says when one refuses. The arithmetic is in `lua/limits.lua`.

use std::time::Duration;

use crate::clock::milliseconds;
use crate::verification::limit::{FailureRule, LimitName, Limited, Quota, Rule, SendRule, Take};
use crate::verification::store::StoreError;
use crate::verification::store::redis::reply::{Reply, unreadable};
use crate::verification::store::redis::script::Call;

/// Adds the limits to take from.
pub fn add_takes(call: Call, takes: &[Take]) -> Call {
    takes.iter().fold(call.number(takes.len() as i64), |call, take| call.key(&take.key).add(rule_text(&take.rule)))
}

fn rule_text(rule: &Rule) -> String {
    match rule {
        Rule::Windows(rule) => windows_text(rule),
        Rule::Rate(quota) => {
            let interval = quota.interval_us();
            format!("r:{interval},{}", quota.per.as_micros() as i64 - interval)
        }
        Rule::Failures(rule) => failures_text(*rule),
    }
}

/// Windows and waits.
pub fn windows_text(rule: &SendRule) -> String {
    let joined = |numbers: Vec<String>| if numbers.is_empty() { "-".to_owned() } else { numbers.join(",") };
    let quotas = rule.quotas.iter().map(|quota| format!("{},{}", quota.count, milliseconds(quota.per))).collect();
    let waits = rule.waits.iter().map(|wait| milliseconds(*wait).to_string()).collect();
    format!("w:{}:{}", joined(quotas), joined(waits))
}

/// The gate on failures.
pub fn failures_text(rule: FailureRule) -> String {
    format!("f:{},{},{}", rule.soft, rule.hard, u8::from(rule.until_released))
}

/// Which limit refused. One more than there are takes is the gate on a subject's failures.
pub fn limited(mut reply: Reply, takes: &[Take]) -> Result<Limited, StoreError> {
    let (place, wait, which) = (reply.number::<usize>()?, reply.number()?, reply.number::<i64>()?);
    let retry_after = Duration::from_micros(wait);
    let Some(take) = place.checked_sub(1).map(|place| takes.get(place)).ok_or_else(|| unreadable("a limit"))? else {
        return Ok(Limited { name: LimitName::Failures, quota: None, retry_after });
    };
    let nth = |number: i64| usize::try_from(number.abs() - 1).unwrap_or_default();
    let quota = match &take.rule {
        Rule::Windows(rule) if which < 0 => rule.waits.get(nth(which)).map(|wait| Quota { count: 1, per: *wait }),
        Rule::Windows(rule) => rule.quotas.get(nth(which)).copied(),
        Rule::Rate(quota) => Some(*quota),
        Rule::Failures(_) => None,
    };
    Ok(Limited { name: take.name, quota, retry_after })
}
