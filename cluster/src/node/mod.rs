//! **Purpose**: a pool node: the services of the edge, the leader's shell, and the replicated machine.
//!
//! **Invariants**
//! - A change is proposed to the log and answered only when it is applied; nothing is decided here.
//! - Only the established leader plans, and talks to executors.

mod auth;
mod caller;
mod cluster;
mod convert;
mod enrolment;
mod executors;
mod guard;
mod jobs;
mod leader;
mod local;
mod machine;
mod metrics;
mod rest;
mod run;
mod sectors;
mod sessions;
mod wallets;

use std::sync::Arc;
use std::time::Duration;

use hesper_consensus::{Consensus, LeadershipToken, LogIndex, ProposeError, ReadError, Request};
use hesper_protos::job::RequestId;
use hesper_scheduler as scheduler;
use hesper_scheduler::Rejected;
use parking_lot::Mutex;
use tonic::Status;
use tonic::transport::Channel;

use crate::identity::{Authority, Identity};

pub use machine::ClusterMachine;
pub use run::run;

use caller::Caller;
use machine::{Command, Proposer, Reply};
use sessions::Sessions;

/// How long a request may wait for the log, leader changes included.
const PROPOSE_DEADLINE: Duration = Duration::from_secs(20);

/// What every service of this node shares.
pub struct Node {
    consensus: Consensus,
    sessions: Sessions,
    /// Wakes the planner of the leader.
    planner: tokio::sync::Notify,
    settings: Settings,
    identity: Identity,
    authority: Authority,
    /// The channel to the last leader that requests were passed on to.
    leader_link: Mutex<Option<(String, Channel)>>,
    /// Judges callers.
    auth: auth::Auth,
    wallets: wallets::Wallets,
}

/// The part of the configuration that services look at.
struct Settings {
    name: String,
    node_id: u64,
    cluster_id: String,
    /// An executor that was silent for so long counts as disconnected.
    executor_silence: Duration,
    /// What this node configures when it leads.
    configuration: scheduler::ConfigurationChange,
}

impl Node {
    /// Proposes a command of the scheduler for `caller`, through whichever node leads.
    async fn propose(
        &self,
        caller: &Caller,
        id: Option<RequestId>,
        command: scheduler::Command,
    ) -> Result<(LogIndex, scheduler::Reply), Status> {
        let proposer = caller.proposer();
        match self.propose_any(&proposer, id, &Command::Scheduler(Box::new(command))).await? {
            (_, Reply::Scheduler(scheduler::Reply::Rejected(rejected))) => {
                Err(rejected_status(&rejected))
            }
            (index, Reply::Scheduler(reply)) => Ok((index, reply)),
            (_, other) => Err(unexpected(&other)),
        }
    }

    async fn propose_enrolment(
        &self,
        proposer: &Proposer,
        id: Option<RequestId>,
        command: enrolment::Command,
    ) -> Result<enrolment::Reply, Status> {
        match self.propose_any(proposer, id, &Command::Enrolment(command)).await?.1 {
            Reply::Enrolment(enrolment::Reply::Rejected { message }) => {
                Err(Status::failed_precondition(message))
            }
            Reply::Enrolment(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    async fn propose_any(
        &self,
        proposer: &Proposer,
        id: Option<RequestId>,
        command: &Command,
    ) -> Result<(LogIndex, Reply), Status> {
        let session = id.filter(|id| id.session != 0).map(|id| (id.session, id.sequence));
        let request =
            Request { session, principal: proposer.encode(), command: command.encode().into() };
        let applied =
            self.consensus.propose(request, PROPOSE_DEADLINE).await.map_err(propose_status)?;
        let reply =
            Reply::decode(&applied.reply).map_err(|error| Status::internal(error.to_string()))?;
        Ok((applied.index, reply))
    }

    /// Proposes as the leader of `token`; fails as soon as another one leads.
    async fn propose_as_leader(
        &self,
        token: LeadershipToken,
        command: scheduler::Command,
    ) -> Result<scheduler::Reply, Status> {
        let request = Request {
            session: None,
            principal: Proposer::node(&self.settings.name).encode(),
            command: Command::Scheduler(Box::new(command)).encode().into(),
        };
        let applied =
            self.consensus.propose_as_leader(request, token).await.map_err(propose_status)?;
        match Reply::decode(&applied.reply) {
            Ok(Reply::Scheduler(reply)) => Ok(reply),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    /// Waits until this node has applied everything that was acknowledged before the call.
    async fn barrier(&self) -> Result<(), Status> {
        self.consensus.read_barrier().await.map(|_| ()).map_err(|error| match error {
            ReadError::Stopped(_) => Status::unavailable(error.to_string()),
            other => Status::unavailable(other.to_string()),
        })
    }

    /// Looks at the applied state of this node.
    fn read<R>(&self, look: impl FnOnce(&ClusterMachine) -> R) -> R {
        self.consensus.read(|machine| {
            let machine = machine
                .as_any()
                .downcast_ref::<ClusterMachine>()
                .expect("the factory of this node makes nothing else");
            look(machine)
        })
    }

    /// The key that the executors of one owner check transfers with. Derived, so that no owner's
    /// machine can make rights for another owner's files.
    fn transfer_key(&self, owner: &str) -> Result<[u8; 32], Status> {
        let key = self.read(|machine| machine.enrolment.constants().transfer_key.clone());
        let key = <[u8; 32]>::try_from(key.as_slice())
            .map_err(|_| Status::unavailable("the cluster has not been founded yet; try again"))?;
        Ok(*blake3::keyed_hash(&key, owner.as_bytes()).as_bytes())
    }

    /// The token of this node's leadership, while it is established.
    fn leading(&self) -> Option<LeadershipToken> {
        self.consensus.leadership().borrow().established
    }

    /// A channel to the leader, when another node leads.
    fn leader_channel(&self) -> Result<Option<Channel>, Status> {
        let leadership = self.consensus.leadership().borrow().clone();
        match leadership.leader {
            Some((id, _)) if id == self.settings.node_id => Ok(None),
            Some((_, address)) => {
                let mut link = self.leader_link.lock();
                if let Some((known, channel)) = &*link
                    && *known == address
                {
                    return Ok(Some(channel.clone()));
                }
                let channel = connect(&self.identity, &address)?;
                *link = Some((address, channel.clone()));
                Ok(Some(channel))
            }
            None => Err(Status::unavailable("the cluster has no leader at the moment; try again")),
        }
    }
}

/// A lazy channel to another node or executor.
fn connect(identity: &Identity, address: &str) -> Result<Channel, Status> {
    let tls = crate::identity::client_tls(identity, crate::identity::Expect::Any);
    crate::identity::endpoint(address, &tls)
        .map(|endpoint| endpoint.connect_lazy())
        .map_err(|error| Status::unavailable(error.to_string()))
}

fn propose_status(error: ProposeError) -> Status {
    let message = error.to_string();
    match error {
        ProposeError::SessionExpired | ProposeError::SequenceTooOld => {
            let mut status = Status::aborted(message);
            status.metadata_mut().insert(
                "hesper-error",
                "session-expired".parse().expect("a literal is a metadata value"),
            );
            status
        }
        ProposeError::Busy { .. } | ProposeError::TooManySessions => {
            Status::resource_exhausted(message)
        }
        ProposeError::TooLarge { .. } => Status::invalid_argument(message),
        _ => Status::unavailable(message),
    }
}

fn rejected_status(rejected: &Rejected) -> Status {
    let message = rejected.to_string();
    match rejected {
        Rejected::NotAllowed { .. } | Rejected::MinerOwned { .. } | Rejected::OwnerHeld { .. } => {
            Status::permission_denied(message)
        }
        Rejected::UnknownJob { .. }
        | Rejected::JobExpired { .. }
        | Rejected::UnknownTask { .. }
        | Rejected::UnknownExecutor { .. }
        | Rejected::UnknownSector { .. } => Status::not_found(message),
        Rejected::QueueFull { .. } | Rejected::QuotaExceeded { .. } => {
            Status::resource_exhausted(message)
        }
        Rejected::UnknownDependency { .. }
        | Rejected::Cycle { .. }
        | Rejected::BadField { .. }
        | Rejected::PieceTooLarge { .. }
        | Rejected::TooLarge { .. } => Status::invalid_argument(message),
        Rejected::SectorExists { .. } => Status::already_exists(message),
        Rejected::SectorNotReady { .. }
        | Rejected::IdentityInUse { .. }
        | Rejected::ExecutorOwned { .. }
        | Rejected::VerifyingKeyMismatch { .. }
        | Rejected::StaleIncarnation { .. } => Status::failed_precondition(message),
    }
}

fn unexpected(reply: &impl std::fmt::Debug) -> Status {
    Status::internal(format!("the machine gave an answer of another command: {reply:?}"))
}

/// Shared by the services; each is a thin handle.
type Shared = Arc<Node>;
