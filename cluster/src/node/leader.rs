//! **Purpose**: what only the established leader does: plan, order executors about, and notice those
//! that fell silent.
//!
//! **Invariants**
//! - Orders are made from applied state, under the lock of the executor's stream, so that an order
//!   can never follow the acknowledgement of its own result.
//! - When leadership ends, every stream is closed and all proposals of this term fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hesper_consensus::{LeadershipToken, Published};
use hesper_protos::executor::{Collect, StartBatch, node_message::Message};
use hesper_scheduler as scheduler;
use hesper_scheduler::{Event, ExecutorDisconnected, ExecutorId, LeaseId, PlanBudget, UnixMillis};
use tokio::sync::broadcast::error::RecvError;

use super::convert;
use super::machine::Events;
use super::{Node, Shared};
use crate::shutdown::{self, Shutdown};

/// Leases of one message: an order holds at most 512 KiB, a stream takes 16 MiB.
const LEASES_OF_MESSAGE: usize = 16;
/// How often silence is looked for.
const SILENCE_CHECK: Duration = Duration::from_millis(500);

/// Leads whenever this node is the established leader, until shutdown.
pub async fn run(node: Shared, mut stop: Shutdown) {
    let mut leadership = node.consensus.leadership();
    loop {
        let established = leadership.borrow_and_update().established;
        match established {
            Some(token) => {
                tracing::info!(node_id = node.settings.node_id, "leading");
                tokio::select! {
                    biased;
                    () = shutdown::requested(&mut stop) => return,
                    () = lead(Arc::clone(&node), token) => {}
                }
                node.sessions.close_all();
                tracing::info!(node_id = node.settings.node_id, "no longer leading");
            }
            None => {
                tokio::select! {
                    biased;
                    () = shutdown::requested(&mut stop) => return,
                    changed = leadership.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}

/// One term: ends when the leadership of `token` does.
async fn lead(node: Shared, token: LeadershipToken) {
    let mut leadership = node.consensus.leadership();
    let ended = async {
        while leadership.borrow_and_update().established == Some(token) {
            if leadership.changed().await.is_err() {
                return;
            }
        }
    };
    configure(&node, token).await;
    node.planner.notify_one();
    tokio::select! {
        biased;
        () = ended => {}
        () = deliver(&node) => {}
        () = plan(&node, token) => {}
        () = watch_silence(&node, token) => {}
    }
}

/// Makes this leader's configuration the cluster's.
async fn configure(node: &Node, token: LeadershipToken) {
    let change = scheduler::Command::Configure(node.settings.configuration.clone());
    if let Err(error) = node.propose_as_leader(token, change).await {
        tracing::warn!(%error, "the configuration was not taken");
    }
}

/// Turns applied events into messages on the executors' streams.
async fn deliver(node: &Node) {
    let mut published = node.consensus.subscribe();
    // Streams that were opened before the subscription are told everything once.
    retell_all(node);
    loop {
        match published.recv().await {
            Ok(published) if published.reloaded => {
                retell_all(node);
                node.planner.notify_one();
            }
            Ok(published) => deliver_events(node, &published),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(
                    missed,
                    "event feed fell behind, telling executors everything again"
                );
                retell_all(node);
                node.planner.notify_one();
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn deliver_events(node: &Node, published: &Published) {
    let mut granted: BTreeMap<ExecutorId, Vec<LeaseId>> = BTreeMap::new();
    let mut is_work_ready = false;
    let events = published.events.iter().filter_map(|event| event.downcast_ref::<Events>());
    for event in events.flatten() {
        match event {
            Event::LeaseGranted { lease, executors } => {
                for executor in executors {
                    granted.entry(*executor).or_default().push(*lease);
                }
            }
            Event::CancelAttempt { executor, token, cause } => {
                node.sessions.send_cancel(executor.0, token.0, cause.message());
            }
            Event::Collect { executor, tokens } => {
                let tokens = tokens.iter().map(|token| token.0).collect();
                node.sessions.send(executor.0, Message::Collect(Collect { tokens }));
            }
            Event::ReadyWork => is_work_ready = true,
            Event::JobChanged { .. } | Event::ExecutorChanged { .. } => {}
        }
    }
    for (executor, leases) in granted {
        for part in leases.chunks(LEASES_OF_MESSAGE) {
            send_leases(node, executor, part);
        }
    }
    if is_work_ready {
        node.planner.notify_one();
    }
}

fn send_leases(node: &Node, executor: ExecutorId, leases: &[LeaseId]) {
    node.sessions.send_from(executor.0, || {
        let leases: Vec<_> = node.read(|machine| {
            leases
                .iter()
                .filter_map(|lease| machine.scheduler.lease_order(*lease))
                .filter(|order| order.executor == executor && !order.attempts.is_empty())
                .map(|order| convert::lease(&machine.scheduler, order))
                .collect()
        });
        (!leases.is_empty()).then_some(Message::Start(StartBatch { leases }))
    });
}

/// Tells one executor all that the state says about it.
pub fn retell(node: &Node, executor: ExecutorId) {
    let leases = node.read(|machine| machine.scheduler.leases_of(executor));
    // In parts, so that no message grows beyond what a stream takes.
    for part in leases.chunks(LEASES_OF_MESSAGE) {
        send_leases(node, executor, part);
    }
    for order in node.read(|machine| machine.scheduler.cancel_orders(executor)) {
        node.sessions.send_cancel(executor.0, order.token.0, order.cause.message());
    }
}

fn retell_all(node: &Node) {
    for (executor, _) in node.sessions.connected() {
        retell(node, ExecutorId(executor));
    }
}

/// Proposes what the planner finds, one plan in flight at a time.
async fn plan(node: &Node, token: LeadershipToken) {
    let mut again_at: Option<UnixMillis> = None;
    loop {
        match again_at.take() {
            None => node.planner.notified().await,
            Some(at) => {
                // Sectors wait for others to label with them; nothing else may happen until then.
                let wait = Duration::from_millis(at.since(UnixMillis(unix_millis())));
                let _woken_early = tokio::time::timeout(wait, node.planner.notified()).await;
            }
        }
        loop {
            let now = UnixMillis(unix_millis());
            let budget = PlanBudget::default();
            let plan = node.read(|machine| machine.scheduler.plan_with_wake(now, budget));
            again_at = plan.again_at;
            let grants = plan.grants;
            if grants.is_empty() {
                break;
            }
            match node.propose_as_leader(token, scheduler::Command::Grant(grants)).await {
                Ok(scheduler::Reply::Granted { leases, .. }) if !leases.is_empty() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::debug!(%error, "grants were not taken");
                    // The term has probably ended; if not, the next event wakes the planner.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    node.planner.notify_one();
                    break;
                }
            }
        }
    }
}

/// Reports executors that fell silent or whose streams broke.
async fn watch_silence(node: &Node, token: LeadershipToken) {
    let mut every = tokio::time::interval(SILENCE_CHECK);
    let mut alone_since: BTreeMap<(ExecutorId, u64), Instant> = BTreeMap::new();
    loop {
        every.tick().await;
        // Executors that the state holds for connected and that have no stream: it broke where nobody
        // could record that.
        let alone = without_stream(node);
        alone_since.retain(|executor, _| alone.contains(executor));
        for executor in alone {
            let since = *alone_since.entry(executor).or_insert_with(Instant::now);
            if since.elapsed() > node.settings.executor_silence {
                disconnected(node, token, executor.0.0, executor.1).await;
            }
        }
        for (executor, stream, incarnation) in node.sessions.silent(node.settings.executor_silence)
        {
            tracing::warn!(executor_id = executor, "executor fell silent");
            node.sessions.close(executor, stream);
            disconnected(node, token, executor, incarnation).await;
        }
        // A stream that was opened while the end of its predecessor was being recorded: the
        // executor dials in again and is registered anew.
        for (executor, stream) in node.sessions.connected() {
            let is_connected = node.read(|machine| {
                machine.scheduler.executor(ExecutorId(executor)).is_some_and(|row| {
                    matches!(row.liveness, scheduler::Liveness::Connected { awaiting: None })
                })
            });
            if !is_connected {
                node.sessions.close(executor, stream);
            }
        }
    }
}

fn without_stream(node: &Node) -> Vec<(ExecutorId, u64)> {
    // Streams first: whoever holds both locks takes them in this order.
    let streams: BTreeSet<u64> = node.sessions.connected().into_iter().map(|(id, _)| id).collect();
    node.read(|machine| {
        machine
            .scheduler
            .executors()
            .filter(|(id, row)| {
                matches!(row.liveness, scheduler::Liveness::Connected { awaiting: None })
                    && !streams.contains(&id.0)
            })
            .map(|(id, row)| (id, row.incarnation))
            .collect()
    })
}

/// Records that the stream of this incarnation ended.
pub async fn disconnected(node: &Node, token: LeadershipToken, executor: u64, incarnation: u64) {
    let command = scheduler::Command::ExecutorDisconnected(ExecutorDisconnected {
        executor: ExecutorId(executor),
        incarnation,
    });
    if let Err(error) = node.propose_as_leader(token, command).await {
        tracing::debug!(executor_id = executor, %error, "disconnection was not recorded");
    }
}

/// Wall clock; the log makes state time of it.
pub fn unix_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
