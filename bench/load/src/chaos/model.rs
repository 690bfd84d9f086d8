//! What no history may show, whatever broke in between: the sequential model that a run is held against.
//!
//! A verification is a small machine (pending, then one of approved, canceled, exhausted) with a count of checks that only
//! falls. Calls overlap, so only what must hold in every order is asked: what an answer said holds for each call that began
//! after that answer had come. A call without an answer may have been done at any time, or never.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::chaos::history::{Call, Fault, History, Moment, Outcome, Record, Status};

/// How long a message that a provider was handed may go unreported, with the lease of a replica that died: what came twice
/// within that of a fault may have been sent again by somebody who could not know.
const DOUBT: Moment = 25_000_000;

/// Something that may never happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// More than one check was told that it was the one.
    ApprovedTwice(String),
    /// A code passed that was never sent there.
    WrongCodePassed(String),
    /// A right code was refused while the verification waited for it.
    RightCodeRefused(String),
    /// More checks were judged than a code has.
    TooManyJudged(String),
    /// Two checks were given the same place in the count, or a later one a higher place.
    CountWentBack(String),
    /// It had ended, and stood otherwise afterwards.
    EndUndone(String),
    /// An acknowledged start is gone.
    StartLost(String),
    /// It is approved, and no right code was ever sent.
    ApprovedByNobody(String),
    /// One idempotency key, two verifications.
    KeyAnsweredTwice(String),
    /// Two starts to one destination within its wait.
    LimitOutrun(String),
    /// A message came twice, and nothing was broken that would explain it; or three times.
    SentTwice(String),
    /// A message that was promised never came.
    NeverSent(String),
}

/// Everything about one verification, in the order in which the calls began.
#[derive(Default)]
struct Story<'a> {
    to: Option<&'a str>,
    started: Option<&'a Record>,
    calls: Vec<&'a Record>,
}

/// Everything that is wrong with a run.
pub fn violations(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let stories = stories(history);
    let codes = codes(history);
    for (id, story) in &stories {
        judge(id, story, history, &codes, &mut found);
    }
    keys(history, &mut found);
    limits(history, &stories, &mut found);
    messages(history, &mut found);
    found.sort();
    found.dedup();
    found
}

fn stories(history: &History) -> BTreeMap<&str, Story<'_>> {
    let mut stories: BTreeMap<&str, Story<'_>> = BTreeMap::new();
    for record in &history.records {
        match (&record.call, &record.outcome) {
            (Call::Start { to, .. }, Outcome::Started { id }) => {
                let story = stories.entry(id).or_default();
                story.to = Some(to);
                if story.started.is_none_or(|first| record.ended < first.ended) {
                    story.started = Some(record);
                }
            }
            (Call::Start { .. }, _) => {}
            (Call::Check { id, .. } | Call::Cancel { id } | Call::Get { id }, _) => stories.entry(id).or_default().calls.push(record),
        }
    }
    for story in stories.values_mut() {
        story.calls.sort_by_key(|record| record.began);
    }
    stories
}

/// The codes that were sent to each destination.
fn codes(history: &History) -> HashMap<&str, HashSet<&str>> {
    let mut codes: HashMap<&str, HashSet<&str>> = HashMap::new();
    for sent in &history.sent {
        codes.entry(&sent.to).or_default().insert(&sent.code);
    }
    codes
}

fn shown(record: &Record) -> Option<(Status, u32)> {
    match record.outcome {
        Outcome::Checked { status, left, .. } | Outcome::Seen { status, left, .. } => Some((status, left)),
        _ => None,
    }
}

fn judge(id: &str, story: &Story<'_>, history: &History, codes: &HashMap<&str, HashSet<&str>>, found: &mut Vec<Violation>) {
    let none = HashSet::new();
    let sent = story.to.and_then(|to| codes.get(to)).unwrap_or(&none);
    let is_right = |code: &str| sent.contains(code);
    let valid = |record: &&&Record| matches!(record.outcome, Outcome::Checked { valid: true, .. });
    let approvals: Vec<_> = story.calls.iter().filter(valid).collect();
    if approvals.len() > 1 {
        found.push(Violation::ApprovedTwice(id.into()));
    }
    // Which code is right is certain where one start and one message went to the destination.
    let starts_there =
        history.records.iter().filter(|record| matches!(&record.call, Call::Start { to, .. } if Some(to.as_str()) == story.to));
    let keys: HashSet<_> = starts_there.map(|record| if let Call::Start { key, .. } = &record.call { key.clone() } else { None }).collect();
    let is_certain = sent.len() == 1 && keys.len() == 1;
    for record in &story.calls {
        let Call::Check { code, .. } = &record.call else { continue };
        match record.outcome {
            Outcome::Checked { valid: true, .. } if !is_right(code) => found.push(Violation::WrongCodePassed(id.into())),
            Outcome::Checked { valid: false, status: Status::Pending, .. } if is_certain && is_right(code) => {
                found.push(Violation::RightCodeRefused(id.into()));
            }
            _ => {}
        }
    }
    counts(id, story, history, found);
    ends(id, story, found);
    let forgotten = history.faults.iter().any(|fault| fault.forgets && story.started.is_none_or(|started| started.began < fault.until));
    if story.started.is_some() && !forgotten && story.calls.iter().any(|record| record.outcome == Outcome::NotFound) {
        found.push(Violation::StartLost(id.into()));
    }
    let somebody = story.calls.iter().any(|record| match (&record.call, &record.outcome) {
        (Call::Check { code, .. }, Outcome::Checked { valid, .. }) => *valid && is_right(code),
        (Call::Check { code, .. }, Outcome::Unknown(_)) => is_right(code),
        _ => false,
    });
    let is_approved = story.calls.iter().any(|record| matches!(shown(record), Some((Status::Approved, _))));
    if is_approved && !somebody {
        found.push(Violation::ApprovedByNobody(id.into()));
    }
    let last = story.calls.iter().rev().find(|record| record.began >= history.settled && matches!(record.outcome, Outcome::Seen { .. }));
    if let Some(Outcome::Seen { delivery, status, .. }) = last.map(|record| &record.outcome) {
        let waits = delivery == "queued" && *status == Status::Pending;
        let lies = (delivery == "sent" || delivery == "delivered") && sent.is_empty();
        if (waits || lies) && story.started.is_some() && !forgotten {
            found.push(Violation::NeverSent(id.into()));
        }
    }
}

/// Each check that was judged has a place of its own in the count, and later ones lower places.
fn counts(id: &str, story: &Story<'_>, history: &History, found: &mut Vec<Violation>) {
    let judged: Vec<_> = story
        .calls
        .iter()
        .filter_map(|record| match record.outcome {
            Outcome::Checked { valid: false, status: Status::Pending, left } => Some((record, left)),
            _ => None,
        })
        .collect();
    let places: HashSet<_> = judged.iter().map(|(_, left)| left).collect();
    if judged.len() as u32 >= history.checks {
        found.push(Violation::TooManyJudged(id.into()));
    } else if places.len() < judged.len() {
        found.push(Violation::CountWentBack(id.into()));
    }
    // What one answer said of the count, no call that began afterwards may exceed.
    let mut answered: Vec<_> = story.calls.iter().filter_map(|record| Some((record.ended, shown(record)?.1))).collect();
    answered.sort_unstable();
    let counted = |record: &Record| matches!(record.outcome, Outcome::Checked { valid: false, status: Status::Pending, .. });
    for record in &story.calls {
        let Some((Status::Pending, left)) = shown(record) else { continue };
        let least = answered.iter().take_while(|(ended, _)| *ended < record.began).map(|(_, left)| *left).min();
        if least.is_some_and(|least| left > least || (counted(record) && left >= least)) {
            found.push(Violation::CountWentBack(id.into()));
        }
    }
    // A right code after the last check had been answered.
    let wrong_before = |moment: Moment| {
        let used = judged.iter().filter(|(record, _)| record.ended < moment).count() as u32;
        let ended = story.calls.iter().any(|record| record.ended < moment && matches!(shown(record), Some((Status::Exhausted, _))));
        used >= history.checks || ended
    };
    if story.calls.iter().any(|record| matches!(record.outcome, Outcome::Checked { valid: true, .. }) && wrong_before(record.began)) {
        found.push(Violation::TooManyJudged(id.into()));
    }
}

/// What has ended stays ended, the same way. Two things may follow that the checks have run out: time runs out as well; and the
/// last check, counted before it was judged, turns out to be right.
fn ends(id: &str, story: &Story<'_>, found: &mut Vec<Violation>) {
    let mut ended: Vec<_> = story.calls.iter().filter_map(|record| Some((record.ended, shown(record)?.0))).collect();
    ended.retain(|(_, status)| *status != Status::Pending);
    ended.sort_by_key(|(moment, _)| *moment);
    for record in &story.calls {
        let Some((status, _)) = shown(record) else { continue };
        let mut before = ended.iter().take_while(|(moment, _)| *moment < record.began);
        let was_being_judged = |moment: Moment| {
            let judged = |check: &&&Record| matches!(check.outcome, Outcome::Checked { valid: true, .. } | Outcome::Unknown(_));
            story.calls.iter().filter(judged).any(|check| matches!(check.call, Call::Check { .. }) && check.began < moment)
        };
        let undone = |moment: Moment, earlier: Status| match (earlier, status) {
            (Status::Exhausted, Status::Expired) => false,
            (Status::Exhausted, Status::Approved) => !was_being_judged(moment),
            _ => status != earlier,
        };
        if before.any(|(moment, earlier)| undone(*moment, *earlier)) {
            found.push(Violation::EndUndone(id.into()));
        }
    }
}

fn keys(history: &History, found: &mut Vec<Violation>) {
    let mut answers: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for record in &history.records {
        if let (Call::Start { key: Some(key), .. }, Outcome::Started { id }) = (&record.call, &record.outcome) {
            answers.entry(key).or_default().insert(id);
        }
    }
    // A key that was forgotten on purpose is a new key.
    let forgets = history.faults.iter().any(|fault| fault.forgets);
    found.extend(answers.into_iter().filter(|(_, ids)| ids.len() > 1 && !forgets).map(|(key, _)| Violation::KeyAnsweredTwice(key.into())));
}

/// Two verifications of one destination that both began, certainly, within one wait. A message that failed lifts it.
fn limits(history: &History, stories: &BTreeMap<&str, Story<'_>>, found: &mut Vec<Violation>) {
    let mut by_destination: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for story in stories.values() {
        let failed = story.calls.iter().any(|record| matches!(&record.outcome, Outcome::Seen { delivery, .. } if delivery == "failed"));
        if let (Some(to), Some(started), false) = (story.to, story.started, failed) {
            by_destination.entry(to).or_default().push(started);
        }
    }
    for (to, mut starts) in by_destination {
        starts.sort_by_key(|record| record.began);
        let forgotten =
            |from: Moment, until: Moment| history.faults.iter().any(|fault| fault.forgets && fault.until >= from && fault.from <= until);
        let outrun = |pair: &[&Record]| {
            let (from, until) = (pair[0].began, pair[0].ended.max(pair[1].ended));
            until - from < history.wait && !forgotten(from, until)
        };
        if starts.windows(2).any(outrun) {
            found.push(Violation::LimitOutrun(to.into()));
        }
    }
}

/// Once, or twice where somebody could not know that it had been sent.
fn messages(history: &History, found: &mut Vec<Violation>) {
    let mut messages: BTreeMap<(&str, &str), Vec<Moment>> = BTreeMap::new();
    for sent in &history.sent {
        messages.entry((&sent.to, &sent.code)).or_default().push(sent.at);
    }
    for ((to, _), mut moments) in messages {
        moments.sort_unstable();
        let explains = |from: Moment, until: Moment, fault: &Fault| fault.from <= until && fault.until + DOUBT >= from;
        let unexplained = moments.windows(2).any(|pair| !history.faults.iter().any(|fault| explains(pair[0], pair[1], fault)));
        if unexplained || moments.len() > 2 {
            found.push(Violation::SentTwice(to.into()));
        }
    }
}

#[cfg(test)]
mod tests;
