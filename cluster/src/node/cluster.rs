//! **Purpose**: the cluster service: status, membership, join tokens, executors; and enrolment.
//!
//! **Invariants**
//! - Enrolment is the only service without a client certificate; its one-time token is consumed by a
//!   replicated command before a certificate is signed.
//! - The secret of a token is shown once and never stored: the cluster keeps its hash.

use hesper_protos::cluster::cluster_server::Cluster;
use hesper_protos::cluster::enrolment_server::Enrolment;
use hesper_protos::cluster::{
    AddNodeReply, AddNodeRequest, CreateTokenReply, CreateTokenRequest, EnrolReply, EnrolRequest,
    ListExecutorsReply, ListExecutorsRequest, Node as ShownNode, RemoveNodeReply,
    RemoveNodeRequest, SetExecutorReply, SetExecutorRequest, StatusReply, StatusRequest,
    TransferLeaderReply, TransferLeaderRequest,
};
use hesper_scheduler as scheduler;
use hesper_scheduler::{Admission, JobStatus, SetAdmission};
use tonic::{Request, Response, Status};

use super::auth::Access;
use super::caller::Caller;
use super::enrolment::{Command, Reply, Role as TokenRole};
use super::machine::Proposer;
use super::{Node, Shared, convert};
use crate::identity::{JoinToken, Role, Subject, certificate_der};

/// A token lives so long unless something else is asked for.
const TOKEN_SECONDS: u64 = 3_600;
/// The longest life of a token.
const TOKEN_SECONDS_MAX: u64 = 30 * 24 * 3_600;

// What each method needs.
const STATUS: Access = Access::read("cluster", "Status", "look at the cluster");
const CREATE_TOKEN: Access = Access::admin("cluster", "CreateToken", "make join tokens");
const ADD_NODE: Access = Access::admin("cluster", "AddNode", "add nodes");
const REMOVE_NODE: Access = Access::admin("cluster", "RemoveNode", "remove nodes");
const TRANSFER_LEADER: Access = Access::admin("cluster", "TransferLeader", "move the leadership");
const LIST_EXECUTORS: Access = Access::read("cluster", "ListExecutors", "look at executors");
const SET_EXECUTOR: Access =
    Access::change("cluster", "SetExecutor", "change the admission of executors");

pub struct Service(pub Shared);

#[tonic::async_trait]
impl Cluster for Service {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        let caller = self.0.admit(&request, &STATUS).await?;
        if request.get_ref().linearizable {
            self.0.barrier().await?;
        }
        Ok(Response::new(status(&self.0, &caller)))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenReply>, Status> {
        let caller = self.0.admit(&request, &CREATE_TOKEN).await?;
        let request = request.into_inner();
        let role: Role = request.role.parse().map_err(|_| {
            Status::invalid_argument(format!(
                "`role` is `{}`; it is node, executor, client, admin or wallet",
                request.role
            ))
        })?;
        let seconds = match request.valid_seconds {
            0 => TOKEN_SECONDS,
            seconds => seconds.min(TOKEN_SECONDS_MAX),
        };
        let owner = if request.owner.is_empty() { caller.user.clone() } else { request.owner };
        // Found now, not when the token is spent.
        Subject::new("name", &owner, role)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let nodes = self.0.consensus.members().into_iter().map(|member| member.address).collect();
        let expires = super::leader::unix_millis().saturating_add(seconds.saturating_mul(1_000));
        let mut secret = [0; 16];
        getrandom::fill(&mut secret)
            .map_err(|error| Status::internal(format!("no random bytes: {error}")))?;
        let ca_der = certificate_der(self.0.authority.ca_pem())
            .map_err(|error| Status::internal(error.to_string()))?;
        let mut token = JoinToken { nodes, ca_der, secret, role, expires_at_ms: expires };
        let command = Command::CreateToken {
            secret_hash: token.secret_digest().to_vec(),
            role: TokenRole::parse(&role.to_string())
                .ok_or_else(|| Status::internal("a role without a token"))?,
            owner: owner.clone(),
            name: request.name,
            valid_ms: seconds * 1_000,
        };
        // Not under the request's id: a repetition has made another secret, and must not be answered
        // with the first one's reply. An orphan expires.
        let subject = format!("role {role}, owner {owner}");
        match self.0.propose_enrolment(&caller.proposer(), None, command).await? {
            Reply::TokenCreated { expires_at_ms } => {
                self.0.audit(&caller, "create join token", &subject, "done").await;
                token.expires_at_ms = expires_at_ms;
                let token = token.encode().map_err(|error| Status::internal(error.to_string()))?;
                Ok(Response::new(CreateTokenReply { token, expires_at_ms }))
            }
            other => Err(super::unexpected(&other)),
        }
    }

    async fn add_node(
        &self,
        request: Request<AddNodeRequest>,
    ) -> Result<Response<AddNodeReply>, Status> {
        let caller = self.0.admit(&request, &ADD_NODE).await?;
        let AddNodeRequest { node_id, address } = request.into_inner();
        let consensus = &self.0.consensus;
        consensus.add_learner(node_id, &address).await.map_err(membership_status)?;
        consensus.add_voter(node_id).await.map_err(membership_status)?;
        let subject = format!("node {node_id} at {address}");
        self.0.audit(&caller, "add node", &subject, "done").await;
        Ok(Response::new(AddNodeReply {}))
    }

    async fn remove_node(
        &self,
        request: Request<RemoveNodeRequest>,
    ) -> Result<Response<RemoveNodeReply>, Status> {
        let caller = self.0.admit(&request, &REMOVE_NODE).await?;
        let node_id = request.into_inner().node_id;
        let members = self.0.consensus.members();
        if !members.iter().any(|member| member.id == node_id) {
            return Err(Status::not_found(format!(
                "there is no node {node_id}; `hesper node status` shows the members"
            )));
        }
        if members.iter().filter(|member| member.is_voter).count() == 1 {
            return Err(Status::failed_precondition(
                "this is the last voter; a cluster without voters could decide nothing",
            ));
        }
        self.0.consensus.remove_node(node_id).await.map_err(membership_status)?;
        self.0.audit(&caller, "remove node", &format!("node {node_id}"), "done").await;
        Ok(Response::new(RemoveNodeReply {}))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        let caller = self.0.admit(&request, &TRANSFER_LEADER).await?;
        let node_id = request.into_inner().node_id;
        self.0.consensus.transfer_leader(node_id).await.map_err(membership_status)?;
        self.0.audit(&caller, "move leadership", &format!("to node {node_id}"), "done").await;
        Ok(Response::new(TransferLeaderReply {}))
    }

    async fn list_executors(
        &self,
        request: Request<ListExecutorsRequest>,
    ) -> Result<Response<ListExecutorsReply>, Status> {
        let caller = self.0.admit(&request, &LIST_EXECUTORS).await?;
        let name = request.into_inner().name;
        self.0.barrier().await?;
        let executors: Vec<_> = self.0.read(|machine| {
            machine
                .scheduler
                .executors()
                .filter(|(_, row)| caller.may_touch(&row.owner))
                .filter(|(_, row)| name.is_empty() || row.name == name)
                .map(|(id, row)| convert::shown_executor(&machine.scheduler, id, row))
                .collect()
        });
        if !name.is_empty() && executors.is_empty() {
            let rejected = scheduler::Rejected::UnknownExecutor { name };
            return Err(super::rejected_status(&rejected));
        }
        Ok(Response::new(ListExecutorsReply { executors }))
    }

    async fn set_executor(
        &self,
        request: Request<SetExecutorRequest>,
    ) -> Result<Response<SetExecutorReply>, Status> {
        let caller = self.0.admit(&request, &SET_EXECUTOR).await?;
        let SetExecutorRequest { id, name, admission: word, reason } = request.into_inner();
        let admission = match word.as_str() {
            "open" => Admission::Open,
            "cordoned" => Admission::Cordoned,
            "draining" => Admission::Draining,
            other => {
                return Err(Status::invalid_argument(format!(
                    "`admission` is `{other}`; it is open, cordoned or draining"
                )));
            }
        };
        let subject = format!("executor {name}: {word}");
        let command = scheduler::Command::SetAdmission(SetAdmission { name, admission, reason });
        match self.0.propose(&caller, id, command).await? {
            (_, scheduler::Reply::Done) => {}
            (_, other) => return Err(super::unexpected(&other)),
        }
        self.0.audit(&caller, "set admission", &subject, "done").await;
        Ok(Response::new(SetExecutorReply {}))
    }
}

fn membership_status(error: hesper_consensus::MembershipError) -> Status {
    Status::unavailable(error.to_string())
}

fn status(node: &Node, caller: &Caller) -> StatusReply {
    let status = node.consensus.status();
    let leadership = node.consensus.leadership().borrow().clone();
    let (leader_id, leader_address) = leadership.leader.clone().unwrap_or_default();
    let nodes = node
        .consensus
        .members()
        .into_iter()
        .map(|member| ShownNode {
            leader: member.id == leader_id,
            voter: member.is_voter,
            name: String::new(),
            matched_index: status
                .matched
                .iter()
                .find(|(id, _)| *id == member.id)
                .and_then(|(_, matched)| *matched)
                .unwrap_or(0),
            id: member.id,
            address: member.address,
        })
        .collect();
    let (counters, digests) = node.read(|machine| {
        let configuration = machine.scheduler.configuration();
        let mut counters = machine.scheduler.counters();
        if !caller.is_admin() {
            // How much others do is their business.
            let own = |status: JobStatus| {
                let jobs = machine.scheduler.jobs();
                let is_own = |view: &scheduler::JobView<'_>| view.row.owner == caller.user;
                let count = jobs.filter(is_own).filter(|view| view.status() == status).count();
                u64::try_from(count).unwrap_or(u64::MAX)
            };
            counters.jobs_pending = own(JobStatus::Pending);
            counters.jobs_running = own(JobStatus::Running);
        }
        (counters, configuration.verifying_key_digests.clone())
    });
    StatusReply {
        cluster_id: node.settings.cluster_id.clone(),
        node_id: node.settings.node_id,
        name: node.settings.name.clone(),
        leader_id,
        leader_address,
        term: leadership.term,
        last_log_index: status.last_log.unwrap_or(0),
        applied_index: status.applied.unwrap_or(0),
        flushed_index: status.flushed.unwrap_or(0),
        snapshot_index: status.snapshot.unwrap_or(0),
        state_hash: status.state_hash.to_string(),
        nodes,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        established: leadership.established.is_some(),
        verifying_key_digests: digests.into_iter().collect(),
        jobs_pending: counters.jobs_pending,
        jobs_running: counters.jobs_running,
        tasks_finished: counters.tasks_succeeded + counters.tasks_failed + counters.tasks_cancelled,
        fsyncs: status.fsyncs,
        entries: status.log_entries,
        commands: status.commands,
    }
}

/// Reached without a client certificate.
pub struct EnrolmentService(pub Shared);

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let node = &self.0;
        let request = request.into_inner();
        let role: Role = request.role.parse().map_err(|_| {
            Status::invalid_argument(format!("`role` is `{}`, which is none", request.role))
        })?;
        let digest = JoinToken::digest_of(&request.token)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Everything that can be wrong with the request is found before the token is spent.
        Subject::new(&request.name, "owner", role)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Nobody has proven anything yet: what cannot succeed must not reach the log.
        let is_known = || node.read(|machine| machine.enrolment.knows(&digest));
        if !is_known() {
            node.barrier().await?;
            if !is_known() {
                return Err(Status::failed_precondition(
                    "this join token is not known to the cluster; ask for a new one",
                ));
            }
        }
        let command = Command::UseToken {
            secret_hash: digest.to_vec(),
            role: TokenRole::parse(&role.to_string())
                .ok_or_else(|| Status::internal("a role without a token"))?,
            name: request.name.clone(),
        };
        let by = Proposer::node(&node.settings.name);
        let (owner, node_id, admitted) = match node.propose_enrolment(&by, None, command).await? {
            Reply::Admitted { owner, node_id, role } => (owner, node_id, role),
            other => return Err(super::unexpected(&other)),
        };
        let role: Role =
            admitted.word().parse().map_err(|_| Status::internal("a token without a role"))?;
        let subject = Subject::new(&request.name, &owner, role)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let certificate_pem = node
            .authority
            .sign(&request.csr_pem, &subject)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        tracing::info!(name = request.name, role = admitted.word(), "enrolled");
        let ca_key_pem =
            if role == Role::Node { node.authority.key_pem().to_owned() } else { String::new() };
        Ok(Response::new(EnrolReply {
            certificate_pem,
            ca_pem: node.authority.ca_pem().to_owned(),
            cluster_id: node.settings.cluster_id.clone(),
            node_id,
            ca_key_pem,
            node_addresses: node
                .consensus
                .members()
                .into_iter()
                .map(|member| member.address)
                .collect(),
        }))
    }
}
