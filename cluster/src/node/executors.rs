//! **Purpose**: the service that executors dial into.
//!
//! **Invariants**
//! - A stream is accepted only by the established leader and only for the name in the certificate.
//! - A report is acknowledged only after it was applied.

use std::sync::Arc;
use std::time::Duration;

use hesper_consensus::LeadershipToken;
use hesper_protos::executor::executors_server::Executors;
use hesper_protos::executor::{
    Ack, ExecutorMessage, Heartbeat, Hello, NodeMessage, NotLeader, Refused, ReportBatch, Welcome,
    executor_message, node_message,
};
use hesper_scheduler as scheduler;
use hesper_scheduler::{ExecutorId, Reply};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::sessions::StreamSerial;
use super::{Node, Shared, convert, leader};
use crate::identity::Role;

/// The protocol that this node speaks.
const PROTOCOL_VERSION: u32 = 1;
/// How long an executor may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Heartbeats in both directions; silence is judged by the configured patience.
const HEARTBEAT_MS: u32 = 1_000;

pub struct Service(pub Shared);

type Outgoing = ReceiverStream<Result<NodeMessage, Status>>;

#[tonic::async_trait]
impl Executors for Service {
    type SessionStream = Outgoing;

    async fn session(
        &self,
        request: Request<Streaming<ExecutorMessage>>,
    ) -> Result<Response<Outgoing>, Status> {
        let caller = self.0.authenticate(&request)?;
        caller.require_role(&[Role::Executor], "open an executor session")?;
        let mut incoming = request.into_inner();
        let hello = first_message(&mut incoming).await?;
        let node = Arc::clone(&self.0);
        let Some(token) = node.leading() else {
            return Ok(Response::new(only(not_leader(&node))));
        };
        check_hello(&hello, &caller)?;
        let instance = hello.instance.clone();
        let incarnation = hello.incarnation;
        if let Some((id, _)) = node.read(|machine| {
            machine.scheduler.executor_by_name(&hello.name).map(|(id, row)| (id, row.incarnation))
        }) && node.sessions.taken_by_other(id.0, &instance, node.settings.executor_silence)
        {
            return Ok(Response::new(only(refused(
                "identity_in_use",
                format!(
                    "an executor named `{}` is connected from another data directory; stop that \
                     one, or enrol this one under another name",
                    hello.name
                ),
            ))));
        }
        let executor = match register(&node, token, &caller, hello).await? {
            Ok(executor) => executor,
            Err(answer) => return Ok(Response::new(only(answer))),
        };
        let key = node.transfer_key(&caller.user)?;
        let session = Session { token, executor, instance, incarnation, key, caller };
        Ok(Response::new(open(node, session, incoming)))
    }
}

async fn first_message(incoming: &mut Streaming<ExecutorMessage>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the executor did not say who it is in time"))??;
    match first.and_then(|message| message.message) {
        Some(executor_message::Message::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument("a session begins with `hello`")),
    }
}

fn check_hello(hello: &Hello, caller: &Caller) -> Result<(), Status> {
    if hello.protocol_version != PROTOCOL_VERSION {
        return Err(Status::failed_precondition(format!(
            "this executor speaks protocol {}, the node {PROTOCOL_VERSION}; install the same \
             version on both",
            hello.protocol_version
        )));
    }
    if hello.name != caller.name {
        return Err(Status::permission_denied(format!(
            "the certificate is that of `{}`, the executor calls itself `{}`; enrol it under its \
             own name",
            caller.name, hello.name
        )));
    }
    Ok(())
}

/// Makes the executor known to the cluster; the inner error is the answer to give instead.
async fn register(
    node: &Node,
    token: LeadershipToken,
    caller: &Caller,
    hello: Hello,
) -> Result<Result<ExecutorId, node_message::Message>, Status> {
    let command = scheduler::Command::RegisterExecutor(convert::register(hello, caller)?);
    match node.propose_as_leader(token, command).await? {
        Reply::Registered { executor } => Ok(Ok(executor)),
        Reply::Rejected(rejected) => match rejected.retry() {
            scheduler::Retry::GiveUp => Ok(Err(refused("refused", rejected.to_string()))),
            scheduler::Retry::After { .. } => Err(Status::unavailable(rejected.to_string())),
        },
        other => Err(super::unexpected(&other)),
    }
}

fn not_leader(node: &Node) -> node_message::Message {
    let leadership = node.consensus.leadership().borrow().clone();
    let leader_address = match leadership.leader {
        // Elected but not established yet: come again.
        Some((id, _)) if id == node.settings.node_id => String::new(),
        Some((_, address)) => address,
        None => String::new(),
    };
    let node_addresses =
        node.consensus.members().into_iter().map(|member| member.address).collect();
    node_message::Message::NotLeader(NotLeader { leader_address, node_addresses })
}

fn refused(code: &str, message: String) -> node_message::Message {
    node_message::Message::Refused(Refused { code: code.to_owned(), message })
}

/// A stream of one message.
fn only(message: node_message::Message) -> Outgoing {
    let (sender, receiver) = mpsc::channel(1);
    sender
        .try_send(Ok(NodeMessage { message: Some(message) }))
        .expect("a new channel takes one message");
    ReceiverStream::new(receiver)
}

/// A registered executor whose stream is about to be served.
struct Session {
    token: LeadershipToken,
    executor: ExecutorId,
    instance: String,
    incarnation: u64,
    /// Its owner's key of transfers.
    key: [u8; 32],
    caller: Caller,
}

/// Welcomes the executor, tells it what the state says, and serves the stream until it ends.
fn open(node: Shared, session: Session, mut incoming: Streaming<ExecutorMessage>) -> Outgoing {
    let Session { token, executor, instance, incarnation, key, caller } = session;
    let (to_wire, on_wire) = mpsc::channel(64);
    let (stream, mut outgoing) = node.sessions.open(executor.0, instance, incarnation);
    node.sessions.send(
        executor.0,
        node_message::Message::Welcome(Welcome {
            executor_id: executor.0,
            cluster_id: node.settings.cluster_id.clone(),
            term: token.term,
            heartbeat_ms: HEARTBEAT_MS,
            transfer_key: key.to_vec().into(),
        }),
    );
    leader::retell(&node, executor);
    node.planner.notify_one();
    tracing::info!(executor_id = executor.0, "executor connected");
    tokio::spawn(async move {
        let mut heartbeat = tokio::time::interval(Duration::from_millis(u64::from(HEARTBEAT_MS)));
        let (reports_in, reports_out) = mpsc::channel(64);
        let reporter = tokio::spawn(report(
            Arc::clone(&node),
            token,
            executor,
            stream,
            incarnation,
            reports_out,
        ));
        let refused = node.until_refused(&caller);
        tokio::pin!(refused);
        loop {
            tokio::select! {
                biased;
                // The executor keeps what it holds and asks again until its user is enabled.
                status = &mut refused => {
                    let _ = to_wire.try_send(Err(status));
                    break;
                }
                message = outgoing.recv() => match message {
                    // Dropped by the registry: replaced, stuck, or this node leads no more.
                    None => break,
                    Some(message) => if to_wire.send(Ok(message)).await.is_err() { break },
                },
                message = incoming.next() => match message {
                    Some(Ok(message)) => {
                        node.sessions.heard(executor.0);
                        if take(&node, executor, message, &reports_in).await.is_err() { break }
                    }
                    Some(Err(_)) | None => break,
                },
                _ = heartbeat.tick() => {
                    // Opened while this node stepped down: the executor belongs to another leader.
                    if node.leading() != Some(token) { break }
                    let beat = node_message::Message::Heartbeat(Heartbeat { sequence: 0 });
                    if to_wire.try_send(Ok(NodeMessage { message: Some(beat) })).is_err()
                        && to_wire.is_closed() { break }
                }
            }
        }
        drop(reports_in);
        reporter.abort();
        if node.sessions.close(executor.0, stream) {
            tracing::info!(executor_id = executor.0, "executor disconnected");
            leader::disconnected(&node, token, executor.0, incarnation).await;
        }
    });
    ReceiverStream::new(on_wire)
}

/// The stream is to end.
struct Ended;

async fn take(
    node: &Node,
    executor: ExecutorId,
    message: ExecutorMessage,
    reports: &mpsc::Sender<ReportBatch>,
) -> Result<(), Ended> {
    match message.message {
        Some(executor_message::Message::Reports(batch)) => {
            reports.send(batch).await.map_err(|_| Ended)?;
        }
        Some(executor_message::Message::Progress(progress)) => {
            node.sessions.set_progress(executor.0, progress);
        }
        Some(executor_message::Message::Output(chunk)) => {
            node.sessions.answer_read(executor.0, chunk);
        }
        Some(executor_message::Message::Heartbeat(_)) => {}
        Some(executor_message::Message::Hello(_)) | None => {
            tracing::warn!(executor_id = executor.0, "message out of place, closing the stream");
            return Err(Ended);
        }
    }
    Ok(())
}

/// Proposes reports in their order and acknowledges them. Ends on the first failure: the executor
/// keeps what is not acknowledged and sends it again on its next stream.
async fn report(
    node: Shared,
    token: LeadershipToken,
    executor: ExecutorId,
    stream: StreamSerial,
    incarnation: u64,
    mut batches: mpsc::Receiver<ReportBatch>,
) {
    while let Some(batch) = batches.recv().await {
        let mut reports = batch.reports;
        // What arrived meanwhile goes into the same entry.
        while reports.len() < convert::REPORTS_MAX / 2 {
            match batches.try_recv() {
                Ok(more) => reports.extend(more.reports),
                Err(_) => break,
            }
        }
        for part in reports.chunks(convert::REPORTS_MAX) {
            if let Err(error) = report_part(&node, token, executor, incarnation, part).await {
                tracing::warn!(executor_id = executor.0, %error, "reports were not taken");
                node.sessions.close(executor.0, stream);
                return;
            }
        }
    }
}

async fn report_part(
    node: &Node,
    token: LeadershipToken,
    executor: ExecutorId,
    incarnation: u64,
    part: &[hesper_protos::executor::Report],
) -> Result<(), Status> {
    let command = convert::reports(executor, incarnation, part)?;
    let ended: Vec<u64> = command.ended().collect();
    let command = scheduler::Command::Report(command.batch);
    match node.propose_as_leader(token, command).await? {
        Reply::Reported { through, .. } => {
            for token in ended {
                node.sessions.end_progress(executor.0, token);
            }
            node.sessions.send(executor.0, node_message::Message::Ack(Ack { through }));
            Ok(())
        }
        Reply::Rejected(rejected) => Err(Status::failed_precondition(rejected.to_string())),
        other => Err(super::unexpected(&other)),
    }
}
