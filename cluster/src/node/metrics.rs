//! **Purpose**: what `/metrics` and `/healthz` of a node say.

use super::Node;
use crate::http::{Health, MetricsText};

/// Prometheus text.
pub fn text(node: &Node) -> String {
    let status = node.consensus.status();
    let counters = node.read(|machine| machine.scheduler.counters());
    let is_leader = u64::from(node.leading().is_some());
    let mut text = MetricsText::new();
    text.gauge("raft_leader", "1 while this node is the established leader", is_leader);
    text.gauge("raft_term", "current term", status.leadership.term);
    text.gauge("raft_last_log_index", "index of the last log entry", status.last_log.unwrap_or(0));
    text.gauge(
        "raft_applied_index",
        "index of the last applied entry",
        status.applied.unwrap_or(0),
    );
    text.gauge(
        "raft_flushed_index",
        "entries up to here are in the state store on disc",
        status.flushed.unwrap_or(0),
    );
    text.gauge(
        "raft_snapshot_index",
        "last entry of the newest snapshot",
        status.snapshot.unwrap_or(0),
    );
    text.counter("log_fsyncs_total", "fdatasync calls on the log", status.fsyncs);
    text.counter("log_bytes_total", "bytes written to the log", status.log_bytes);
    text.counter("log_entries_total", "entries applied", status.log_entries);
    text.counter("log_commands_total", "commands applied", status.commands);
    text.gauge("scheduler_jobs_pending", "jobs that wait", counters.jobs_pending);
    text.gauge("scheduler_jobs_running", "jobs with running tasks", counters.jobs_running);
    text.gauge("scheduler_tasks_pending", "tasks that wait", counters.tasks_pending);
    text.gauge("scheduler_tasks_running", "attempts that run", counters.tasks_running);
    text.counter(
        "scheduler_tasks_succeeded_total",
        "tasks that succeeded",
        counters.tasks_succeeded,
    );
    text.counter("scheduler_tasks_failed_total", "tasks that failed", counters.tasks_failed);
    text.counter(
        "scheduler_tasks_cancelled_total",
        "tasks that were cancelled",
        counters.tasks_cancelled,
    );
    text.gauge("scheduler_executors", "known executors", counters.executors);
    text.append(&node.wallets.render());
    text.finish()
}

/// Ready: a leader is known and the core runs.
pub fn health(node: &Node) -> Health {
    let mut problems = Vec::new();
    if let Some(reason) = node.consensus.stopped().borrow().clone() {
        problems.push(format!("stopped: {reason}"));
    }
    if node.consensus.leadership().borrow().leader.is_none() {
        problems.push("no leader is known".to_owned());
    }
    Health { problems }
}
