//! **Purpose**: one function per request that a cluster understands.

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
use tonic::transport::Channel;

use super::{Client, Error};
use crate::identity::Role;

/// Answers with long lists are larger than the 4 MiB that gRPC allows by default.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(super) fn jobs(channel: Channel) -> JobsClient<Channel> {
    JobsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}
fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}
fn sectors(channel: Channel) -> SectorsClient<Channel> {
    SectorsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// Asks: the request is the same each time it is repeated.
macro_rules! ask {
    ($client:expr, $service:ident.$method:ident, $request:expr) => {{
        let request = $request;
        $client
            .call(|channel| {
                let request = request.clone();
                async move { $service(channel).$method(request).await }
            })
            .await
    }};
}

/// Changes: the same, under a fresh (session, sequence).
macro_rules! change {
    ($client:expr, $service:ident.$method:ident, $request:expr) => {{
        let request = $request;
        $client
            .change(|channel, id| {
                let mut request = request.clone();
                request.id = Some(id);
                async move { $service(channel).$method(request).await }
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
}
