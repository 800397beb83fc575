//! **Purpose**: counts wallets, signatures and refusals for `/metrics`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hesper_protos::wallet::{RefusalKind, WalletSession};
use tonic::Status;

use crate::http::{MetricKind, MetricsText};

/// Upper bounds of the histogram, in milliseconds.
const BOUNDS_MS: [u64; 11] = [2, 5, 10, 15, 25, 60, 100, 250, 700, 2_500, 10_000];
/// Every kind, in the order of its number on the wire.
const KINDS: [RefusalKind; 11] = [
    RefusalKind::Unspecified,
    RefusalKind::Policy,
    RefusalKind::Mismatch,
    RefusalKind::Locked,
    RefusalKind::NoKey,
    RefusalKind::Stale,
    RefusalKind::Expired,
    RefusalKind::Slash,
    RefusalKind::Log,
    RefusalKind::Unsupported,
    RefusalKind::BadObject,
];

/// A word for machines, kept over versions.
pub fn word(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Unspecified => "unspecified",
        RefusalKind::Policy => "policy",
        RefusalKind::Mismatch => "mismatch",
        RefusalKind::Locked => "locked",
        RefusalKind::NoKey => "no_key",
        RefusalKind::Stale => "stale",
        RefusalKind::Expired => "expired",
        RefusalKind::Slash => "slash",
        RefusalKind::Log => "log",
        RefusalKind::Unsupported => "unsupported",
        RefusalKind::BadObject => "bad_object",
    }
}

/// Counters since the node started.
#[derive(Debug, Default)]
pub struct Metrics {
    buckets: [AtomicU64; BOUNDS_MS.len()],
    signed: AtomicU64,
    microseconds: AtomicU64,
    failed: AtomicU64,
    refused: [AtomicU64; KINDS.len()],
}

impl Metrics {
    /// A request that ended: signed when there is no error.
    pub fn observe(&self, took: Duration, error: Option<&Status>) {
        if error.is_some() {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.signed.fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
        for (bound, bucket) in BOUNDS_MS.iter().zip(&self.buckets) {
            if microseconds <= bound * 1_000 {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A wallet said no, for good.
    pub fn count_refused(&self, kind: RefusalKind) {
        let at = KINDS.iter().position(|known| *known == kind).unwrap_or(0);
        self.refused[at].fetch_add(1, Ordering::Relaxed);
    }

    /// A request was overtaken and began anew.
    pub fn count_stale(&self) {
        self.count_refused(RefusalKind::Stale);
    }

    /// Prometheus text; `local` are the streams of this node.
    pub fn render(&self, local: &[WalletSession]) -> String {
        let keys: usize = local.iter().map(|session| session.addresses.len()).sum();
        let mut text = MetricsText::new();
        text.gauge("wallet_sessions", "wallet streams that end on this node", local.len() as u64);
        text.gauge("wallet_keys", "keys that those streams have proven", keys as u64);
        text.counter(
            "wallet_sign_failed_total",
            "requests to sign that ended without a signature",
            self.failed.load(Ordering::Relaxed),
        );
        let words: Vec<([(&str, &str); 1], u64)> = KINDS
            .iter()
            .zip(&self.refused)
            .map(|(kind, count)| ([("kind", word(*kind))], count.load(Ordering::Relaxed)))
            .collect();
        let rows: Vec<(&[(&str, &str)], u64)> =
            words.iter().map(|(labels, count)| (&labels[..], *count)).collect();
        text.labelled(
            "wallet_refused_total",
            "refusals of wallets by kind",
            MetricKind::Counter,
            &rows,
        );
        text.append(&self.histogram());
        text.finish()
    }

    fn histogram(&self) -> String {
        let signed = self.signed.load(Ordering::Relaxed);
        let mut text = String::from(
            "# HELP wallet_sign_seconds from request to signature\n\
             # TYPE wallet_sign_seconds histogram\n",
        );
        // Writing to a string cannot fail.
        for (bound, bucket) in BOUNDS_MS.iter().zip(&self.buckets) {
            let count = bucket.load(Ordering::Relaxed);
            let _infallible = writeln!(
                text,
                "wallet_sign_seconds_bucket{{le=\"{}.{:03}\"}} {count}",
                bound / 1_000,
                bound % 1_000
            );
        }
        let sum = self.microseconds.load(Ordering::Relaxed);
        let _infallible = writeln!(
            text,
            "wallet_sign_seconds_bucket{{le=\"+Inf\"}} {signed}\n\
             wallet_sign_seconds_sum {}.{:06}\n\
             wallet_sign_seconds_count {signed}",
            sum / 1_000_000,
            sum % 1_000_000
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_fall_into_all_buckets_above_their_time() {
        let metrics = Metrics::default();
        metrics.observe(Duration::from_millis(12), None);
        metrics.observe(Duration::from_millis(3_000), None);
        metrics.observe(Duration::from_millis(1), Some(&Status::unavailable("x")));
        metrics.count_refused(RefusalKind::Policy);
        let session =
            WalletSession { addresses: vec!["a".into(), "b".into()], ..WalletSession::default() };
        let text = metrics.render(&[session]);
        for line in [
            "wallet_sessions 1",
            "wallet_keys 2",
            "wallet_sign_failed_total 1",
            "wallet_refused_total{kind=\"policy\"} 1",
            "wallet_refused_total{kind=\"slash\"} 0",
            "wallet_sign_seconds_bucket{le=\"0.010\"} 0",
            "wallet_sign_seconds_bucket{le=\"0.015\"} 1",
            "wallet_sign_seconds_bucket{le=\"10.000\"} 2",
            "wallet_sign_seconds_bucket{le=\"+Inf\"} 2",
            "wallet_sign_seconds_sum 3.012000",
            "wallet_sign_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
