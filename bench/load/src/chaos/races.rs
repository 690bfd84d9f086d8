//! The single scenarios. Each says what went wrong, or nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::chaos::cluster::Cluster;
use crate::chaos::history::{Outcome, Status};
use crate::chaos::load::Numbers;
use crate::chaos::nemesis::flush;
use crate::response::text_field;
use crate::scenario::WRONG_CODE;
use crate::soak::client::Client;

/// Somebody who waits for a message longer than this waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages that one replica hands to one provider at once, and as many that were just taken and are not noted yet: what may
/// come twice when it dies.
const IN_DOUBT: usize = 2 * 64;

/// A verification whose code has come.
fn begun(cluster: &Cluster, numbers: &Numbers, replica: usize) -> Result<(String, String, String)> {
    let to = numbers.next_number();
    let id = match cluster.caller().start(replica, &to, None) {
        Some(Outcome::Started { id }) => id,
        other => anyhow::bail!("a start was answered {other:?}"),
    };
    let code = cluster.sink.awaited(&to, PATIENCE).context("the message never came")?;
    Ok((to, id, code))
}

/// So many threads do the same in each round, at once, in turn at each replica; `each` hears the round's outcomes.
fn storm(
    cluster: &Cluster,
    threads: usize,
    rounds: usize,
    prepare: impl Fn(usize) -> Result<(String, String)> + Sync,
    mut each: impl FnMut(usize, Vec<Outcome>) -> Result<()>,
) -> Result<()> {
    let (gate, done) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let (question, answers) = (Mutex::new((String::new(), String::new())), Mutex::new(Vec::new()));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (gate, done, question, answers, over) = (&gate, &done, &question, &answers, &over);
            scope.spawn(move || {
                let mut caller = cluster.caller();
                loop {
                    gate.wait();
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let (id, code) = question.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    if let Some(outcome) = caller.check(thread % cluster.ports.len(), &id, &code) {
                        answers.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                    }
                    done.wait();
                }
            });
        }
        let mut run = || {
            for round in 0..rounds {
                *question.lock().unwrap_or_else(PoisonError::into_inner) = prepare(round)?;
                gate.wait();
                done.wait();
                each(round, std::mem::take(&mut *answers.lock().unwrap_or_else(PoisonError::into_inner)))?;
            }
            Ok(())
        };
        let outcome = run();
        over.store(true, Ordering::Relaxed);
        gate.wait();
        outcome
    })
}

/// OTP-04, A02, R20: 200 right answers at once over all replicas; exactly one is the one.
pub fn right_answers(cluster: &Cluster, numbers: &Numbers, rounds: usize) -> Result<()> {
    let prepare = |round: usize| begun(cluster, numbers, round % cluster.ports.len()).map(|(_, id, code)| (id, code));
    storm(cluster, 200, rounds, prepare, |round, outcomes| {
        let valid = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Checked { valid: true, .. })).count();
        let unknown: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Unknown(_))).collect();
        ensure!(
            valid == 1 && unknown.is_empty() && outcomes.len() == 200,
            "round {round}: {valid} of {} passed; {unknown:?}",
            outcomes.len()
        );
        Ok(())
    })
}

/// ATT-04, A01: 500 wrong answers at once over all replicas; five are judged, and the right one comes too late.
pub fn wrong_answers(cluster: &Cluster, numbers: &Numbers, rounds: usize) -> Result<()> {
    let codes = Mutex::new(String::new());
    let prepare = |round: usize| {
        let (_, id, code) = begun(cluster, numbers, round % cluster.ports.len())?;
        *codes.lock().unwrap_or_else(PoisonError::into_inner) = format!("{id} {code}");
        Ok((id, WRONG_CODE.to_owned()))
    };
    storm(cluster, 500, rounds, prepare, |round, outcomes| {
        let judged = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Checked { status: Status::Pending, .. })).count();
        let ended = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Checked { status: Status::Exhausted, .. })).count();
        ensure!(judged == 4 && judged + ended == 500, "round {round}: {judged} judged before the last one, {ended} came too late");
        let question = codes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (id, code) = question.split_once(' ').context("a question")?;
        let late = cluster.caller().check(round % cluster.ports.len(), id, code);
        ensure!(matches!(late, Some(Outcome::Checked { valid: false, status: Status::Exhausted, .. })), "round {round}: {late:?}");
        Ok(())
    })
}

/// OPS-05, R20: one key at every replica at once is one verification and one message; and so is one number.
pub fn one_key(cluster: &Cluster, numbers: &Numbers, rounds: usize) -> Result<()> {
    for round in 0..rounds {
        let (to, key) = (numbers.next_number(), format!("race-{round}-{:x}", fastrand::u64(..)));
        let asked = |key: Option<&str>| {
            std::thread::scope(|scope| {
                let ask = |thread: usize, to: String| move || cluster.caller().start(thread % cluster.ports.len(), &to, key);
                let threads: Vec<_> = (0..100).map(|thread| scope.spawn(ask(thread, to.clone()))).collect();
                threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect::<Vec<_>>()
            })
        };
        let outcomes = asked(Some(&key));
        let ids: std::collections::BTreeSet<_> =
            outcomes.iter().filter_map(|outcome| if let Outcome::Started { id } = outcome { Some(id) } else { None }).collect();
        let odd: Vec<_> = outcomes.iter().filter(|outcome| !matches!(outcome, Outcome::Started { .. } | Outcome::Refused(409))).collect();
        ensure!(ids.len() == 1 && odd.is_empty(), "round {round}: one key has {ids:?}, and {odd:?}");
        let refused = asked(None);
        let odd: Vec<_> = refused.iter().filter(|outcome| !matches!(outcome, Outcome::Refused(429))).collect();
        ensure!(odd.is_empty(), "round {round}: the wait of a destination was not kept: {odd:?}");
    }
    Ok(())
}

/// A client's key that is revoked on one replica is refused by all, within about a second (it is remembered for one).
pub fn revoked_key(cluster: &Cluster) -> Result<()> {
    let made = cluster.replica(0).run(&["client", "create", "--name", "short-lived", "--json"])?;
    let key = text_field(&made, "key").context("no key")?.to_owned();
    let id = text_field(&made, "id").context("no id")?.to_owned();
    let path = "/v1/verifications/00000000-0000-7000-8000-000000000000";
    let status = |port: u16| Client::connect(port, &key).and_then(|mut client| client.get(path)).map(|answer| answer.status);
    for port in &cluster.ports {
        ensure!(status(*port)? == 404, "a new key is not known everywhere");
    }
    cluster.replica(0).run(&["client", "revoke", &id])?;
    let revoked = Instant::now();
    for port in &cluster.ports {
        while status(*port)? != 401 {
            ensure!(revoked.elapsed() < Duration::from_millis(2500), "a revoked key still opens port {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// How often each message came.
fn copies(cluster: &Cluster) -> HashMap<(String, String), usize> {
    let mut copies = HashMap::new();
    for sent in cluster.sink.sent() {
        *copies.entry((sent.to, sent.code)).or_insert(0) += 1;
    }
    copies
}

/// A replica with a long queue dies, or stands still: the other one sends what is left, and what the dead one had not handed
/// over is sent once. `still`: it comes back to life, and must not go on where it was.
pub fn taken_over(cluster: &Cluster, numbers: &Numbers, still: bool) -> Result<()> {
    const STARTS: usize = 300;
    cluster.sink.delay(Duration::from_millis(1500));
    let to: Vec<_> = (0..STARTS).map(|_| numbers.next_number()).collect();
    let share = STARTS / 10;
    std::thread::scope(|scope| {
        for numbers in to.chunks(share) {
            scope.spawn(move || {
                let mut caller = cluster.caller();
                for to in numbers {
                    caller.start(0, to, None);
                }
            });
        }
    });
    let what = if still { "a replica with a long queue stands still" } else { "a replica with a long queue is killed" };
    let came = || {
        let copies = copies(cluster);
        to.iter().filter(|to| copies.keys().any(|(sent_to, _)| sent_to == *to)).count()
    };
    ensure!(came() < STARTS, "everything was sent before it could be taken over");
    cluster.fault(what, false, || {
        if still {
            cluster.replica(0).signal("STOP")?;
        } else {
            cluster.replica(0).kill()?;
        }
        cluster.sink.delay(Duration::ZERO);
        let began = Instant::now();
        while came() < STARTS {
            ensure!(began.elapsed() < Duration::from_secs(40), "{} of {STARTS} messages were sent", came());
            std::thread::sleep(Duration::from_millis(50));
        }
        if still {
            cluster.replica(0).signal("CONT")?;
            // It hears that it was taken for dead, or it sends everything again: once its breaker lets it, which saw all that was
            // under way run out of time.
            std::thread::sleep(Duration::from_secs(35));
            cluster.replica(0).ready(PATIENCE)
        } else {
            cluster.replica(0).start()
        }
    })?;
    let copies = copies(cluster);
    let more = |least: usize| copies.iter().filter(|((sent_to, _), count)| to.contains(sent_to) && **count > least).count();
    ensure!(more(2) == 0, "a message was sent three times");
    ensure!(more(1) <= IN_DOUBT, "{} messages were sent twice, and {IN_DOUBT} were in doubt at most", more(1));
    Ok(())
}

/// R17: one replica after the other is stopped and started while people start and check, at those that say they are ready.
/// No call fails.
pub fn rolling_restart(cluster: &Cluster, numbers: &Numbers) -> Result<()> {
    let (stop, ready): (_, Vec<_>) = (AtomicBool::new(false), cluster.ports.iter().map(|_| AtomicBool::new(true)).collect());
    let (failed, first) = (Mutex::new(Vec::new()), numbers.next_number());
    let calls = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (stop, ready, failed, calls) = (&stop, &ready, &failed, &calls);
        // The load balancer.
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for (port, ready) in cluster.ports.iter().zip(ready) {
                    let status = Client::connect(*port, "").and_then(|mut client| client.get("/readyz")).map(|answer| answer.status);
                    ready.store(matches!(status, Ok(200)), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        for person in 0..8 {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(person);
                while !stop.load(Ordering::Relaxed) {
                    let open: Vec<_> = (0..ready.len()).filter(|place| ready[*place].load(Ordering::Relaxed)).collect();
                    let Some(place) = random.choice(&open) else {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push("no replica was ready".to_owned());
                        std::thread::sleep(Duration::from_millis(100));
                        continue;
                    };
                    let mut caller = cluster.caller();
                    let outcome = caller.start(*place, &numbers.next_number(), None);
                    let checked = match &outcome {
                        Some(Outcome::Started { id }) => caller.check(*place, id, WRONG_CODE),
                        other => other.clone(),
                    };
                    calls.fetch_add(2, Ordering::Relaxed);
                    if !matches!(checked, Some(Outcome::Checked { .. })) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("at {place}: {outcome:?}, {checked:?}"));
                    }
                }
            });
        }
        let restart = || {
            for number in 0..cluster.ports.len() {
                std::thread::sleep(Duration::from_millis(500));
                let status = cluster.replica(number).stop()?;
                ensure!(status.success(), "a stop ended with {status}");
                cluster.replica(number).start()?;
                std::thread::sleep(Duration::from_millis(500));
            }
            Ok(())
        };
        let restarted = restart();
        stop.store(true, Ordering::Relaxed);
        restarted
    })?;
    let twice: Vec<_> = copies(cluster).into_iter().filter(|((to, _), count)| *to >= first && *count > 1).collect();
    ensure!(twice.is_empty(), "a stop sent messages twice: {twice:?}");
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(failed.is_empty(), "{} of {} calls failed: {:?}", failed.len(), calls.load(Ordering::Relaxed), failed.first());
    Ok(())
}

/// R08, R09: a replica that starts without its database lives and is not ready; it joins when the database is there. One whose
/// database goes away in between refuses, and comes back.
pub fn without_database(cluster: &Cluster, numbers: &Numbers) -> Result<()> {
    cluster.fault("a replica starts without its database", false, || {
        cluster.replica(0).stop()?;
        cluster.sql[0].cut();
        cluster.replica(0).launch()?;
        let began = Instant::now();
        while cluster.replica(0).status("/livez") != Some(200) {
            ensure!(began.elapsed() < PATIENCE, "it does not live without its database");
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_secs(1));
        ensure!(cluster.replica(0).status("/readyz") == Some(503), "it says that it is ready");
        cluster.sql[0].heal();
        cluster.replica(0).ready(PATIENCE)
    })?;
    begun(cluster, numbers, 0)?;
    // Where there is a Redis, that is what a start needs.
    let link = cluster.redis.first().unwrap_or(&cluster.sql[0]);
    cluster.fault("a replica loses its database", false, || {
        link.cut();
        let asked = Instant::now();
        let outcome = cluster.caller().start(0, &numbers.next_number(), None);
        ensure!(matches!(&outcome, Some(Outcome::Unknown(text)) if text.starts_with("503")), "without a database: {outcome:?}");
        ensure!(asked.elapsed() < Duration::from_secs(8), "it took {:?} to say so", asked.elapsed());
        link.heal();
        cluster.replica(0).ready(PATIENCE)
    })?;
    begun(cluster, numbers, 0).map(drop)
}

/// R11: what was used up stays so when Redis is emptied, and what comes after works.
pub fn emptied_redis(cluster: &Cluster, numbers: &Numbers) -> Result<()> {
    let (_, id, code) = begun(cluster, numbers, 0)?;
    let passed = cluster.caller().check(0, &id, &code);
    ensure!(matches!(passed, Some(Outcome::Checked { valid: true, .. })), "{passed:?}");
    cluster.fault("FLUSHALL", true, || flush(cluster))?;
    let again = cluster.caller().check(1, &id, &code);
    ensure!(!matches!(again, Some(Outcome::Checked { valid: true, .. })), "a used code passed again: {again:?}");
    begun(cluster, numbers, 1).map(drop)
}
