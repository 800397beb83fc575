//! **Purpose**: the agent: takes leases from the leading node, has them run, reports how they ended.
//!
//! **Invariants**
//! - One task owns the state; everything else talks to it in [`Event`]s.
//! - A report is in the outbox before it is sent and before the supervisor may forget the attempt.
//! - Starting comes before reporting: a turn first hands new work to the supervisor.
//! - Losing the session, or stopping the agent, ends no attempt.
//! - A token is started once, however often it is sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hesper_protos::executor as wire;
use hesper_protos::executor::{executor_message, node_message, report};
use parking_lot::RwLock;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::ServerTlsConfig;

use crate::config::{Config, Connect, Runner};
use crate::error::AgentError;
use crate::link::{self, Link};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::protocol::{LeaseSpec, Notice, Request, State};
use crate::recent::Recent;
use crate::session::{self, Session};
use crate::storage::Storage;
use crate::supervisor::control;
use crate::{reading, resources, stage, transfer};

/// A start that is followed by its end within this time is not reported on its own.
const STARTED_HELD: Duration = Duration::from_millis(100);
/// How long a report waits for its acknowledgement before it costs a sync.
const SYNC_AFTER: Duration = Duration::from_millis(50);
/// Unacknowledged reports on their way, and in one message.
const IN_FLIGHT_MAX: u64 = 8_192;
const BATCH_MAX: usize = 1_024;
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_POLL: Duration = Duration::from_millis(20);
const EVENTS: usize = 1_024;
/// How often the room on storage paths is looked at.
const PATHS_EVERY: Duration = Duration::from_secs(30);

/// What the agent's parts share.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) storage: Storage,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) connect: Arc<dyn Connect>,
    /// Own id and the cluster's transfer key, once a node has told them.
    pub(crate) identity: RwLock<Option<(u64, [u8; 32])>>,
    /// Made once for the data directory.
    pub(crate) instance: String,
}

/// Something happened to the agent.
pub(crate) enum Event {
    SessionUp(Session),
    Node {
        session: u64,
        message: node_message::Message,
    },
    SessionDown {
        session: u64,
        reason: String,
    },
    Refused {
        code: String,
        message: String,
    },
    Supervisor(Vec<Notice>),
    SupervisorGone,
    SupervisorUp(Box<link::Opened>),
    SupervisorFailed(std::io::Error),
    /// A stage has its inputs and may run.
    Prepared {
        token: u64,
        lease: Box<LeaseSpec>,
    },
    /// One of several attempts in a process has left its report.
    MemberEnded {
        token: u64,
    },
    /// An attempt has ended for good; the supervisor may forget it.
    Settled(Box<wire::Finished>),
    Progress(wire::Progress),
    Synced(std::io::Result<()>),
}

mod flow;
mod group;
mod lease;
mod supervised;

/// Runs the agent until `shutdown` turns true or a node refuses it.
///
/// # Errors
/// See [`AgentError`]; running attempts go on under the supervisor in every case.
pub async fn run(
    config: Config,
    connect: Arc<dyn Connect>,
    server_tls: Option<ServerTlsConfig>,
    mut shutdown: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
) -> Result<(), AgentError> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(AgentError::Config { problems });
    }
    let (mut config, _lock) = take_directory(config).await?;
    let opened = match config.runner {
        Runner::Process => Some(open_link(&config, &metrics).await?),
        Runner::NoOp => None,
    };
    let live = opened.as_ref().map(|opened| known(&opened.state)).unwrap_or_default();
    let data_dir = |source| AgentError::DataDir { dir: config.data_dir.clone(), source };
    let storage = Storage::open(&config, |token| live.contains(&token)).map_err(data_dir)?;
    let outbox = Outbox::open(&config.data_dir).map_err(data_dir)?;
    let instance = control::instance(&config.data_dir).map_err(data_dir)?;
    let listener = transfer::bind(config.listen).await?;
    if config.transfer_address.is_empty() {
        let bound = listener
            .local_addr()
            .map_err(|source| AgentError::Listen { address: config.listen, source })?;
        config.transfer_address = bound.to_string();
    }
    let context = Arc::new(Context {
        config,
        storage,
        metrics,
        connect,
        identity: RwLock::new(None),
        instance,
    });
    let mut tasks = JoinSet::new();
    transfer::serve(&context, listener, server_tls, &mut tasks)?;
    let (sender, mut events) = mpsc::channel(EVENTS);
    let mut agent = Agent::new(context, outbox, sender, tasks);
    if let Some(opened) = opened {
        agent.link_up(opened);
    }
    let mut batch = Vec::with_capacity(EVENTS);
    let ended = loop {
        agent.dial();
        let wake = agent.next_wake();
        tokio::select! {
            _ = events.recv_many(&mut batch, EVENTS) => {}
            () = sleep_until(wake) => {}
            // A dropped sender is a process that goes down: the same.
            _ = shutdown.wait_for(|stop| *stop) => break Ok(()),
        }
        for event in batch.drain(..) {
            agent.handle(event)?;
        }
        if let Some(refused) = agent.refused.take() {
            break Err(refused);
        }
        agent.pass_time();
        agent.flush()?;
    };
    agent.flush()?;
    let path = agent.outbox.path().to_owned();
    agent.outbox.note_floor().map_err(|source| AgentError::Outbox { path, source })?;
    ended
}

async fn take_directory(mut config: Config) -> Result<(Config, control::Lock), AgentError> {
    let failed = |source| AgentError::DataDir { dir: config.data_dir.clone(), source };
    std::fs::create_dir_all(&config.data_dir).map_err(failed)?;
    let dir = config.data_dir.canonicalize_utf8().map_err(failed)?;
    let patience = Instant::now() + LOCK_PATIENCE;
    let lock = loop {
        match control::lock(&dir, control::AGENT_LOCK).map_err(failed)? {
            Ok(lock) => break lock,
            // A child that was being started when its agent went holds a copy of the lock until its
            // exec is through.
            Err(_) if Instant::now() < patience => sleep(LOCK_POLL).await,
            Err(holder) => return Err(AgentError::Locked { dir, holder }),
        }
    };
    config.data_dir = dir;
    Ok((config, lock))
}

async fn open_link(config: &Config, metrics: &Metrics) -> Result<link::Opened, AgentError> {
    let opened = link::open(config).await.map_err(|error| AgentError::Supervisor {
        dir: config.data_dir.clone(),
        reason: error.to_string(),
    })?;
    if opened.started {
        Metrics::add(&metrics.supervisor_starts, 1);
    }
    Ok(opened)
}

/// Attempts that the supervisor runs, will run, or has unconfirmed ends of.
fn known(state: &State) -> BTreeSet<u64> {
    let live = state.running.iter().chain(&state.queued).map(|live| live.token);
    live.chain(state.ended.iter().map(|ended| ended.token)).collect()
}

/// Where an attempt stands; it is forgotten when its end is in the outbox.
enum Phase {
    /// Inputs are being fetched.
    Preparing(AbortHandle),
    /// With the supervisor, queued.
    Queued,
    /// With the supervisor, running; stages have a task that follows their progress.
    Running(Option<AbortHandle>),
    /// Its process has ended; its result is being read.
    Settling,
}

struct Agent {
    context: Arc<Context>,
    outbox: Outbox,
    events: mpsc::Sender<Event>,
    /// Aborted when the agent is dropped.
    tasks: JoinSet<()>,
    link: Option<Link>,
    is_linking: bool,
    /// For the supervisor, sent at the end of the turn or when it is back.
    requests: Vec<Request>,
    supervisor_boot_id: String,
    notes: Vec<String>,
    attempts: HashMap<u64, Phase>,
    /// Groups of which some inputs are still being fetched, by their first attempt.
    forming: BTreeMap<u64, group::Forming>,
    /// Attempts with the supervisor that share a process.
    members: BTreeMap<u64, stage::Member>,
    /// Whether the supervisor can run several attempts in one process.
    has_lockstep: bool,
    recent: Recent,
    session: Option<Session>,
    dialer: Option<JoinHandle<()>>,
    sessions: u64,
    incarnation: u64,
    sent_through: u64,
    heartbeat_at: Option<Instant>,
    heartbeats: u64,
    started_held: BTreeMap<u64, (Instant, wire::Started)>,
    reports: Vec<report::Report>,
    confirms: Vec<u64>,
    sync_at: Option<Instant>,
    is_syncing: bool,
    /// When a write to a full disc is tried again.
    retry_at: Option<Instant>,
    paths_at: Instant,
    paths_told: Vec<wire::StoragePath>,
    refused: Option<AgentError>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(dialer) = self.dialer.take() {
            dialer.abort();
        }
    }
}

impl Agent {
    fn new(
        context: Arc<Context>,
        outbox: Outbox,
        events: mpsc::Sender<Event>,
        tasks: JoinSet<()>,
    ) -> Agent {
        let paths_told = context.storage.report();
        let recent = ended_in(&outbox);
        Agent {
            context,
            outbox,
            events,
            tasks,
            link: None,
            is_linking: false,
            requests: Vec::new(),
            supervisor_boot_id: String::new(),
            notes: Vec::new(),
            attempts: HashMap::new(),
            forming: BTreeMap::new(),
            members: BTreeMap::new(),
            has_lockstep: false,
            recent,
            session: None,
            dialer: None,
            sessions: 0,
            incarnation: control::random_u64(),
            sent_through: 0,
            heartbeat_at: None,
            heartbeats: 0,
            started_held: BTreeMap::new(),
            reports: Vec::new(),
            confirms: Vec::new(),
            sync_at: None,
            is_syncing: false,
            retry_at: None,
            paths_at: Instant::now() + PATHS_EVERY,
            paths_told,
            refused: None,
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), AgentError> {
        match event {
            Event::SessionUp(session) => self.session_up(session),
            Event::Node { session, message }
                if self.session.as_ref().is_some_and(|open| open.id == session) =>
            {
                self.node_said(message)?;
            }
            Event::Node { .. } => {} // of a session that is over
            Event::SessionDown { session, reason } => {
                tracing::info!(session, reason, "session ended");
                self.session = None;
                self.dialer = None;
                self.heartbeat_at = None;
                Metrics::set(&self.context.metrics.session_up, 0);
            }
            Event::Refused { code, message } => {
                self.refused = Some(AgentError::Refused { code, message })
            }
            Event::Supervisor(notices) => {
                notices.into_iter().for_each(|notice| self.noticed(notice))
            }
            Event::SupervisorGone => {
                tracing::warn!("the supervisor is gone; another one is started");
                self.link = None;
                self.relink();
            }
            Event::SupervisorUp(opened) => {
                self.is_linking = false;
                if opened.started {
                    Metrics::add(&self.context.metrics.supervisor_starts, 1);
                }
                self.link_up(*opened);
            }
            Event::SupervisorFailed(error) => {
                self.refused = Some(AgentError::Supervisor {
                    dir: self.context.config.data_dir.clone(),
                    reason: error.to_string(),
                });
            }
            Event::Prepared { token, lease } => {
                // Not there: cancelled meanwhile, and reported so.
                if matches!(self.attempts.get(&token), Some(Phase::Preparing(_))) {
                    self.prepared(token, *lease);
                }
            }
            Event::MemberEnded { token } => self.member_ended(token),
            Event::Settled(finished) => {
                if self.attempts.contains_key(&finished.token) {
                    self.report_finished(*finished);
                }
            }
            Event::Progress(progress) => {
                if let Some(session) = &self.session {
                    // Best effort: a full queue means that better things are on their way.
                    let _ = session
                        .out
                        .try_send(message(executor_message::Message::Progress(progress)));
                }
            }
            Event::Synced(result) => {
                self.is_syncing = false;
                result.map_err(|source| AgentError::Outbox {
                    path: self.outbox.path().to_owned(),
                    source,
                })?;
            }
        }
        Ok(())
    }

    // ---- session ----

    /// Starts a dialer when there is neither a session nor one on its way.
    fn dial(&mut self) {
        if self.dialer.is_some() || self.refused.is_some() {
            return;
        }
        self.sessions += 1;
        self.dialer = Some(tokio::spawn(session::run(
            self.sessions,
            self.hello(),
            self.context.config.nodes.clone(),
            Arc::clone(&self.context.connect),
            self.events.clone(),
        )));
    }

    fn hello(&self) -> wire::Hello {
        let config = &self.context.config;
        let mut held: Vec<u64> = self.attempts.keys().copied().collect();
        let written = self.outbox.pending().filter_map(|pending| pending.report.as_ref());
        held.extend(written.chain(&self.reports).filter_map(|report| match report {
            report::Report::Finished(finished) => Some(finished.token),
            report::Report::Started(_) | report::Report::Gone(_) | report::Report::Path(_) => None,
        }));
        held.sort_unstable();
        held.dedup();
        wire::Hello {
            protocol_version: 1,
            name: config.name.clone(),
            incarnation: self.incarnation,
            supervisor_boot_id: self.supervisor_boot_id.clone(),
            machine_boot_id: control::machine_boot_id(),
            resources: Some(resources::offered(&config.resources)),
            paths: self.context.storage.report(),
            transfer_address: config.transfer_address.clone(),
            capabilities: resources::capabilities(&config.capabilities),
            verifying_key_digests: config.verifying_key_digests.clone().into_iter().collect(),
            held_tokens: held,
            notes: self.notes.clone(),
            instance: self.context.instance.clone(),
        }
    }

    fn session_up(&mut self, session: Session) {
        let welcome = &session.welcome;
        match <[u8; 32]>::try_from(welcome.transfer_key.as_ref()) {
            Ok(key) => *self.context.identity.write() = Some((welcome.executor_id, key)),
            Err(_) => tracing::warn!(
                "the node gave no transfer key; no files can be read from or by others"
            ),
        }
        Metrics::add(&self.context.metrics.sessions_opened, 1);
        Metrics::set(&self.context.metrics.session_up, 1);
        self.sent_through = 0;
        self.heartbeat_at = Some(Instant::now());
        self.session = Some(session);
    }

    fn node_said(&mut self, message: node_message::Message) -> Result<(), AgentError> {
        match message {
            node_message::Message::Start(batch) => {
                batch.leases.into_iter().for_each(|lease| self.start(lease))
            }
            node_message::Message::Cancel(batch) => {
                batch.cancels.into_iter().for_each(|cancel| self.cancel(&cancel));
            }
            node_message::Message::Ack(ack) => {
                self.outbox.acknowledge(ack.through).map_err(|source| AgentError::Outbox {
                    path: self.outbox.path().to_owned(),
                    source,
                })?;
            }
            node_message::Message::ReadOutput(request) => self.read_output(request),
            node_message::Message::Collect(collect) => self.collect(collect.tokens),
            // The pump has dealt with these.
            node_message::Message::Heartbeat(_)
            | node_message::Message::Welcome(_)
            | node_message::Message::NotLeader(_)
            | node_message::Message::Refused(_) => {}
        }
        Ok(())
    }

    // ---- reading and removing ----

    fn read_output(&mut self, request: wire::ReadOutput) {
        let Some(session) = &self.session else { return };
        let (context, out) = (Arc::clone(&self.context), session.out.clone());
        let is_running = matches!(self.attempts.get(&request.token), Some(Phase::Running(_)));
        let is_known = self.attempts.contains_key(&request.token);
        self.tasks.spawn(async move {
            let read = tokio::task::spawn_blocking(move || {
                reading::output(&context.storage, &request, is_known, is_running)
            });
            if let Ok(chunk) = read.await {
                // A closed stream has nobody left who asked.
                let _ = out.send(message(executor_message::Message::Output(chunk))).await;
            }
        });
    }

    fn collect(&mut self, tokens: Vec<u64>) {
        let held: Vec<u64> =
            tokens.iter().copied().filter(|token| self.attempts.contains_key(token)).collect();
        let context = Arc::clone(&self.context);
        self.tasks.spawn_blocking(move || {
            if let Err(error) = context.storage.collect(&tokens, |token| held.contains(&token)) {
                tracing::warn!(%error, "some directories of dead attempts could not be removed; they stay");
            }
        });
    }
}

fn message(message: executor_message::Message) -> wire::ExecutorMessage {
    wire::ExecutorMessage { message: Some(message) }
}

/// Attempts whose end waits in the outbox: a node that has not read it yet may order them again.
fn ended_in(outbox: &Outbox) -> Recent {
    let mut recent = Recent::default();
    for pending in outbox.pending() {
        match &pending.report {
            Some(report::Report::Finished(finished)) => {
                recent.insert(finished.token);
            }
            Some(report::Report::Gone(gone)) => {
                recent.insert(gone.token);
            }
            Some(report::Report::Started(_) | report::Report::Path(_)) | None => {}
        }
    }
    recent
}
