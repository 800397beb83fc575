//! **Purpose**: rate limits at the edge of this node: its share of each, drawn from the cluster and
//! given back, and the batches of last uses.
//!
//! **Invariants**
//! - A change of a limited user is admitted only against a share that the log has granted.
//! - Draws are proposed one at a time per limit; whoever waits for one is woken when it is answered.

use std::time::Duration;

use hesper_auth::{Charge, Class, Command, Ledger, Reply, UseCollector};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::super::machine::{self, Proposer};
use super::super::{Node, Shared};
use super::Caller;
use crate::shutdown::{self, Shutdown};

/// How long a call waits for its share.
const CHARGE_TIMEOUT: Duration = Duration::from_secs(3);
/// A wake-up that was missed is made good after this.
const PENDING_CHECK: Duration = Duration::from_millis(50);
/// How often idle shares are looked for.
const POLL: Duration = Duration::from_millis(100);
/// Metadata with the milliseconds after which a refused call may succeed.
pub const RETRY_AFTER: &str = "retry-after-ms";

/// Shares of limits and uses of tokens on this node.
pub struct Limits {
    ledger: Mutex<Ledger>,
    uses: Mutex<UseCollector>,
    answered: Notify,
}

impl Limits {
    pub fn new(node_id: u64) -> Self {
        Limits {
            ledger: Mutex::new(Ledger::new(node_id)),
            uses: Mutex::new(UseCollector::new(node_id)),
            answered: Notify::new(),
        }
    }

    /// A token was used.
    pub fn used(&self, token: u64, now_ms: u64) {
        self.uses.lock().used(token, now_ms);
    }
}

impl Node {
    /// Counts a call against the limits of its user.
    ///
    /// # Errors
    /// `ResourceExhausted` that says when to retry; `Unavailable` when the cluster grants no share in
    /// time.
    pub(in super::super) async fn charge(
        &self,
        caller: &Caller,
        service: &str,
        method: &str,
        class: Class,
    ) -> Result<(), Status> {
        if caller.user.is_empty() || caller.principal().role == hesper_scheduler::Role::Node {
            return Ok(());
        }
        let limits = &self.auth.limits;
        let waited = tokio::time::Instant::now();
        loop {
            // Before the look, so that an answer in between is not missed.
            let answered = limits.answered.notified();
            let charge = self.read(|machine| {
                let now_ms = self.auth.clock.now_ms(machine.scheduler.now().0);
                let mut ledger = limits.ledger.lock();
                ledger.charge(&machine.auth, &caller.user, service, method, class, now_ms)
            });
            match charge {
                Charge::Admitted => return Ok(()),
                Charge::Exhausted { limit, retry_at_ms } => {
                    return Err(exhausted(caller, limit, self.ms_until(retry_at_ms)));
                }
                Charge::Draw(draw) => self.draw(draw).await,
                Charge::Pending => {
                    let _woken = tokio::time::timeout(PENDING_CHECK, answered).await;
                }
            }
            if waited.elapsed() > CHARGE_TIMEOUT {
                return Err(Status::unavailable(
                    "the cluster did not grant this node a share of the user's limit in time; try again",
                ));
            }
        }
    }

    /// Proposes a draw and tells the ledger its answer. When the call that waits for it goes away,
    /// the ledger is told that the outcome is unknown: it must not wait for an answer.
    async fn draw(&self, draw: hesper_auth::Draw) {
        let mut answer = Answer { node: self, draw, reply: None };
        let proposer = Proposer::node(&self.settings.name);
        let command = machine::Command::Auth(Command::Draw(draw));
        answer.reply = match self.propose_any(&proposer, None, &command).await {
            Ok((_, machine::Reply::Auth(reply))) => Some(reply),
            Ok(_) | Err(_) => None,
        };
    }

    fn ms_until(&self, state_ms: u64) -> u64 {
        state_ms.saturating_sub(self.state_time_ms())
    }
}

/// The outcome of a draw, handed to the ledger when it is dropped.
struct Answer<'a> {
    node: &'a Node,
    draw: hesper_auth::Draw,
    reply: Option<Reply>,
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let now_ms = self.node.state_time_ms();
        let limits = &self.node.auth.limits;
        limits.ledger.lock().answered(now_ms, &self.draw, self.reply.as_ref());
        limits.answered.notify_waiters();
    }
}

fn exhausted(caller: &Caller, limit: u64, retry_ms: u64) -> Status {
    let message = format!(
        "rate limit {limit} of user `{}` is reached; retry in {retry_ms} ms, or let an administrator \
         raise it (`hesper auth limit list --user {}`)",
        caller.user, caller.user
    );
    let mut status = Status::new(Code::ResourceExhausted, message);
    status.metadata_mut().insert(RETRY_AFTER, MetadataValue::from(retry_ms));
    status
}

/// Gives back what is idle and records uses of tokens, until shutdown.
pub async fn run(node: Shared, mut stop: Shutdown) {
    let mut every = tokio::time::interval(POLL);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown::requested(&mut stop) => return,
            _ = every.tick() => {}
        }
        let draws = node.read(|machine| {
            let now_ms = node.auth.clock.now_ms(machine.scheduler.now().0);
            node.auth.limits.ledger.lock().poll(&machine.auth, now_ms)
        });
        for draw in draws {
            node.draw(draw).await;
        }
        let now_ms = node.state_time_ms();
        let uses = node.auth.limits.uses.lock().poll(now_ms);
        if let Some(command) = uses {
            let proposer = Proposer::node(&node.settings.name);
            let proposed = machine::Command::Auth(command.clone());
            match node.propose_any(&proposer, None, &proposed).await {
                Ok((_, machine::Reply::Auth(Reply::Rejected(rejected)))) => {
                    tracing::debug!(%rejected, "uses of tokens wait");
                    node.auth.limits.uses.lock().give_back(&command);
                }
                Ok(_) => {}
                Err(status) => {
                    tracing::debug!(error = status.message(), "uses of tokens wait");
                    node.auth.limits.uses.lock().give_back(&command);
                }
            }
        }
    }
}
