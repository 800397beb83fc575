//! **Purpose**: replicated commits per second against etcd, one command per acknowledgement.
//!
//! A command is a submitted job of 256 encoded bytes that stays pending, because nobody has what it
//! asks for. The clients of both sides are connected to the leader and share as many connections.
//! Both sides speak mutual TLS between members and towards clients, with the same certificates: ours
//! cannot do without, and transport is not what the rows compare. One run of etcd in plain text is
//! printed beside each row.
//!
//! **Invariants**: after each run every acknowledged job is looked up by its id, and etcd's keys are
//! counted.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::case::Case;
use crate::etcd::{Etcd, Guard};
use crate::jobs::Jobs;
use crate::load::{self, Commit, Run};
use crate::pool::Pool;
use crate::row::Peer;
use crate::stats::Better;

const COMMAND_BYTES: usize = 256;
const ROWS: [(&str, usize); 3] =
    [("raft_commits_1", 1), ("raft_commits_64", 64), ("raft_commits_256", 256)];

struct Submitter(Jobs);

impl Commit for Submitter {
    async fn commit(&mut self) -> Result<u64> {
        self.0.submit_padded(COMMAND_BYTES).await
    }
}

#[derive(Default)]
struct Counters {
    fsyncs: u64,
    entries: u64,
    commands: u64,
}

pub async fn measure(case: &mut Case) -> Result<()> {
    for (row, clients) in ROWS.into_iter().filter(|(row, _)| case.wants(row)).collect::<Vec<_>>() {
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        let mut version = String::new();
        // Both sides start anew each time, so that neither carries what it stored before, and only
        // the one that is measured runs.
        for sample in 0..case.plan.samples {
            let pool =
                Pool::start(&case.hesper, &case.new_dir(&format!("{row}.{sample}"))?, 3).await?;
            ours.push(our_run(case, &pool, clients).await?.per_second);
            let (member, client) = (pool.node_identity()?, pool.client_identity()?);
            drop(pool);
            let guard = Guard { member: &member, client: &client };
            let dir = case.new_dir(&format!("etcd.{row}.{sample}"))?;
            let mut etcd = Etcd::start(&dir, Some(&guard)).await?;
            theirs.push(their_run(case, &mut etcd, clients, "mutual TLS").await?.per_second);
            version = format!("{} (mutual TLS)", etcd.version);
        }
        plain_run(case, row, clients).await?;
        let peer = Peer { name: "etcd".to_owned(), version, samples: theirs };
        case.median(row, "commits/s", Better::Higher, &ours, Some(&peer))?;
    }
    Ok(())
}

async fn our_run(case: &Case, pool: &Pool, clients: usize) -> Result<Run> {
    let leader = pool.leader().await?;
    let mut submitters = Vec::new();
    for channel in pool.channels(leader, clients)? {
        submitters.push(Submitter(Jobs::open(channel).await?));
    }
    let counted = counters(pool).await?;
    let run = load::closed_loop(submitters, case.plan.window()).await?;
    let now = counters(pool).await?;
    let seconds = (case.plan.window().measured + case.plan.window().warm_up).as_secs_f64();
    let fsyncs = now.fsyncs.saturating_sub(counted.fsyncs);
    let entries = now.entries.saturating_sub(counted.entries).max(1);
    let commands = now.commands.saturating_sub(counted.commands);

    // An id that was given twice, or that is not there, is an acknowledged command lost.
    let acknowledged: BTreeSet<u64> = run.acknowledged.iter().copied().collect();
    ensure!(acknowledged.len() == run.acknowledged.len(), "some job was acknowledged twice");
    pool.settle().await?;
    for at in 0..pool.size() {
        let mut reader = Jobs::open(pool.channel(at)?).await?;
        let found: BTreeSet<u64> = reader.active().await?.into_iter().collect();
        let missing = acknowledged.difference(&found).count();
        ensure!(
            missing == 0,
            "{missing} of {} acknowledged jobs are not found at node {at}",
            acknowledged.len()
        );
    }
    case.note(&format!(
        "hesper, {clients} clients at the leader, mutual TLS: {:.0}/s, p50 {:.2} ms, p99 {:.1} ms, \
         {:.0} fsyncs/s on the leader, {:.2} commands per entry, all {} acknowledged jobs read back from {} nodes",
        run.per_second,
        run.p50_ms,
        run.p99_ms,
        fsyncs as f64 / seconds,
        commands as f64 / entries as f64,
        acknowledged.len(),
        pool.size(),
    ));
    Ok(run)
}

async fn counters(pool: &Pool) -> Result<Counters> {
    let status = pool.status(pool.leader().await?).await?;
    Ok(Counters { fsyncs: status.fsyncs, entries: status.entries, commands: status.commands })
}

async fn their_run(case: &Case, etcd: &mut Etcd, clients: usize, transport: &str) -> Result<Run> {
    let run_name = "bench";
    let putters = etcd.clients(clients, run_name).await?;
    let before = etcd.fsyncs().await?;
    let run = load::closed_loop(putters, case.plan.window()).await?;
    let fsyncs = etcd.fsyncs().await? - before;
    let stored = etcd.count(run_name).await?;
    let acknowledged = run.acknowledged.len() as u64;
    ensure!(stored == acknowledged, "etcd acknowledged {acknowledged} keys and has {stored}");
    let seconds = (case.plan.window().measured + case.plan.window().warm_up).as_secs_f64();
    case.note(&format!(
        "etcd {}, {clients} clients at the leader, {transport}: {:.0}/s, p50 {:.2} ms, p99 {:.1} ms, \
         {:.0} fsyncs/s over three members, one command per entry, all {stored} keys counted",
        etcd.version,
        run.per_second,
        run.p50_ms,
        run.p99_ms,
        fsyncs as f64 / seconds,
    ));
    Ok(run)
}

/// One run of etcd as it ships, without encryption; printed beside the row, not part of it.
async fn plain_run(case: &Case, row: &str, clients: usize) -> Result<()> {
    let mut etcd = Etcd::start(&case.new_dir(&format!("etcd.{row}.plain"))?, None).await?;
    their_run(case, &mut etcd, clients, "plain text").await.map(|_| ())
}

/// etcd alone, with every number of clients.
pub async fn try_peer(case: &Case) -> Result<()> {
    for (row, clients) in ROWS {
        plain_run(case, row, clients).await?;
    }
    Ok(())
}
