//! **Purpose**: gathers the requests of many clients into few entries.
//!
//! **Invariants**
//! - Idle, it sends at once. It gathers only while an earlier entry is in flight: until that one is
//!   done, for `LINGER`, or to `ENTRY_BYTES_GOOD`, whichever comes first; at most `IN_FLIGHT_MAX` are
//!   in flight.
//! - Each request is answered on its own. Requests wait in a queue of bounded bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hesper_protos::raft as pb;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use pb::item::Kind;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::StateClock;
use crate::state::{ITEMS_MAX, State};
use crate::state_machine::StateMachine;
use crate::types::{CommittedLeaderId, EncodedBatch, ItemOutcome, LogIndex, NodeId, Types};

pub type Raft = openraft::Raft<Types, StateMachine>;

const ENTRY_BYTES_GOOD: usize = 256 << 10;
const LINGER: Duration = Duration::from_millis(2);
const IN_FLIGHT_MAX: usize = 2;
const YIELDS: usize = 2;
const BUSY_RETRY: Duration = Duration::from_millis(50);
const ITEM_OVERHEAD: usize = 32;

/// How a proposed item ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    Item(ItemOutcome),
    /// Surely not appended.
    NotLeader(Option<(NodeId, String)>),
    /// Perhaps appended.
    Unknown(String),
    Busy(Duration),
    TooLarge(usize),
    Stopped(String),
}

/// Where an outcome goes.
pub enum ReplyTo {
    Waiter(oneshot::Sender<Outcome>),
    Stream { id: u64, replies: mpsc::UnboundedSender<(u64, Outcome)> },
    Nobody,
}

impl ReplyTo {
    /// A waiter that has gone needs no answer.
    pub fn send(self, outcome: Outcome) {
        match self {
            ReplyTo::Waiter(waiter) => drop(waiter.send(outcome)),
            ReplyTo::Stream { id, replies } => drop(replies.send((id, outcome))),
            ReplyTo::Nobody => {}
        }
    }
}

struct Pending {
    kind: Kind,
    bytes: usize,
    /// Only under the leader of this term.
    term: Option<u64>,
    reply: ReplyTo,
}

/// Takes items for the local leader.
#[derive(Clone)]
pub struct Proposer {
    queue: mpsc::UnboundedSender<Pending>,
    queued_bytes: Arc<AtomicUsize>,
    queue_bytes_max: usize,
    command_bytes_max: usize,
}

fn kind_bytes(kind: &Kind) -> usize {
    ITEM_OVERHEAD
        + match kind {
            Kind::Request(request) => request.command.len() + request.principal.len(),
            Kind::OpenSession(request) => request.principal.len(),
            Kind::Tick(_) | Kind::LeaderStarted(_) | Kind::Checkpoint(_) => 0,
        }
}

impl Proposer {
    /// Starts the task that proposes to `raft`.
    pub fn start(
        raft: Raft,
        state: Arc<State>,
        queue_bytes_max: usize,
        command_bytes_max: usize,
    ) -> Self {
        let (queue, taken) = mpsc::unbounded_channel();
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let task = Task {
            raft,
            state,
            clock: StateClock::default(),
            queued_bytes: queued_bytes.clone(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            since: None,
            in_flight: FuturesUnordered::new(),
        };
        tokio::spawn(task.run(taken));
        Self { queue, queued_bytes, queue_bytes_max, command_bytes_max }
    }

    pub fn submit(&self, kind: Kind, term: Option<u64>, reply: ReplyTo) {
        let bytes = kind_bytes(&kind);
        if bytes > self.command_bytes_max + ITEM_OVERHEAD {
            return reply.send(Outcome::TooLarge(bytes - ITEM_OVERHEAD));
        }
        if self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.queue_bytes_max {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return reply.send(Outcome::Busy(BUSY_RETRY));
        }
        if let Err(refused) = self.queue.send(Pending { kind, bytes, term, reply }) {
            refused.0.reply.send(Outcome::Stopped("the node was shut down".into()));
        }
    }

    pub async fn submit_and_wait(&self, kind: Kind, term: Option<u64>) -> Outcome {
        let (waiter, answered) = oneshot::channel();
        self.submit(kind, term, ReplyTo::Waiter(waiter));
        answered.await.unwrap_or_else(|_| Outcome::Unknown("the node was shut down".into()))
    }

    pub fn command_bytes_max(&self) -> usize {
        self.command_bytes_max
    }
}

type InFlight = BoxFuture<'static, (Vec<ReplyTo>, usize, Result<Vec<ItemOutcome>, Outcome>)>;

struct Task {
    raft: Raft,
    state: Arc<State>,
    clock: StateClock,
    queued_bytes: Arc<AtomicUsize>,
    waiting: VecDeque<Pending>,
    waiting_bytes: usize,
    since: Option<Instant>,
    in_flight: FuturesUnordered<InFlight>,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Pending>) {
        let mut open = true;
        while open || !self.waiting.is_empty() || !self.in_flight.is_empty() {
            let linger = self.since.map(|since| since + LINGER);
            let may_linger = linger.is_some() && self.in_flight.len() < IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    let is_shared = done.0.len() > 1;
                    self.answer(done);
                    if is_shared {
                        // Let the answered clients go on: their next requests then share an entry
                        // instead of the first one going alone and the others waiting for it.
                        for _ in 0..YIELDS {
                            tokio::task::yield_now().await;
                        }
                        while let Ok(more) = queue.try_recv() {
                            self.take(more);
                        }
                    }
                }
                next = queue.recv(), if open => match next {
                    Some(first) => {
                        self.take(first);
                        while let Ok(more) = queue.try_recv() {
                            self.take(more);
                        }
                    }
                    None => open = false,
                },
                () = tokio::time::sleep_until(linger.unwrap_or_else(Instant::now)), if may_linger => {}
            }
            while self.is_time() {
                self.send().await;
            }
        }
    }

    fn take(&mut self, pending: Pending) {
        self.waiting_bytes += pending.bytes;
        self.waiting.push_back(pending);
        self.since.get_or_insert_with(Instant::now);
    }

    fn is_time(&self) -> bool {
        if self.waiting.is_empty() || self.in_flight.len() >= IN_FLIGHT_MAX {
            return false;
        }
        self.in_flight.is_empty()
            || self.waiting_bytes >= ENTRY_BYTES_GOOD
            || self.since.is_some_and(|since| since.elapsed() >= LINGER)
    }

    async fn send(&mut self) {
        let mut items = Vec::new();
        let mut replies = Vec::new();
        let mut bytes = 0;
        let mut expected: Option<u64> = None;
        while let Some(next) = self.waiting.front() {
            let full = bytes + next.bytes > ENTRY_BYTES_GOOD || items.len() + 1 >= ITEMS_MAX;
            let apart = expected.is_some() && next.term.is_some() && next.term != expected;
            if !items.is_empty() && (full || apart) {
                break;
            }
            let Some(pending) = self.waiting.pop_front() else {
                break;
            };
            bytes += pending.bytes;
            expected = expected.or(pending.term);
            items.push(pb::Item { kind: Some(pending.kind) });
            replies.push(pending.reply);
        }
        self.waiting_bytes -= bytes;
        self.since = (!self.waiting.is_empty()).then(Instant::now);
        let term = match self.raft.as_leader() {
            Ok(leader) => leader.term(),
            Err(forward) => {
                let leader = forward.leader_id.zip(forward.leader_node.map(|node| node.addr));
                return self.answer((replies, bytes, Err(Outcome::NotLeader(leader))));
            }
        };
        let applied_ms = self.state.read(|live| live.applied.now_ms);
        let batch = pb::Batch { stamp_ms: self.clock.stamp_ms(term, applied_ms), items };
        let mut encoded = BytesMut::with_capacity(batch.encoded_len());
        batch.encode(&mut encoded).expect("a buffer of the right size");
        // The stamp belongs to this term: under another leader the entry must not be appended.
        let leader = CommittedLeaderId::new(expected.unwrap_or(term));
        let (responder, done) = ProgressResponder::complete_only();
        let written = self
            .raft
            .write(EncodedBatch(encoded.freeze()))
            .with_leader(leader)
            .responder(responder)
            .await;
        if let Err(fatal) = written {
            return self.answer((replies, bytes, Err(Outcome::Unknown(fatal.to_string()))));
        }
        self.in_flight.push(Box::pin(async move {
            let result = match done.await {
                Ok(Ok(response)) => Ok(response.data.0),
                Ok(Err(ClientWriteError::ForwardToLeader(forward))) => Err(Outcome::NotLeader(
                    forward.leader_id.zip(forward.leader_node.map(|node| node.addr)),
                )),
                Ok(Err(error)) => Err(Outcome::Unknown(error.to_string())),
                Err(_) => Err(Outcome::Unknown("consensus ended".into())),
            };
            (replies, bytes, result)
        }));
    }

    fn answer(
        &mut self,
        (replies, bytes, result): (Vec<ReplyTo>, usize, Result<Vec<ItemOutcome>, Outcome>),
    ) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        match result {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    reply.send(Outcome::Item(outcome));
                }
            }
            Err(outcome) => {
                for reply in replies {
                    reply.send(outcome.clone());
                }
            }
        }
    }
}

impl Outcome {
    pub fn to_pb(&self, id: u64) -> pb::ProposeReply {
        use pb::propose_reply::Outcome as Wire;
        let hint = |leader: &Option<(NodeId, String)>| match leader {
            Some((node_id, address)) => {
                pb::LeaderHint { node_id: *node_id, address: address.clone() }
            }
            None => pb::LeaderHint::default(),
        };
        let outcome = match self {
            Outcome::Item(ItemOutcome::Applied { index, reply }) => {
                Wire::Applied(pb::Applied { index: *index, reply: reply.clone() })
            }
            Outcome::Item(ItemOutcome::SessionExpired) => Wire::SessionExpired(pb::Empty {}),
            Outcome::Item(ItemOutcome::SequenceTooOld) => Wire::SequenceTooOld(pb::Empty {}),
            Outcome::Item(ItemOutcome::ReplyNotKept) => Wire::ReplyNotKept(pb::Empty {}),
            Outcome::Item(ItemOutcome::TooManySessions) => Wire::TooManySessions(pb::Empty {}),
            Outcome::NotLeader(leader) => Wire::NotLeader(hint(leader)),
            Outcome::Unknown(reason) => Wire::Unknown(reason.clone()),
            Outcome::Busy(after) => {
                Wire::BusyRetryAfterMs(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
            }
            Outcome::TooLarge(bytes) => Wire::TooLargeBytes(*bytes as u64),
            Outcome::Stopped(reason) => Wire::Stopped(reason.clone()),
        };
        pb::ProposeReply { id, outcome: Some(outcome) }
    }

    pub fn from_pb(reply: pb::ProposeReply) -> Self {
        use pb::propose_reply::Outcome as Wire;
        match reply.outcome {
            Some(Wire::Applied(pb::Applied { index, reply })) => applied(index, reply),
            Some(Wire::SessionExpired(_)) => Outcome::Item(ItemOutcome::SessionExpired),
            Some(Wire::SequenceTooOld(_)) => Outcome::Item(ItemOutcome::SequenceTooOld),
            Some(Wire::ReplyNotKept(_)) => Outcome::Item(ItemOutcome::ReplyNotKept),
            Some(Wire::TooManySessions(_)) => Outcome::Item(ItemOutcome::TooManySessions),
            Some(Wire::NotLeader(hint)) => Outcome::NotLeader(
                (!hint.address.is_empty()).then_some((hint.node_id, hint.address)),
            ),
            Some(Wire::Unknown(reason)) => Outcome::Unknown(reason),
            Some(Wire::BusyRetryAfterMs(ms)) => Outcome::Busy(Duration::from_millis(ms)),
            Some(Wire::TooLargeBytes(bytes)) => {
                Outcome::TooLarge(usize::try_from(bytes).unwrap_or(usize::MAX))
            }
            Some(Wire::Stopped(reason)) => Outcome::Stopped(reason),
            None => Outcome::Unknown("the leader's answer cannot be read".into()),
        }
    }
}

fn applied(index: LogIndex, reply: Bytes) -> Outcome {
    Outcome::Item(ItemOutcome::Applied { index, reply })
}
