//! **Purpose**: what other nodes may ask of this one.
//!
//! **Invariants**: the node's server has authenticated the peer before a call comes here; here it is
//! checked that the peer means this cluster.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use hesper_protos::raft as pb;
use pb::item::Kind;
use pb::raft_server::{Raft as RaftRpc, RaftServer};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::convert;
use super::peers::{CLUSTER_KEY, MESSAGE_BYTES_MAX};
use super::snapshot;
use crate::codec::{DecodeError, vote_to_pb};
use crate::members;
use crate::node::Node;
use crate::proposer::{Outcome, ReplyTo};

const REPLIES_MAX: usize = 1024;

/// The gRPC service of a node, for its server.
#[derive(Clone)]
pub struct RaftService {
    node: Arc<Node>,
}

impl RaftService {
    /// The service, ready to be added to a server.
    pub fn server(node: Arc<Node>) -> RaftServer<Self> {
        RaftServer::new(Self { node })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The message, if the caller means this cluster.
    fn open<T>(&self, request: Request<T>) -> Result<T, Status> {
        let own = self.node.peers.cluster();
        let named = request.metadata().get(CLUSTER_KEY).and_then(|value| value.to_str().ok());
        match (&own, named) {
            (Some(own), Some(named)) if own.0 == named => Ok(request.into_inner()),
            (None, _) => Err(Status::failed_precondition("this node belongs to no cluster yet")),
            (Some(own), named) => Err(Status::failed_precondition(format!(
                "this node belongs to cluster `{own}`, the caller means `{}`",
                named.unwrap_or("none")
            ))),
        }
    }
}

fn bad(error: DecodeError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this node stops: {error}"))
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl RaftRpc for RaftService {
    type StreamAppendStream = Replies<pb::AppendReply>;
    type ProposeStream = Replies<pb::ProposeReplies>;

    async fn ping(&self, request: Request<pb::Empty>) -> Result<Response<pb::Empty>, Status> {
        self.open(request).map(Response::new)
    }

    async fn append(
        &self,
        request: Request<pb::AppendRequest>,
    ) -> Result<Response<pb::AppendReply>, Status> {
        let message = self.open(request)?;
        let previous = message.previous;
        let request = convert::append_from_pb(message).map_err(bad)?;
        let response = self.node.raft.append_entries(request).await.map_err(stopped)?;
        convert::append_reply_to_pb(&response, previous.as_ref()).map(Response::new).map_err(bad)
    }

    async fn stream_append(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::StreamAppendStream>, Status> {
        let inbound = self.open(request)?;
        // The stream ends with the node, or its server could not end in order.
        let stop = self.node.stop.watch();
        let requests = stream::unfold((inbound, stop), |(mut inbound, mut stop)| async move {
            let message = tokio::select! {
                message = inbound.message() => message.ok()??,
                _ = stop.wait_for(Option::is_some) => return None,
            };
            match convert::append_from_pb(message) {
                Ok(request) => Some((request, (inbound, stop))),
                Err(error) => {
                    tracing::warn!(%error, "ended a replication stream with an unreadable message");
                    None
                }
            }
        });
        let replies = self.node.raft.stream_append(requests).map(|result| match result {
            Ok(result) => Ok(convert::stream_reply_to_pb(&result)),
            Err(fatal) => Err(stopped(fatal)),
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteReply>, Status> {
        let request = convert::vote_request_from_pb(&self.open(request)?).map_err(bad)?;
        let response = self.node.raft.vote(request).await.map_err(stopped)?;
        Ok(Response::new(convert::vote_reply_to_pb(&response)))
    }

    async fn pre_vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteReply>, Status> {
        let request = convert::vote_request_from_pb(&self.open(request)?).map_err(bad)?;
        let response = self.node.raft.pre_vote(request).await.map_err(stopped)?;
        Ok(Response::new(convert::vote_reply_to_pb(&response)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderReply>, Status> {
        let request = convert::transfer_from_pb(&self.open(request)?).map_err(bad)?;
        let response = self.node.raft.handle_transfer_leader(request).await.map_err(stopped)?;
        Ok(Response::new(convert::transfer_reply_to_pb(&response)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotPart>>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        let parts = self.open(request)?;
        let (vote, snapshot) = snapshot::receive(&self.node.snapshots, parts).await?;
        let response =
            self.node.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(pb::SnapshotReply { vote: Some(vote_to_pb(&response.vote)) }))
    }

    async fn propose(
        &self,
        request: Request<Streaming<pb::ProposeBatch>>,
    ) -> Result<Response<Self::ProposeStream>, Status> {
        let mut inbound = self.open(request)?;
        let (replies, answered) = mpsc::unbounded_channel();
        let proposer = self.node.proposer.clone();
        let mut stop = self.node.stop.watch();
        tokio::spawn(async move {
            loop {
                // The stream must end with the node, or its server could not end in order.
                let message = tokio::select! {
                    message = inbound.message() => message,
                    _ = stop.wait_for(Option::is_some) => return,
                };
                let Ok(Some(batch)) = message else { return };
                for request in batch.requests {
                    let reply = ReplyTo::Stream { id: request.id, replies: replies.clone() };
                    match request.item.and_then(|item| item.kind) {
                        Some(kind @ (Kind::Request(_) | Kind::OpenSession(_))) => {
                            proposer.submit(kind, None, reply)
                        }
                        Some(Kind::Tick(_) | Kind::LeaderStarted(_) | Kind::Checkpoint(_))
                        | None => {
                            reply.send(Outcome::Stopped(
                                "only requests of clients are forwarded".into(),
                            ));
                        }
                    }
                }
            }
        });
        let batches = stream::unfold(answered, |mut answered| async move {
            let (id, outcome) = answered.recv().await?;
            let mut replies = vec![outcome.to_pb(id)];
            while replies.len() < REPLIES_MAX {
                let Ok((id, outcome)) = answered.try_recv() else {
                    break;
                };
                replies.push(outcome.to_pb(id));
            }
            Some((Ok(pb::ProposeReplies { replies }), answered))
        });
        Ok(Response::new(Box::pin(batches)))
    }

    async fn read_index(
        &self,
        request: Request<pb::Empty>,
    ) -> Result<Response<pb::ReadIndexReply>, Status> {
        self.open(request)?;
        let outcome = self.node.read_index_as_leader().await;
        Ok(Response::new(pb::ReadIndexReply { outcome: Some(outcome) }))
    }

    async fn change_membership(
        &self,
        request: Request<pb::MembershipRequest>,
    ) -> Result<Response<pb::MembershipReply>, Status> {
        let message = self.open(request)?;
        let outcome = members::change_as_leader(&self.node, message).await;
        Ok(Response::new(pb::MembershipReply { outcome: Some(outcome) }))
    }
}
