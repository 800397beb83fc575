//! **Purpose**: the replication messages, between openraft's types and the wire.

use hesper_protos::raft as pb;
use openraft::errors::RPCError;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::codec::{
    DecodeError, entry_from_pb, entry_to_pb, log_id_from_pb, log_id_to_pb, required, vote_from_pb,
    vote_to_pb,
};
use crate::types::Types;

pub type RpcError = RPCError<Types>;

pub fn append_to_pb(request: &AppendEntriesRequest<Types>) -> pb::AppendRequest {
    pb::AppendRequest {
        vote: Some(vote_to_pb(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to_pb),
        entries: request.entries.iter().map(entry_to_pb).collect(),
        leader_commit: request.leader_commit.as_ref().map(log_id_to_pb),
    }
}

pub fn append_from_pb(
    request: pb::AppendRequest,
) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    Ok(AppendEntriesRequest {
        vote: vote_from_pb(&required(request.vote, "AppendRequest", "vote")?),
        prev_log_id: request.previous.as_ref().map(log_id_from_pb),
        entries: request.entries.into_iter().map(entry_from_pb).collect::<Result<_, _>>()?,
        leader_commit: request.leader_commit.as_ref().map(log_id_from_pb),
    })
}

fn reply(outcome: pb::append_reply::Outcome) -> pb::AppendReply {
    pb::AppendReply { outcome: Some(outcome) }
}

/// `previous` is what the request was to follow: a conflict names it.
pub fn append_reply_to_pb(
    response: &AppendEntriesResponse<Types>,
    previous: Option<&pb::LogId>,
) -> Result<pb::AppendReply, DecodeError> {
    use pb::append_reply::Outcome;
    Ok(reply(match response {
        AppendEntriesResponse::Success => Outcome::Success(pb::Empty {}),
        AppendEntriesResponse::PartialSuccess(upto) => {
            Outcome::Matched(pb::OptionalLogId { log_id: upto.as_ref().map(log_id_to_pb) })
        }
        AppendEntriesResponse::Conflict => {
            Outcome::Conflict(required(previous.copied(), "AppendRequest", "previous")?)
        }
        AppendEntriesResponse::HigherVote(vote) => Outcome::HigherVote(vote_to_pb(vote)),
    }))
}

pub fn append_reply_from_pb(
    message: &pb::AppendReply,
) -> Result<AppendEntriesResponse<Types>, DecodeError> {
    use pb::append_reply::Outcome;
    Ok(match required(message.outcome.as_ref(), "AppendReply", "outcome")? {
        Outcome::Success(_) => AppendEntriesResponse::Success,
        Outcome::Matched(upto) => {
            AppendEntriesResponse::PartialSuccess(upto.log_id.as_ref().map(log_id_from_pb))
        }
        Outcome::Conflict(_) => AppendEntriesResponse::Conflict,
        Outcome::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_from_pb(vote)),
    })
}

pub fn stream_reply_to_pb(result: &StreamAppendResult<Types>) -> pb::AppendReply {
    use pb::append_reply::Outcome;
    reply(match result {
        Ok(upto) => Outcome::Matched(pb::OptionalLogId { log_id: upto.as_ref().map(log_id_to_pb) }),
        Err(StreamAppendError::Conflict(at)) => Outcome::Conflict(log_id_to_pb(at)),
        Err(StreamAppendError::HigherVote(vote)) => Outcome::HigherVote(vote_to_pb(vote)),
    })
}

pub fn stream_reply_from_pb(
    message: &pb::AppendReply,
) -> Result<StreamAppendResult<Types>, DecodeError> {
    use pb::append_reply::Outcome;
    Ok(match required(message.outcome.as_ref(), "AppendReply", "outcome")? {
        Outcome::Matched(upto) => Ok(upto.log_id.as_ref().map(log_id_from_pb)),
        Outcome::Conflict(at) => Err(StreamAppendError::Conflict(log_id_from_pb(at))),
        Outcome::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from_pb(vote))),
        Outcome::Success(_) => {
            return Err(DecodeError::Missing { message: "AppendReply", field: "matched" });
        }
    })
}

pub fn vote_request_to_pb(request: &VoteRequest<Types>) -> pb::VoteRequest {
    pb::VoteRequest {
        vote: Some(vote_to_pb(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_to_pb),
        leadership_transfer: request.leadership_transfer,
    }
}

pub fn vote_request_from_pb(request: &pb::VoteRequest) -> Result<VoteRequest<Types>, DecodeError> {
    Ok(VoteRequest {
        vote: vote_from_pb(required(request.vote.as_ref(), "VoteRequest", "vote")?),
        last_log_id: request.last.as_ref().map(log_id_from_pb),
        leadership_transfer: request.leadership_transfer,
    })
}

pub fn vote_reply_to_pb(response: &VoteResponse<Types>) -> pb::VoteReply {
    pb::VoteReply {
        vote: Some(vote_to_pb(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id_to_pb),
    }
}

pub fn vote_reply_from_pb(response: &pb::VoteReply) -> Result<VoteResponse<Types>, DecodeError> {
    Ok(VoteResponse {
        vote: vote_from_pb(required(response.vote.as_ref(), "VoteReply", "vote")?),
        vote_granted: response.granted,
        last_log_id: response.last.as_ref().map(log_id_from_pb),
    })
}

pub fn transfer_to_pb(request: &TransferLeaderRequest<Types>) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        from_leader: Some(vote_to_pb(request.from_leader())),
        to_node_id: *request.to_node_id(),
        last: request.last_log_id().map(log_id_to_pb),
    }
}

pub fn transfer_from_pb(
    request: &pb::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<Types>, DecodeError> {
    let from = required(request.from_leader.as_ref(), "TransferLeaderRequest", "from_leader")?;
    let last = request.last.as_ref().map(log_id_from_pb);
    Ok(TransferLeaderRequest::new(vote_from_pb(from), request.to_node_id, last))
}

pub fn transfer_reply_to_pb(response: &TransferLeaderResponse<Types>) -> pb::TransferLeaderReply {
    use pb::transfer_leader_reply::Outcome;
    let outcome = match response {
        Ok(()) => Outcome::Accepted(pb::Empty {}),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            Outcome::VoteChanged(pb::VotePair {
                expected: Some(vote_to_pb(expected)),
                actual: Some(vote_to_pb(actual)),
            })
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            Outcome::LogNotFlushed(pb::LogIdPair {
                expected: expected.as_ref().map(log_id_to_pb),
                actual: actual.as_ref().map(log_id_to_pb),
            })
        }
    };
    pb::TransferLeaderReply { outcome: Some(outcome) }
}

pub fn transfer_reply_from_pb(
    reply: &pb::TransferLeaderReply,
) -> Result<TransferLeaderResponse<Types>, DecodeError> {
    use pb::transfer_leader_reply::Outcome;
    Ok(match required(reply.outcome.as_ref(), "TransferLeaderReply", "outcome")? {
        Outcome::Accepted(_) => Ok(()),
        Outcome::VoteChanged(pair) => Err(TransferLeaderError::VoteChanged {
            expected: vote_from_pb(required(pair.expected.as_ref(), "VotePair", "expected")?),
            actual: vote_from_pb(required(pair.actual.as_ref(), "VotePair", "actual")?),
        }),
        Outcome::LogNotFlushed(pair) => Err(TransferLeaderError::LogNotFlushed {
            expected: pair.expected.as_ref().map(log_id_from_pb),
            actual: pair.actual.as_ref().map(log_id_from_pb),
        }),
    })
}
