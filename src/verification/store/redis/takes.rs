//! Limits, as scripts take them, and what a script says when one refuses. The arithmetic is in `lua/limits.lua`.

use std::time::Duration;

use crate::clock::milliseconds;
use crate::verification::limit::{FailureRule, LimitName, Limited, Quota, Rule, SendRule, Take};
use crate::verification::store::StoreError;
use crate::verification::store::redis::packed::Packed;
use crate::verification::store::redis::reply::{Reply, unreadable};

/// Adds the limits to take from, as pairs of a key and a rule.
pub fn add_takes(arguments: Packed, takes: &[Take]) -> Packed {
    takes.iter().fold(arguments.list(takes.len()), |arguments, take| {
        let arguments = arguments.list(2).key(&take.key);
        match &take.rule {
            Rule::Windows(rule) => add_windows(arguments, rule),
            Rule::Rate(quota) => {
                let interval = quota.interval_us();
                arguments.list(3).add("r").number(interval).number(quota.per.as_micros() as i64 - interval)
            }
            Rule::Failures(rule) => add_failures(arguments, *rule),
        }
    })
}

/// Adds windows and waits.
pub fn add_windows(arguments: Packed, rule: &SendRule) -> Packed {
    let quotas = arguments.list(3).add("w").list(rule.quotas.len() * 2);
    let quotas = rule.quotas.iter().fold(quotas, |quotas, quota| quotas.number(quota.count.into()).number(milliseconds(quota.per)));
    rule.waits.iter().fold(quotas.list(rule.waits.len()), |waits, wait| waits.number(milliseconds(*wait)))
}

/// Adds the gate on failures.
pub fn add_failures(arguments: Packed, rule: FailureRule) -> Packed {
    arguments.list(4).add("f").number(rule.soft.into()).number(rule.hard.into()).number(rule.until_released.into())
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
