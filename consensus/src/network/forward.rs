//! **Purpose**: sends proposals of this node's clients to the leader, many in one message.
//!
//! **Invariants**: when a stream breaks, what was sent on it has an unknown outcome; what was not sent
//! yet was surely not appended.

use std::collections::HashMap;
use std::sync::Arc;

use hesper_protos::raft as pb;
use parking_lot::Mutex;
use pb::item::Kind;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::peers::{Lane, Peers};
use crate::proposer::Outcome;
use crate::types::NodeId;

const BATCH_ITEMS_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 1 << 20;
const BATCHES_AHEAD: usize = 4;

type Waiter = oneshot::Sender<Outcome>;
type Queue = mpsc::UnboundedSender<(Kind, Waiter)>;

/// The streams of proposals to other nodes.
pub struct Forwarders {
    peers: Arc<Peers>,
    queues: Mutex<HashMap<NodeId, (String, Queue)>>,
}

impl Forwarders {
    pub fn new(peers: Arc<Peers>) -> Self {
        Self { peers, queues: Mutex::default() }
    }

    /// Proposes `kind` at `node`.
    pub async fn propose(&self, node: NodeId, address: &str, kind: Kind) -> Outcome {
        let (waiter, answered) = oneshot::channel();
        self.enqueue(node, address, (kind, waiter));
        answered
            .await
            .unwrap_or_else(|_| Outcome::Unknown("the connection to the leader broke".into()))
    }

    fn enqueue(&self, node: NodeId, address: &str, item: (Kind, Waiter)) {
        let mut queues = self.queues.lock();
        let mut item = item;
        if let Some((known, queue)) = queues.get(&node)
            && known == address
        {
            match queue.send(item) {
                Ok(()) => return,
                Err(refused) => item = refused.0,
            }
        }
        let (queue, taken) = mpsc::unbounded_channel();
        // The receiver is held by the task that is started next.
        if queue.send(item).is_ok() {
            queues.insert(node, (address.to_owned(), queue));
            let link = Link { peers: self.peers.clone(), node, address: address.to_owned() };
            tokio::spawn(link.run(taken));
        }
    }
}

struct Link {
    peers: Arc<Peers>,
    node: NodeId,
    address: String,
}

impl Link {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<(Kind, Waiter)>) {
        let opened = self.open().await;
        let Ok((outbound, inbound)) = opened else {
            queue.close();
            while let Ok((_, waiter)) = queue.try_recv() {
                // Whoever has stopped waiting needs no answer.
                let _ = waiter.send(Outcome::NotLeader(None));
            }
            return;
        };
        pump(&mut queue, outbound, inbound).await;
        queue.close();
        while let Ok((_, waiter)) = queue.try_recv() {
            let _ = waiter.send(Outcome::NotLeader(None));
        }
    }

    async fn open(
        &self,
    ) -> Result<(mpsc::Sender<pb::ProposeBatch>, Streaming<pb::ProposeReplies>), ()> {
        let mut client =
            self.peers.client(self.node, &self.address, Lane::Forward).map_err(|error| {
                tracing::warn!(%error, "could not forward to the leader");
            })?;
        let (outbound, batches) = mpsc::channel(BATCHES_AHEAD);
        let request = self.peers.request(ReceiverStream::new(batches));
        let inbound = client.propose(request).await.map_err(|status| {
            tracing::debug!(%status, node = self.node, "could not forward to the leader");
        })?;
        Ok((outbound, inbound.into_inner()))
    }
}

async fn pump(
    queue: &mut mpsc::UnboundedReceiver<(Kind, Waiter)>,
    outbound: mpsc::Sender<pb::ProposeBatch>,
    mut inbound: Streaming<pb::ProposeReplies>,
) {
    let mut waiters: HashMap<u64, Waiter> = HashMap::new();
    let mut next_id = 0;
    loop {
        tokio::select! {
            reply = inbound.message() => {
                let Ok(Some(batch)) = reply else { return };
                for reply in batch.replies {
                    if let Some(waiter) = waiters.remove(&reply.id) {
                        let _ = waiter.send(Outcome::from_pb(reply));
                    }
                }
            }
            first = queue.recv() => {
                let Some(first) = first else { return };
                let mut batch = pb::ProposeBatch::default();
                let mut bytes = 0;
                let mut next = Some(first);
                while let Some((kind, waiter)) = next {
                    next_id += 1;
                    if let Kind::Request(request) = &kind {
                        bytes += request.command.len();
                    }
                    waiters.insert(next_id, waiter);
                    batch.requests.push(pb::ProposeRequest { id: next_id, item: Some(pb::Item { kind: Some(kind) }) });
                    let full = batch.requests.len() >= BATCH_ITEMS_MAX || bytes >= BATCH_BYTES_MAX;
                    next = if full { None } else { queue.try_recv().ok() };
                }
                if outbound.send(batch).await.is_err() {
                    return;
                }
            }
        }
    }
}
