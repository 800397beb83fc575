//! **Purpose**: which rows there are and which case measures them.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::case::Case;

mod commits;
mod identity;
mod kernel;
mod kernels;
mod latency;
mod noexec;
mod process;
mod submit;

/// A case measures the rows that share a set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Kernel,
    Commits,
    Submit,
    NoexecOne,
    NoexecThree,
    Process,
    Latency,
    Signatures,
    Tokens,
    Wallet,
    Kernels,
}

pub const KINDS: [Kind; 11] = [
    Kind::Kernel,
    Kind::Commits,
    Kind::Submit,
    Kind::NoexecOne,
    Kind::NoexecThree,
    Kind::Process,
    Kind::Latency,
    Kind::Signatures,
    Kind::Tokens,
    Kind::Wallet,
    Kind::Kernels,
];

/// What one run measures when no row is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// Log, jobs, executors.
    Jobs,
    /// Signatures, tokens, the wallet.
    Identity,
    /// Labels, hashes, trees, proofs' inputs: the own kernels against the proof library.
    Kernels,
}

impl Group {
    /// No new case begins after this long.
    pub fn run_max(self, full: bool) -> Duration {
        match self {
            Group::Jobs | Group::Identity => Duration::from_secs(25 * 60),
            Group::Kernels if full => Duration::MAX,
            Group::Kernels => Duration::from_secs(45 * 60),
        }
    }
}

impl Kind {
    pub fn group(self) -> Group {
        match self {
            Kind::Signatures | Kind::Tokens | Kind::Wallet => Group::Identity,
            Kind::Kernels => Group::Kernels,
            _ => Group::Jobs,
        }
    }

    pub fn rows(self) -> &'static [&'static str] {
        match self {
            Kind::Kernel => &["sdr_library_ns_per_label"],
            Kind::Commits => &["raft_commits_1", "raft_commits_64", "raft_commits_256"],
            Kind::Submit => &["submit_array_10k_ms"],
            Kind::NoexecOne => &["tasks_noexec_1node", "tasks_noexec_after_1m"],
            Kind::NoexecThree => &["tasks_noexec_3node"],
            Kind::Process => &["tasks_process_10k", "tasks_process_10k_3node"],
            Kind::Latency => &[
                "submit_to_start_p50_ms",
                "submit_to_start_p99_ms",
                "submit_to_start_busy_p50_ms",
                "node_rss_mib",
                "executor_rss_mib",
            ],
            Kind::Signatures => &[
                "bls_sign",
                "bls_verify",
                "bls_aggregate_verify_100",
                "bls_verify_batch_100",
                "secp_sign",
            ],
            Kind::Tokens => &["token_verify"],
            Kind::Wallet => &["wallet_sign_e2e_p50_ms", "wallet_sign_e2e_p99_ms"],
            Kind::Kernels => kernels::ROWS,
        }
    }

    /// Whether the case measures the shipped binary.
    pub fn needs_binary(self) -> bool {
        self != Kind::Kernels
    }

    /// After this long a case is given up; all of a group together stay below the limit of a run.
    pub fn limit(self, full: bool) -> Duration {
        if full && self == Kind::Kernels {
            return Duration::from_secs(24 * 3600);
        }
        Duration::from_secs(match self {
            Kind::Kernel | Kind::Tokens => 60,
            Kind::Signatures | Kind::Wallet => 300,
            Kind::Submit => 90,
            Kind::Commits => 330,
            Kind::NoexecThree => 240,
            Kind::NoexecOne | Kind::Latency => 360,
            Kind::Process => 480,
            Kind::Kernels => 45 * 60,
        })
    }

    pub async fn measure(self, case: &mut Case) -> Result<()> {
        let limit = self.limit(case.plan.full);
        tokio::time::timeout(limit, self.run(case))
            .await
            .with_context(|| format!("not done within {limit:?}"))?
    }

    async fn run(self, case: &mut Case) -> Result<()> {
        match self {
            Kind::Kernel => kernel::measure(case).await,
            Kind::Commits => commits::measure(case).await,
            Kind::Submit => submit::measure(case).await,
            Kind::NoexecOne => noexec::one_node(case).await,
            Kind::NoexecThree => noexec::three_nodes(case).await,
            Kind::Process => process::measure(case).await,
            Kind::Latency => latency::measure(case).await,
            Kind::Signatures => tokio::task::block_in_place(|| identity::signatures::measure(case)),
            Kind::Tokens => tokio::task::block_in_place(|| identity::tokens::measure(case)),
            Kind::Wallet => identity::wallet::measure(case).await,
            Kind::Kernels => kernels::measure(case).await,
        }
    }
}

/// A trial of the peers alone, without a cluster of ours: shows that they can be installed and run.
pub async fn try_peers(case: &Case) -> Result<()> {
    commits::try_peer(case).await?;
    process::try_peer(case).await
}

/// Every row in the order in which it is measured.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.rows()).copied()
}

/// Refuses names that no row has.
pub fn check_names(wanted: &[String]) -> Result<()> {
    for name in wanted {
        anyhow::ensure!(
            names().any(|known| known == name),
            "there is no row `{name}`; the rows are: {}",
            names().collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_measured_once_each() {
        let mut all: Vec<&str> = names().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn an_unknown_row_is_refused_with_the_list() {
        let error = check_names(&["raft_commits_2".to_owned()]).expect_err("unknown").to_string();
        assert!(error.contains("raft_commits_256"));
        assert!(check_names(&["raft_commits_1".to_owned()]).is_ok());
    }
}
