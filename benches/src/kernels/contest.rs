//! **Purpose**: ours against the best variant of the peer, in turn, with the samples spread over the
//! whole run.
//!
//! **Invariants**
//! - One process at a time.
//! - A round passes once over all contests; a row gets at most one sample in a round. So the samples
//!   of a row lie as far apart as the run allows.
//! - A digest that both sides report has to be the same, else the row fails.
//! - No sample begins that, by the last one's length, would not end in time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::outcome::Outcome;
use super::side::Invocation;
use crate::machine::Setting;
use crate::row::{Extra, Peer, Row};
use crate::stats::{self, Better};

/// One row: what of ours runs, and how often.
pub struct Entry {
    pub row: String,
    pub ours: Invocation,
    pub samples: usize,
    /// Cycles of one core for one unit that the row cannot go below.
    pub bound_cycles: Option<f64>,
    /// Whether the row carries the peak memory.
    pub with_memory: bool,
    pub outcomes: Vec<Outcome>,
    failure: Option<anyhow::Error>,
}

impl Entry {
    pub fn new(row: &str, ours: Invocation, samples: usize, bound_cycles: Option<f64>) -> Entry {
        Entry {
            row: row.to_owned(),
            ours,
            samples,
            bound_cycles,
            with_memory: false,
            outcomes: Vec::new(),
            failure: None,
        }
    }

    pub fn with_memory(mut self) -> Entry {
        self.with_memory = true;
        self
    }
}

/// The peer's side, shared by all rows that it is compared with.
pub struct Rival {
    pub name: String,
    pub version: String,
    /// Tried once each; the best one is sampled.
    pub variants: Vec<Invocation>,
    /// Its default build, measured once; it never carries a ratio.
    pub default_build: Option<Invocation>,
    pub samples: usize,
}

/// Rows with the same peer and unit.
pub struct Contest {
    pub unit: &'static str,
    pub rival: Option<Rival>,
    pub entries: Vec<Entry>,
    pub limit: Duration,
    best: Option<Invocation>,
    theirs: Vec<Outcome>,
    default_build: Option<Outcome>,
    failure: Option<anyhow::Error>,
}

impl Contest {
    pub fn new(unit: &'static str, rival: Option<Rival>, entries: Vec<Entry>) -> Contest {
        Contest {
            unit,
            rival,
            entries,
            limit: Duration::from_secs(30 * 60),
            best: None,
            theirs: Vec::new(),
            default_build: None,
            failure: None,
        }
    }

    fn rounds(&self) -> usize {
        let ours = self.entries.iter().map(|entry| entry.samples);
        let theirs = self.rival.iter().map(|rival| rival.samples);
        ours.chain(theirs).max().unwrap_or(0)
    }
}

/// Where and how long.
pub struct Course<'a> {
    pub logs: &'a Path,
    pub end: Instant,
    /// Set: nothing more begins.
    pub stop: &'a AtomicBool,
    pub note: &'a dyn Fn(&str),
}

impl Course<'_> {
    fn has_time_for(&self, last: Duration) -> bool {
        Instant::now() + last < self.end
    }

    /// Runs what makes inputs.
    ///
    /// # Errors
    /// As `Invocation::run`.
    pub fn prepare(&self, what: &Invocation) -> Result<()> {
        self.run(what, Duration::from_secs(30 * 60), "units/cpu-s").map(drop)
    }

    fn run(&self, what: &Invocation, limit: Duration, unit: &str) -> Result<Outcome> {
        ensure!(!self.stop.load(Ordering::Relaxed), "the run was stopped");
        let begun = Instant::now();
        let left = self.end.saturating_duration_since(begun);
        let outcome = what.run(self.logs, limit.min(left + Duration::from_secs(60)))?;
        let spent = outcome.counted();
        let mut text = format!(
            "{}: {} {unit}, {} by wall time",
            what.label,
            short(spent.rate()),
            short(spent.wall_rate())
        );
        if let Some(kernel) = outcome.kernel {
            text.push_str(&format!(", kernel {}", short(kernel.rate())));
        }
        if let Some(mib) = outcome.rss_mib() {
            text.push_str(&format!(", {mib:.0} MiB"));
        }
        if !outcome.backend.is_empty() {
            text.push_str(&format!(", {}", outcome.backend));
        }
        (self.note)(&format!("{text} ({:.0?})", begun.elapsed()));
        Ok(outcome)
    }
}

fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.3} M", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.2} k", rate / 1e3),
        rate => format!("{rate:.1}"),
    }
}

/// Runs all rounds of all contests.
pub fn run(contests: &mut [Contest], course: &Course<'_>) {
    let rounds = contests.iter().map(Contest::rounds).max().unwrap_or(0);
    for round in 0..rounds {
        if rounds > 1 {
            (course.note)(&format!("round {} of {rounds}", round + 1));
        }
        for contest in contests.iter_mut() {
            run_round(contest, round, course);
        }
    }
}

fn run_round(contest: &mut Contest, round: usize, course: &Course<'_>) {
    if round == 0
        && let Err(error) = choose(contest, course)
    {
        contest.failure = Some(error);
    }
    if let (Some(rival), Some(best)) = (&contest.rival, &contest.best)
        && contest.theirs.len() < rival.samples.min(round + 1)
        && contest.failure.is_none()
        && (round == 0 || course.has_time_for(last_wall(&contest.theirs)))
    {
        match course.run(best, contest.limit, contest.unit) {
            Ok(outcome) => contest.theirs.push(outcome),
            Err(error) => contest.failure = Some(error),
        }
    }
    for entry in &mut contest.entries {
        let wanted = entry.samples.min(round + 1);
        if entry.outcomes.len() >= wanted
            || entry.failure.is_some()
            || !course.has_time_for(last_wall(&entry.outcomes))
        {
            continue;
        }
        let outcome = course.run(&entry.ours, contest.limit, contest.unit).and_then(|outcome| {
            same_digest(&outcome, contest.theirs.last())?;
            Ok(outcome)
        });
        match outcome {
            Ok(outcome) => entry.outcomes.push(outcome),
            Err(error) => entry.failure = Some(error),
        }
    }
}

fn last_wall(outcomes: &[Outcome]) -> Duration {
    Duration::from_nanos(outcomes.last().map_or(0, |outcome| outcome.whole.wall_ns))
}

/// Tries every variant of the peer once and remembers the best. A single variant needs no trial.
fn choose(contest: &mut Contest, course: &Course<'_>) -> Result<()> {
    let Some(rival) = &contest.rival else {
        return Ok(());
    };
    if let Some(default_build) = &rival.default_build {
        contest.default_build = Some(course.run(default_build, contest.limit, contest.unit)?);
    }
    if let [only] = rival.variants.as_slice() {
        contest.best = Some(only.clone());
        return Ok(());
    }
    let mut tried = Vec::new();
    for variant in &rival.variants {
        let outcome = course.run(variant, contest.limit, contest.unit)?;
        tried.push((outcome.counted().rate(), variant));
    }
    let best = tried.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, best)) = best {
        (course.note)(&format!("the peer's best: {}", best.label));
        contest.best = Some(best.clone());
    }
    Ok(())
}

fn same_digest(ours: &Outcome, theirs: Option<&Outcome>) -> Result<()> {
    if let (Some(ours), Some(theirs)) =
        (&ours.digest, theirs.and_then(|theirs| theirs.digest.as_ref()))
    {
        ensure!(ours == theirs, "ours made {ours}, the peer {theirs}, from the same inputs");
    }
    Ok(())
}

/// The rows of all contests that have samples, and what failed with its name.
pub struct Verdict {
    pub rows: Vec<Row>,
    pub failed: Vec<(String, anyhow::Error)>,
}

/// What the contests have come to.
///
/// # Errors
/// When a row cannot be made of its samples.
pub fn rows(contests: Vec<Contest>, setting: &Setting) -> Result<Verdict> {
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for contest in contests {
        let peer = contest.rival.as_ref().zip(contest.best.as_ref()).and_then(|(rival, best)| {
            (!contest.theirs.is_empty()).then(|| Peer {
                name: rival.name.clone(),
                version: format!("{} ({})", rival.version, variant(&best.label)),
                samples: rates(&contest.theirs),
            })
        });
        let names: Vec<&str> = contest.entries.iter().map(|entry| entry.row.as_str()).collect();
        let names = names.join(", ");
        for entry in &contest.entries {
            if entry.outcomes.is_empty() {
                continue;
            }
            let ours = rates(&entry.outcomes);
            let row = Row::median(
                &entry.row,
                contest.unit,
                Better::Higher,
                &ours,
                peer.as_ref(),
                setting,
            )?;
            let extra = extra(entry, &contest.theirs, contest.default_build.as_ref());
            rows.push(Row { extra: extra.rounded(), ..row });
        }
        failed.extend(contest.failure.map(|error| (format!("the peer of {names}"), error)));
        for entry in contest.entries {
            let failure = entry.failure.or_else(|| {
                entry.outcomes.is_empty().then(|| anyhow::anyhow!("the run has no time left"))
            });
            failed.extend(failure.map(|error| (entry.row, error)));
        }
    }
    Ok(Verdict { rows, failed })
}

/// What follows the name and the command in the label of a peer's call.
fn variant(label: &str) -> &str {
    label.split_once(", ").map_or(label, |(_, variant)| variant)
}

fn rates(outcomes: &[Outcome]) -> Vec<f64> {
    outcomes.iter().map(|outcome| outcome.counted().rate()).collect()
}

fn median_of(outcomes: &[Outcome], of: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
    stats::median(&outcomes.iter().filter_map(of).collect::<Vec<f64>>())
}

fn extra(entry: &Entry, theirs: &[Outcome], default_build: Option<&Outcome>) -> Extra {
    let wall = |outcome: &Outcome| Some(outcome.counted().wall_rate());
    let largest = |outcomes: &[Outcome]| {
        let all: Vec<f64> = outcomes.iter().filter_map(Outcome::rss_mib).collect();
        stats::max(&all).filter(|_| entry.with_memory)
    };
    Extra {
        bound_share: entry.bound_cycles.and_then(|cycles| {
            median_of(&entry.outcomes, |outcome| {
                Some(outcome.counted().rate() * cycles / outcome.clock_hz?)
            })
        }),
        kernel_only: median_of(&entry.outcomes, |outcome| Some(outcome.kernel?.rate())),
        peer_default: default_build.map(|outcome| outcome.counted().rate()),
        wall: median_of(&entry.outcomes, wall),
        peer_wall: median_of(theirs, wall),
        rss_mib: largest(&entry.outcomes),
        peer_rss_mib: largest(theirs),
    }
}

#[cfg(test)]
mod tests;
