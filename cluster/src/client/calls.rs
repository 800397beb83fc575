//! **Purpose**: one function per request that a cluster understands.

use super::{Client, Error, Link};
use crate::identity::Role;
use hesper_protos::auth;
use hesper_protos::auth::auth_client::AuthClient;
use hesper_protos::cluster::cluster_client::ClusterClient;
use hesper_protos::cluster::{
    AddNodeRequest, CreateTokenReply, CreateTokenRequest, Executor, ListExecutorsRequest,
    RemoveNodeRequest, SetExecutorRequest, StatusReply, StatusRequest, TransferLeaderRequest,
};
use hesper_protos::job::jobs_client::JobsClient;
use hesper_protos::job::{
    CancelRequest, ExplainReply, ExplainRequest, Job, JobSpec, ListReply, ListRequest, RequestId,
    ShowRequest, SubmitReply, SubmitRequest, TasksReply, TasksRequest,
};
use hesper_protos::sector::sectors_client::SectorsClient;
use hesper_protos::sector::{self, LocateReply, LocateRequest, PlacePieceReply, PlacePieceRequest};
use hesper_protos::wallet::signing_client::SigningClient;
use hesper_protos::wallet::{
    ListWalletsRequest, ReleaseBlocksRequest, SignReply, SignRequest, WalletSession,
};

/// Answers with long lists are larger than the 4 MiB that gRPC allows by default.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(super) fn jobs(link: Link) -> JobsClient<Link> {
    JobsClient::new(link).max_decoding_message_size(ANSWER_BYTES_MAX)
}
fn auth_service(link: Link) -> AuthClient<Link> {
    AuthClient::new(link).max_decoding_message_size(ANSWER_BYTES_MAX)
}
fn cluster(link: Link) -> ClusterClient<Link> {
    ClusterClient::new(link).max_decoding_message_size(ANSWER_BYTES_MAX)
}
fn signing(link: Link) -> SigningClient<Link> {
    SigningClient::new(link).max_decoding_message_size(ANSWER_BYTES_MAX)
}
fn sectors(link: Link) -> SectorsClient<Link> {
    SectorsClient::new(link).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// Asks: the request is the same each time it is repeated.
macro_rules! ask {
    ($client:expr, $service:ident.$method:ident, $request:expr) => {{
        let request = $request;
        $client
            .call(|link| {
                let request = request.clone();
                async move { $service(link).$method(request).await }
            })
            .await
    }};
}

/// Changes: the same, under a fresh (session, sequence).
macro_rules! change {
    ($client:expr, $service:ident.$method:ident, $request:expr) => {{
        let request = $request;
        $client
            .change(|link, id| {
                let mut request = request.clone();
                request.id = Some(id);
                async move { $service(link).$method(request).await }
            })
            .await
    }};
}

/// What a new join token shall allow.
#[derive(Clone, Debug)]
pub struct TokenWish {
    /// What the holder will be.
    pub role: Role,
    /// Whose it will be.
    pub owner: String,
    /// The name that it must take; empty for any.
    pub name: String,
    /// How long the token is good.
    pub valid_seconds: u64,
}

/// Each function fails with [`Error`] when no node can be reached in time or the cluster says no.
impl Client {
    /// Submits a job; when this returns, a quorum has it on disc.
    pub async fn submit(&self, spec: JobSpec) -> Result<SubmitReply, Error> {
        change!(self, jobs.submit, SubmitRequest { id: None, spec: Some(spec) })
    }

    /// Submits a job under an id that the caller keeps, to repeat it itself.
    pub async fn submit_as(&self, id: RequestId, spec: JobSpec) -> Result<SubmitReply, Error> {
        ask!(self, jobs.submit, SubmitRequest { id: Some(id), spec: Some(spec) })
    }

    /// Jobs, the newest first.
    pub async fn jobs(&self, request: ListRequest) -> Result<ListReply, Error> {
        ask!(self, jobs.list, request)
    }

    /// One job.
    pub async fn job(&self, job: u64) -> Result<Job, Error> {
        ask!(self, jobs.show, ShowRequest { job })
    }

    /// Tasks of a job.
    pub async fn tasks(&self, request: TasksRequest) -> Result<TasksReply, Error> {
        ask!(self, jobs.tasks, request)
    }

    /// Cancels a job; false when it had ended already.
    pub async fn cancel(&self, job: u64) -> Result<bool, Error> {
        let reply = change!(self, jobs.cancel, CancelRequest { id: None, job })?;
        Ok(!reply.already_ended)
    }

    /// Why a task waits.
    pub async fn explain(&self, job: u64, task: u32) -> Result<ExplainReply, Error> {
        ask!(self, jobs.explain, ExplainRequest { job, task })
    }

    /// The cluster as one node sees it, or as it surely is when `linearizable`.
    pub async fn status(&self, linearizable: bool) -> Result<StatusReply, Error> {
        ask!(self, cluster.status, StatusRequest { linearizable })
    }

    /// Makes a one-time right to join.
    pub async fn create_token(&self, wish: &TokenWish) -> Result<CreateTokenReply, Error> {
        let request = CreateTokenRequest {
            id: None,
            role: wish.role.to_string(),
            owner: wish.owner.clone(),
            valid_seconds: wish.valid_seconds,
            name: wish.name.clone(),
        };
        change!(self, cluster.create_token, request)
    }

    /// Adds an enrolled node: learner first, voter once it has caught up. Repeating it is harmless.
    pub async fn add_node(&self, node_id: u64, address: &str) -> Result<(), Error> {
        let request = AddNodeRequest { node_id, address: address.to_owned() };
        ask!(self, cluster.add_node, request).map(|_done| ())
    }

    /// Removes a node. Repeating it is harmless.
    pub async fn remove_node(&self, node_id: u64) -> Result<(), Error> {
        ask!(self, cluster.remove_node, RemoveNodeRequest { node_id }).map(|_done| ())
    }

    /// Makes another node the leader.
    pub async fn transfer_leader(&self, node_id: u64) -> Result<(), Error> {
        ask!(self, cluster.transfer_leader, TransferLeaderRequest { node_id }).map(|_done| ())
    }

    /// Executors: the one of a name, or all when the name is empty.
    pub async fn executors(&self, name: &str) -> Result<Vec<Executor>, Error> {
        let request = ListExecutorsRequest { name: name.to_owned() };
        ask!(self, cluster.list_executors, request).map(|reply| reply.executors)
    }

    /// Opens, cordons or drains an executor.
    pub async fn set_executor(
        &self,
        name: &str,
        admission: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let request = SetExecutorRequest {
            id: None,
            name: name.to_owned(),
            admission: admission.to_owned(),
            reason: reason.to_owned(),
        };
        change!(self, cluster.set_executor, request).map(|_done| ())
    }

    /// Where a piece shall be put.
    pub async fn place_piece(&self, request: PlacePieceRequest) -> Result<PlacePieceReply, Error> {
        ask!(self, sectors.place_piece, request)
    }

    /// Begins to seal a sector.
    pub async fn seal(&self, request: sector::SealRequest) -> Result<sector::SealReply, Error> {
        change!(self, sectors.seal, request)
    }

    /// Sectors of a miner, or of all (0).
    pub async fn sectors(
        &self,
        request: sector::ListRequest,
    ) -> Result<Vec<sector::Sector>, Error> {
        ask!(self, sectors.list, request).map(|reply| reply.sectors)
    }

    /// One sector.
    pub async fn sector(&self, miner: u64, sector: u64) -> Result<sector::Sector, Error> {
        ask!(self, sectors.show, sector::ShowRequest { miner, sector })
    }

    /// Begins to unseal a sector; the job.
    pub async fn unseal(&self, miner: u64, sector: u64) -> Result<u64, Error> {
        let request = sector::UnsealRequest { id: None, miner, sector };
        change!(self, sectors.unseal, request).map(|reply| reply.job)
    }

    /// Where a file of a task lies.
    pub async fn locate(&self, job: u64, task: u32, name: &str) -> Result<LocateReply, Error> {
        ask!(self, sectors.locate, LocateRequest { job, task, name: name.to_owned() })
    }

    /// Begins a winning PoSt; the job.
    pub async fn winning(&self, request: sector::WinningRequest) -> Result<u64, Error> {
        change!(self, sectors.winning, request).map(|reply| reply.job)
    }

    /// Begins a window PoSt; the job.
    pub async fn window(&self, request: sector::WindowRequest) -> Result<u64, Error> {
        change!(self, sectors.window, request).map(|reply| reply.job)
    }

    /// Checks a sector's PoRep proof on the answering node.
    pub async fn verify_seal(&self, miner: u64, sector: u64) -> Result<sector::VerifyReply, Error> {
        ask!(self, sectors.verify_seal, sector::ShowRequest { miner, sector })
    }

    /// Checks a PoSt proof on the answering node.
    pub async fn verify_post(
        &self,
        request: sector::VerifyPostRequest,
    ) -> Result<sector::VerifyReply, Error> {
        ask!(self, sectors.verify_post, request)
    }

    /// Has a connected wallet sign.
    pub async fn sign(&self, request: SignRequest) -> Result<SignReply, Error> {
        change!(self, signing.sign, request)
    }

    /// Lets another wallet than the present one sign the blocks of a key.
    pub async fn release_blocks(&self, request: ReleaseBlocksRequest) -> Result<(), Error> {
        change!(self, signing.release_blocks, request).map(|_| ())
    }

    /// Streams of wallets to all nodes.
    pub async fn wallets(&self) -> Result<Vec<WalletSession>, Error> {
        ask!(self, signing.list_wallets, ListWalletsRequest {}).map(|reply| reply.sessions)
    }
}

/// Users, miners, signers, tokens, limits and quotas.
impl Client {
    /// Who the caller is.
    pub async fn who_am_i(&self, request: auth::WhoAmIRequest) -> Result<auth::Caller, Error> {
        ask!(self, auth_service.who_am_i, request)
    }

    /// Users that the caller may see.
    pub async fn list_users(
        &self,
        request: auth::ListUsersRequest,
    ) -> Result<auth::ListUsersReply, Error> {
        ask!(self, auth_service.list_users, request)
    }

    /// Miners.
    pub async fn list_miners(
        &self,
        request: auth::ListMinersRequest,
    ) -> Result<auth::ListMinersReply, Error> {
        ask!(self, auth_service.list_miners, request)
    }

    /// Signers.
    pub async fn list_signers(
        &self,
        request: auth::ListSignersRequest,
    ) -> Result<auth::ListSignersReply, Error> {
        ask!(self, auth_service.list_signers, request)
    }

    /// Tokens, without their texts.
    pub async fn list_auth_tokens(
        &self,
        request: auth::ListTokensRequest,
    ) -> Result<auth::ListTokensReply, Error> {
        ask!(self, auth_service.list_tokens, request)
    }

    /// Rate limits.
    pub async fn list_limits(
        &self,
        request: auth::ListLimitsRequest,
    ) -> Result<auth::ListLimitsReply, Error> {
        ask!(self, auth_service.list_limits, request)
    }

    /// Quotas and what is in use.
    pub async fn list_quotas(
        &self,
        request: auth::ListQuotasRequest,
    ) -> Result<auth::ListQuotasReply, Error> {
        ask!(self, auth_service.list_quotas, request)
    }

    /// Privileged acts, the newest first.
    pub async fn list_audit(
        &self,
        request: auth::ListAuditRequest,
    ) -> Result<auth::ListAuditReply, Error> {
        ask!(self, auth_service.list_audit, request)
    }

    /// Adds a user.
    pub async fn create_user(&self, request: auth::CreateUserRequest) -> Result<auth::User, Error> {
        change!(self, auth_service.create_user, request)
    }

    /// Changes a user.
    pub async fn update_user(&self, request: auth::UpdateUserRequest) -> Result<auth::User, Error> {
        change!(self, auth_service.update_user, request)
    }

    /// Deletes a user with its tokens, miners and signers.
    pub async fn delete_user(
        &self,
        request: auth::ChangeUserRequest,
    ) -> Result<auth::DeleteUserReply, Error> {
        change!(self, auth_service.delete_user, request)
    }

    /// Brings a deleted user back.
    pub async fn recover_user(
        &self,
        request: auth::ChangeUserRequest,
    ) -> Result<auth::User, Error> {
        change!(self, auth_service.recover_user, request)
    }

    /// Gives a miner to a user.
    pub async fn put_miner(
        &self,
        request: auth::PutMinerRequest,
    ) -> Result<auth::PutMinerReply, Error> {
        change!(self, auth_service.put_miner, request)
    }

    /// Takes a miner from its user.
    pub async fn delete_miner(
        &self,
        request: auth::DeleteMinerRequest,
    ) -> Result<auth::DeletedReply, Error> {
        change!(self, auth_service.delete_miner, request)
    }

    /// Registers signers of a user.
    pub async fn register_signers(
        &self,
        request: auth::SignersRequest,
    ) -> Result<auth::DoneReply, Error> {
        change!(self, auth_service.register_signers, request)
    }

    /// Takes signers from a user.
    pub async fn unregister_signers(
        &self,
        request: auth::SignersRequest,
    ) -> Result<auth::DoneReply, Error> {
        change!(self, auth_service.unregister_signers, request)
    }

    /// Takes a signer from all users, or from the caller.
    pub async fn delete_signer(
        &self,
        request: auth::DeleteSignerRequest,
    ) -> Result<auth::DeletedReply, Error> {
        change!(self, auth_service.delete_signer, request)
    }

    /// Creates a token; its text is in the answer.
    pub async fn create_auth_token(
        &self,
        request: auth::CreateTokenRequest,
    ) -> Result<auth::TokenReply, Error> {
        change!(self, auth_service.create_token, request)
    }

    /// Revokes a token.
    pub async fn revoke_token(
        &self,
        request: auth::TokenRequest,
    ) -> Result<auth::DoneReply, Error> {
        change!(self, auth_service.revoke_token, request)
    }

    /// Brings a revoked token back.
    pub async fn recover_token(
        &self,
        request: auth::TokenRequest,
    ) -> Result<auth::DoneReply, Error> {
        change!(self, auth_service.recover_token, request)
    }

    /// Signs a token with the newest secret.
    pub async fn renew_token(
        &self,
        request: auth::TokenRequest,
    ) -> Result<auth::TokenReply, Error> {
        change!(self, auth_service.renew_token, request)
    }

    /// Makes a new signing secret.
    pub async fn rotate_secret(
        &self,
        request: auth::RotateSecretRequest,
    ) -> Result<auth::RotateSecretReply, Error> {
        change!(self, auth_service.rotate_secret, request)
    }

    /// Sets a rate limit.
    pub async fn set_limit(
        &self,
        request: auth::SetLimitRequest,
    ) -> Result<auth::SetLimitReply, Error> {
        change!(self, auth_service.set_limit, request)
    }

    /// Removes a rate limit.
    pub async fn remove_limit(
        &self,
        request: auth::RemoveLimitRequest,
    ) -> Result<auth::DoneReply, Error> {
        change!(self, auth_service.remove_limit, request)
    }

    /// Sets the quota of a user.
    pub async fn set_quota(
        &self,
        request: auth::SetQuotaRequest,
    ) -> Result<auth::DoneReply, Error> {
        change!(self, auth_service.set_quota, request)
    }
}
