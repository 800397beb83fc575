//! **Purpose**: what a measured process reports: one JSON line, the last of its output.
//!
//! **Invariants**: a rate is units per second; a report without units or time has none.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// CPU time, wall time and work of one measured part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Of all threads of the process.
    pub cpu_ns: u64,
    pub wall_ns: u64,
    /// Labels, hashes, nodes, challenges: what the row counts.
    pub units: u64,
}

impl Spent {
    /// Units per CPU second.
    pub fn rate(&self) -> f64 {
        per_second(self.units, self.cpu_ns)
    }

    /// Units per second of wall time.
    pub fn wall_rate(&self) -> f64 {
        per_second(self.units, self.wall_ns)
    }
}

fn per_second(units: u64, ns: u64) -> f64 {
    if ns == 0 { 0.0 } else { units as f64 * 1e9 / ns as f64 }
}

/// The line that a measured process prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The whole of the measured part.
    #[serde(flatten)]
    pub whole: Spent,
    /// Where a row is about a part of the work only: layers from 2 on, for labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later_layers: Option<Spent>,
    /// The kernel alone, with its inputs in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Spent>,
    /// Peak resident memory of the process at the end of the measured part.
    #[serde(default)]
    pub max_rss_bytes: u64,
    /// Which CPU path ran.
    #[serde(default)]
    pub backend: String,
    /// Clock of the core at the end of the measured part, by dependent multiplications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_hz: Option<f64>,
    /// BLAKE3 of what was made, where both sides make the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whatever else is worth a look.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

impl Outcome {
    /// The last line of `out` that is a JSON object.
    ///
    /// # Errors
    /// When there is none, it is broken, or it reports no work or no time.
    pub fn parse(out: &str) -> Result<Outcome> {
        let line = out
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| line.starts_with('{'))
            .context("the measured process printed no JSON")?;
        let outcome: Outcome = serde_json::from_str(line)
            .with_context(|| format!("the measured process printed a broken line: {line}"))?;
        let counted = outcome.counted();
        ensure!(
            counted.cpu_ns > 0 && counted.wall_ns > 0 && counted.units > 0,
            "the measured process reports no time or no work: {line}"
        );
        Ok(outcome)
    }

    /// What the row is about.
    pub fn counted(&self) -> Spent {
        self.later_layers.unwrap_or(self.whole)
    }

    pub fn rss_mib(&self) -> Option<f64> {
        (self.max_rss_bytes > 0).then(|| self.max_rss_bytes as f64 / f64::from(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_json_counts() {
        let out = "{\"cpu_ns\":1,\"wall_ns\":1,\"units\":1}\nnews\n\
                   {\"cpu_ns\":2000000000,\"wall_ns\":1000000000,\"units\":10,\"rounds\":3}\nbye\n";
        let outcome = Outcome::parse(out).expect("outcome");
        assert_eq!((outcome.whole.rate(), outcome.whole.wall_rate()), (5.0, 10.0));
        assert_eq!(outcome.other["rounds"], 3);
        assert_eq!(outcome.rss_mib(), None);
    }

    #[test]
    fn later_layers_are_what_counts_where_they_are_given() {
        let out = "{\"cpu_ns\":9,\"wall_ns\":9,\"units\":9,\
                   \"later_layers\":{\"cpu_ns\":1000000000,\"wall_ns\":1,\"units\":4}}";
        assert_eq!(Outcome::parse(out).expect("outcome").counted().rate(), 4.0);
    }

    #[test]
    fn a_report_without_work_is_refused() {
        for out in [
            "",
            "nothing",
            "{\"cpu_ns\":1}",
            "{\"cpu_ns\":0,\"wall_ns\":1,\"units\":1}",
            "{\"cpu_ns\":1,\"wall_ns\":1,\"units\":0}",
        ] {
            assert!(Outcome::parse(out).is_err(), "{out}");
        }
    }

    #[test]
    fn what_is_printed_is_what_is_read() {
        let outcome = Outcome {
            whole: Spent { cpu_ns: 5, wall_ns: 6, units: 7 },
            kernel: Some(Spent { cpu_ns: 1, wall_ns: 2, units: 3 }),
            max_rss_bytes: 3 << 20,
            backend: "avx512".to_owned(),
            clock_hz: Some(4.0e9),
            digest: Some("ab".to_owned()),
            ..Outcome::default()
        };
        let line = serde_json::to_string(&outcome).expect("line");
        assert_eq!(Outcome::parse(&line).expect("outcome"), outcome);
        assert_eq!(outcome.rss_mib(), Some(3.0));
    }
}
