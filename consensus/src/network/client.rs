//! **Purpose**: what openraft sends to one other node.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use hesper_protos::raft as pb;
use hesper_protos::raft::raft_client::RaftClient;
use openraft::BasicNode;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::convert::{self, RpcError};
use super::peers::{Lane, Peers};
use super::snapshot;
use crate::state::SnapshotDir;
use crate::types::{NodeId, Snapshot, Types, Vote};

/// Makes the clients of a node.
#[derive(Clone)]
pub struct NetworkFactory {
    peers: Arc<Peers>,
    /// A stream on which nothing is answered for so long is given up.
    stalled_after: Duration,
    retry_after: Duration,
}

impl NetworkFactory {
    pub fn new(peers: Arc<Peers>, stalled_after: Duration, retry_after: Duration) -> Self {
        Self { peers, stalled_after, retry_after }
    }

    fn client(&self, target: NodeId, node: &BasicNode, lane: Lane) -> PeerNetwork {
        PeerNetwork { factory: self.clone(), target, address: node.addr.clone(), lane }
    }
}

impl RaftNetworkFactory<Types> for NetworkFactory {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> PeerNetwork {
        self.client(target, node, Lane::Replication)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &BasicNode) -> PeerNetwork {
        self.client(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &BasicNode) -> PeerNetwork {
        self.client(target, node, Lane::Snapshot)
    }
}

/// One other node.
pub struct PeerNetwork {
    factory: NetworkFactory,
    target: NodeId,
    address: String,
    lane: Lane,
}

/// A status of the transport, as openraft counts failures: an unreachable node is retried later.
fn failure(status: &Status) -> RpcError {
    match status.code() {
        Code::Unavailable
        | Code::FailedPrecondition
        | Code::Unauthenticated
        | Code::PermissionDenied => RpcError::Unreachable(Unreachable::from_string(status)),
        _ => RpcError::Network(NetworkError::from_string(status)),
    }
}

fn malformed(error: &crate::codec::DecodeError) -> RpcError {
    RpcError::Network(NetworkError::new(error))
}

fn timed_out(what: &str, after: Duration) -> RpcError {
    RpcError::Unreachable(Unreachable::from_string(format!(
        "{what} was not answered within {after:?}"
    )))
}

impl PeerNetwork {
    fn client(&self, lane: Lane) -> Result<RaftClient<Channel>, RpcError> {
        let client = self.factory.peers.client(self.target, &self.address, lane);
        client.map_err(|e| RpcError::Unreachable(Unreachable::new(&e)))
    }

    async fn call<T, F>(&self, what: &'static str, limit: Duration, call: F) -> Result<T, RpcError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>> + Send,
    {
        let started = Instant::now();
        let answered =
            tokio::time::timeout(limit, call).await.map_err(|_| timed_out(what, limit))?;
        let answered = answered.map_err(|status| failure(&status))?;
        self.factory.peers.note_round_trip(self.target, started.elapsed());
        Ok(answered.into_inner())
    }
}

impl RaftNetworkV2<Types> for PeerNetwork {
    type SnapshotData = SnapshotDir;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RpcError> {
        let mut client = self.client(self.lane)?;
        let request = self.factory.peers.request(convert::append_to_pb(&rpc));
        let reply = self.call("append", self.factory.stalled_after, client.append(request)).await?;
        convert::append_reply_from_pb(&reply).map_err(|e| malformed(&e))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + openraft::OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let mut client = self.client(self.lane)?;
            let limit = self.factory.stalled_after;
            let outstanding = Arc::new(AtomicI64::new(0));
            let sent = outstanding.clone();
            let requests = input.map(move |request| {
                sent.fetch_add(1, Ordering::Relaxed);
                convert::append_to_pb(&request)
            });
            let request = self.factory.peers.request(requests);
            let replies =
                self.call("a replication stream", limit, client.stream_append(request)).await?;
            let replies = stream::unfold(Some((replies, outstanding)), move |open| async move {
                let (mut replies, outstanding) = open?;
                let message = loop {
                    let before = outstanding.load(Ordering::Relaxed);
                    match tokio::time::timeout(limit, replies.message()).await {
                        Ok(message) => break message,
                        // An idle stream is no fault; a request without an answer is.
                        Err(_) if before == 0 => {}
                        Err(_) => return Some((Err(timed_out("a replicated entry", limit)), None)),
                    }
                };
                outstanding.fetch_sub(1, Ordering::Relaxed);
                match message {
                    Ok(Some(reply)) => match convert::stream_reply_from_pb(&reply) {
                        Ok(result) => {
                            let next = result.is_ok().then_some((replies, outstanding));
                            Some((Ok(result), next))
                        }
                        Err(error) => Some((Err(malformed(&error)), None)),
                    },
                    Ok(None) => None,
                    Err(status) => Some((Err(failure(&status)), None)),
                }
            });
            let replies: BoxStream<'s, _> = Box::pin(replies);
            Ok(replies)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let mut client = self.client(Lane::Control)?;
        let request = self.factory.peers.request(convert::vote_request_to_pb(&rpc));
        let reply = self.call("a vote", option.hard_ttl(), client.vote(request)).await?;
        convert::vote_reply_from_pb(&reply).map_err(|e| malformed(&e))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let mut client = self.client(Lane::Control)?;
        let request = self.factory.peers.request(convert::vote_request_to_pb(&rpc));
        let reply = self.call("a pre-vote", option.hard_ttl(), client.pre_vote(request)).await?;
        convert::vote_reply_from_pb(&reply).map_err(|e| malformed(&e))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let mut client = self.client(Lane::Snapshot)?;
        let request = self.factory.peers.request(snapshot::send(vote, snapshot));
        tokio::select! {
            answered = client.install_snapshot(request) => {
                let reply = answered.map_err(|status| failure(&status))?.into_inner();
                let vote = crate::codec::required(reply.vote, "SnapshotReply", "vote").map_err(|e| malformed(&e))?;
                Ok(SnapshotResponse::new(crate::codec::vote_from_pb(&vote)))
            }
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RpcError> {
        let mut client = self.client(Lane::Control)?;
        let request = self.factory.peers.request(convert::transfer_to_pb(&req));
        let reply: pb::TransferLeaderReply = self
            .call("a transfer of leadership", option.hard_ttl(), client.transfer_leader(request))
            .await?;
        convert::transfer_reply_from_pb(&reply).map_err(|e| malformed(&e))
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(self.factory.retry_after)))
    }
}
