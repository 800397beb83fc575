//! Every message that a node, an executor or a wallet reads from the wire.
//!
//! Input: which message, then its bytes.
#![no_main]

use hesper_protos::{auth, cluster, executor, job, raft, sector, transfer, wallet};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fn check<T: Message + Default + PartialEq>(data: &[u8]) {
    if let Ok(found) = T::decode(data) {
        assert!(T::decode(found.encode_to_vec().as_slice()).expect("own bytes") == found);
    }
}

macro_rules! checks {
    ($($message:ty),* $(,)?) => { [$(check::<$message>),*] };
}

fuzz_target!(|data: &[u8]| {
    let Some((index, data)) = data.split_first() else { return };
    let checks = checks![
        auth::ChangeUserRequest,
        auth::CreateTokenRequest,
        auth::CreateUserRequest,
        auth::DeleteMinerRequest,
        auth::DeleteSignerRequest,
        auth::ListAuditRequest,
        auth::ListLimitsRequest,
        auth::ListMinersRequest,
        auth::ListQuotasRequest,
        auth::ListSignersRequest,
        auth::ListTokensRequest,
        auth::ListUsersRequest,
        auth::PutMinerRequest,
        auth::RemoveLimitRequest,
        auth::RotateSecretRequest,
        auth::SetLimitRequest,
        auth::SetQuotaRequest,
        auth::SignersRequest,
        auth::TokenRequest,
        auth::UpdateUserRequest,
        auth::VerifyRequest,
        auth::WhoAmIRequest,
        cluster::AddNodeRequest,
        cluster::CreateTokenRequest,
        cluster::EnrolRequest,
        cluster::ListExecutorsRequest,
        cluster::RemoveNodeRequest,
        cluster::SetExecutorRequest,
        cluster::StatusRequest,
        cluster::TransferLeaderRequest,
        executor::ExecutorMessage,
        executor::NodeMessage,
        job::CancelRequest,
        job::ExplainRequest,
        job::ListRequest,
        job::LogsRequest,
        job::OpenSessionRequest,
        job::ShowRequest,
        job::SubmitRequest,
        job::TasksRequest,
        raft::AppendReply,
        raft::AppendRequest,
        raft::Entry,
        raft::MembershipReply,
        raft::MembershipRequest,
        raft::ProposeBatch,
        raft::ProposeReplies,
        raft::ReadIndexReply,
        raft::ReplyRow,
        raft::SessionRow,
        raft::SnapshotPart,
        raft::SnapshotReply,
        raft::StoredMembership,
        raft::TransferLeaderReply,
        raft::TransferLeaderRequest,
        raft::VoteReply,
        raft::VoteRequest,
        sector::ListRequest,
        sector::LocateRequest,
        sector::PlacePieceRequest,
        sector::SealRequest,
        sector::ShowRequest,
        sector::UnsealRequest,
        sector::VerifyPostRequest,
        sector::WindowRequest,
        sector::WinningRequest,
        transfer::Chunk,
        transfer::PutChunk,
        transfer::PutReply,
        transfer::ReadRequest,
        transfer::StatReply,
        transfer::StatRequest,
        wallet::Answer,
        wallet::FromWallet,
        wallet::ListWalletsReply,
        wallet::ListWalletsRequest,
        wallet::RelayRequest,
        wallet::SessionTable,
        wallet::SignReply,
        wallet::SignRequest,
        wallet::ToWallet,
        wallet::WatchRequest,
    ];
    checks[usize::from(*index) % checks.len()](data);
});
