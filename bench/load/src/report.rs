//! Latencies, errors and CPU time of one run, as JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

/// Linux counts a process's CPU time in hundredths of a second, whatever the kernel's own tick.
const MICROSECONDS_PER_TICK: u64 = 10_000;

/// The CPU time that a process has used so far, its own and the kernel's on its behalf, in microseconds.
pub fn cpu_microseconds(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The second field is the program's name in parentheses, and may itself hold blanks and parentheses.
    let (_, after_name) = text.rsplit_once(')').context("a stat line without a name")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("a short stat line")?.parse()?) };
    Ok((ticks()? + ticks()?) * MICROSECONDS_PER_TICK)
}

/// The CPU time that the whole machine has used so far, whoever used it, in microseconds; time stolen from a virtual
/// machine counts as used.
fn machine_microseconds() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let line = text.lines().next().context("an empty /proc/stat")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user already.
    let busy = ticks.iter().enumerate().take(8).filter(|(index, _)| !matches!(index, 3 | 4));
    Ok(busy.map(|(_, count)| count).sum::<u64>() * MICROSECONDS_PER_TICK)
}

/// Collects what happens while the clock runs.
#[derive(Debug)]
pub struct Recorder {
    latencies: Histogram<u64>,
    counted: u64,
    errors: BTreeMap<String, u64>,
    began: Instant,
    servers: Vec<u32>,
    servers_before: u64,
    generator_before: u64,
    machine_before: u64,
}

impl Recorder {
    /// Starts the clock; `servers` are the processes whose CPU time is the target's.
    pub fn start(servers: &[u32]) -> Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, 60_000_000, 3)?,
            counted: 0,
            errors: BTreeMap::new(),
            servers: servers.to_vec(),
            servers_before: total_cpu(servers)?,
            generator_before: cpu_microseconds(std::process::id())?,
            machine_before: machine_microseconds()?,
            began: Instant::now(),
        })
    }

    /// Notes how long an answer took, whatever it said.
    pub fn answered(&mut self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(microseconds.max(1));
    }

    /// Notes one completed piece of work.
    pub fn counted(&mut self) {
        self.counted += 1;
    }

    /// Notes one answer, or missing answer, that was not the expected one.
    pub fn failed(&mut self, kind: impl Into<String>) {
        *self.errors.entry(kind.into()).or_default() += 1;
    }

    /// Stops the clock.
    pub fn finish(self, exhausted: bool, preparation: Preparation) -> Result<Report> {
        let elapsed = self.began.elapsed();
        let servers = total_cpu(&self.servers)? - self.servers_before;
        let generator = cpu_microseconds(std::process::id())? - self.generator_before;
        let others = (machine_microseconds()? - self.machine_before).saturating_sub(servers + generator);
        let seconds = elapsed.as_secs_f64();
        let milliseconds = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Ok(Report {
            requests: self.counted,
            answers: self.latencies.len(),
            errors: self.errors.values().sum(),
            errors_by_kind: self.errors,
            seconds,
            rps: self.counted as f64 / seconds,
            p50_ms: milliseconds(0.5),
            p99_ms: milliseconds(0.99),
            p999_ms: milliseconds(0.999),
            max_ms: self.latencies.max() as f64 / 1000.0,
            server_cpu_us: (!self.servers.is_empty() && self.counted > 0).then(|| servers as f64 / self.counted as f64),
            generator_busy: generator as f64 / 1_000_000.0 / seconds,
            others_busy: others as f64 / 1_000_000.0 / seconds,
            exhausted,
            preparation,
        })
    }
}

fn total_cpu(processes: &[u32]) -> Result<u64> {
    processes.iter().map(|process| cpu_microseconds(*process)).sum()
}

/// What came before the clock.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Preparation {
    /// Verifications started.
    pub started: usize,
    /// Starts that were not answered as expected.
    pub errors: u64,
}

/// One run's figures.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Completed pieces of work: starts, checks or pairs.
    pub requests: u64,
    /// HTTP answers timed; two for a pair.
    pub answers: u64,
    /// Answers that were not the expected one, and connections that broke.
    pub errors: u64,
    /// The same by status, `body` (right status, wrong words) and `disconnect`.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// How long the clock ran.
    pub seconds: f64,
    /// Completed pieces of work a second.
    pub rps: f64,
    /// Median time to an answer.
    pub p50_ms: f64,
    /// 99 of 100 answers came sooner.
    pub p99_ms: f64,
    /// 999 of 1000 answers came sooner.
    pub p999_ms: f64,
    /// The slowest answer.
    pub max_ms: f64,
    /// CPU time of the target's processes per completed piece of work.
    pub server_cpu_us: Option<f64>,
    /// Share of one core that the generator used: near 1, it is itself the bottleneck.
    pub generator_busy: f64,
    /// Cores that neither the target nor the generator used, but somebody else on this machine.
    pub others_busy: f64,
    /// The prepared verifications ran out before the time did.
    pub exhausted: bool,
    /// What came before the clock.
    pub preparation: Preparation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_servers_reports_latency_and_errors() {
        let mut recorder = Recorder::start(&[]).unwrap();
        recorder.answered(Duration::from_millis(5));
        recorder.counted();
        recorder.failed("429");
        let report = recorder.finish(false, Preparation::default()).unwrap();
        assert_eq!((report.requests, report.errors), (1, 1));
        assert!((report.p50_ms - 5.0).abs() < 0.1);
        assert!(report.server_cpu_us.is_none());
    }
}
