//! What happens to the servers of people who start and check: drawn from a seed, so that a run can be had again, as far as the
//! machine's timing goes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;

use crate::chaos::cluster::Cluster;

/// A server that comes back needs no longer, on a slow machine.
const BACK: Duration = Duration::from_secs(60);

/// One thing that breaks, and its repair.
pub fn strike(cluster: &Cluster, random: &mut Rng, stop: &dyn Fn() -> bool) -> Result<String> {
    let number = random.usize(0..cluster.replicas.len());
    let millis = |random: &mut Rng, least, most| Duration::from_millis(random.u64(least..most));
    let kinds = if cluster.redis_port.is_some() { 8 } else { 6 };
    let what = match random.u8(0..kinds) {
        0 => {
            let away = millis(random, 0, 3000);
            let what = format!("kill -9 of {number}, away for {away:?}");
            cluster.fault(&what, false, || {
                cluster.replica(number).kill()?;
                rest(away, stop);
                cluster.replica(number).launch()?;
                cluster.replica(number).ready(BACK)
            })?;
            what
        }
        1 => {
            let what = format!("restart of {number}");
            cluster.fault(&what, false, || {
                cluster.replica(number).stop()?;
                cluster.replica(number).launch()?;
                cluster.replica(number).ready(BACK)
            })?;
            what
        }
        2 => {
            // Longer than a lease lasts, now and then.
            let still = millis(random, 500, 14_000);
            let what = format!("{number} stands still for {still:?}");
            cluster.fault(&what, false, || {
                cluster.replica(number).signal("STOP")?;
                rest(still, stop);
                cluster.replica(number).signal("CONT")
            })?;
            what
        }
        3 => {
            let away = millis(random, 300, 5000);
            let what = format!("{number} has no database for {away:?}");
            cluster.fault(&what, false, || {
                cluster.sql[number].cut();
                rest(away, stop);
                cluster.sql[number].heal();
                Ok(())
            })?;
            what
        }
        4 => {
            let away = millis(random, 300, 4000);
            let what = format!("the database is away for {away:?}");
            cluster.fault(&what, false, || {
                cluster.sql.iter().for_each(|link| link.cut());
                rest(away, stop);
                cluster.sql.iter().for_each(|link| link.heal());
                Ok(())
            })?;
            what
        }
        5 => {
            let (delay, long) = (millis(random, 2, 30), millis(random, 1000, 5000));
            let what = format!("the databases of {number} are {delay:?} slower, each way, for {long:?}");
            let links = || [cluster.sql.get(number), cluster.redis.get(number)].into_iter().flatten();
            links().for_each(|link| link.slow(delay));
            rest(long, stop);
            links().for_each(|link| link.heal());
            what
        }
        6 => {
            let away = millis(random, 300, 4000);
            let what = format!("Redis is away for {away:?}");
            cluster.fault(&what, false, || {
                cluster.redis.iter().for_each(|link| link.cut());
                rest(away, stop);
                cluster.redis.iter().for_each(|link| link.heal());
                Ok(())
            })?;
            what
        }
        _ => {
            cluster.fault("FLUSHALL", true, || flush(cluster))?;
            "FLUSHALL".to_owned()
        }
    };
    Ok(what)
}

/// Empties Redis.
pub fn flush(cluster: &Cluster) -> Result<()> {
    let port = cluster.redis_port.context("there is no Redis")?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"FLUSHALL\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    anyhow::ensure!(&answer == b"+OK\r\n", "FLUSHALL was refused");
    Ok(())
}

fn rest(long: Duration, stop: &dyn Fn() -> bool) {
    let step = Duration::from_millis(100);
    let mut left = long;
    while !left.is_zero() && !stop() {
        std::thread::sleep(left.min(step));
        left = left.saturating_sub(step);
    }
}
