//! **Purpose**: the one machine that the log drives: scheduler, enrolment, auth and the intents of
//! signatures side by side.
//!
//! **Invariants**
//! - A module sees only its own commands and tables; they share no rows.
//! - Commands and replies begin with the number of their module.
//! - What follows in the scheduler from a command of auth is applied with it, at the same index.
//! - A sector of a miner that auth knows is begun only by the miner's user.

use std::any::Any;
use std::sync::Arc;

use hesper_auth::{Actor, Authority, Permission, Standing};
use hesper_consensus::{
    ApplyContext, LoadError, Machine, MachineFactory, NodeId, Output, RowSource,
};
use hesper_scheduler as scheduler;
use hesper_scheduler::{
    Event, OwnerLimits, Principal, Rejected, SetOwnerLimits, State, TableId, UnixMillis,
};

use super::enrolment::{self, Enrolment};
use super::wallets::intents::{self, Intents};

/// Number of the scheduler in commands and replies.
const SCHEDULER: u8 = 1;
/// Separates the parts of a principal in the log.
const SEPARATOR: char = '\u{1f}';

/// Events of one command, in order.
pub type Events = Vec<Event>;

/// An event: users, tokens, secrets or limits changed, so whoever holds on to one must look again.
pub struct AuthChanged;

/// Everything that is replicated.
pub struct ClusterMachine {
    pub scheduler: State,
    pub enrolment: Enrolment,
    pub auth: hesper_auth::State,
    pub intents: Intents,
}

/// A command for one of the modules.
pub enum Command {
    Scheduler(Box<scheduler::Command>),
    Enrolment(enrolment::Command),
    Auth(hesper_auth::Command),
    Intent(intents::Command),
}

/// What a module answered.
#[derive(Debug)]
pub enum Reply {
    Scheduler(scheduler::Reply),
    Enrolment(enrolment::Reply),
    Auth(hesper_auth::Reply),
    Intent(intents::Reply),
}

/// The bytes of a reply were not those of this version.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's answer could not be read ({0}); do all nodes run the same version?")]
pub struct UnreadableReply(String);

impl Command {
    /// Bytes for the log: module number, then the module's own encoding.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Command::Scheduler(command) => with_module(SCHEDULER, &command.encode()),
            Command::Enrolment(command) => {
                with_module(enrolment::MODULE, &enrolment::encode(command))
            }
            Command::Auth(command) => with_module(hesper_auth::MODULE, &command.encode()),
            Command::Intent(command) => with_module(intents::MODULE, &intents::encode(command)),
        }
    }
}

impl Reply {
    /// # Errors
    /// The bytes are not a reply that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadableReply> {
        let unreadable = |error: minicbor::decode::Error| UnreadableReply(error.to_string());
        match bytes.split_first() {
            Some((&SCHEDULER, reply)) => {
                scheduler::Reply::decode(reply).map(Reply::Scheduler).map_err(unreadable)
            }
            Some((&enrolment::MODULE, reply)) => {
                minicbor::decode(reply).map(Reply::Enrolment).map_err(unreadable)
            }
            Some((&hesper_auth::MODULE, reply)) => {
                hesper_auth::Reply::decode(reply).map(Reply::Auth).map_err(unreadable)
            }
            Some((&intents::MODULE, reply)) => {
                minicbor::decode(reply).map(Reply::Intent).map_err(unreadable)
            }
            Some((_, text)) => Err(UnreadableReply(String::from_utf8_lossy(text).into_owned())),
            None => Err(UnreadableReply("it is empty".to_owned())),
        }
    }
}

fn with_module(module: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len() + 1);
    all.push(module);
    all.extend_from_slice(bytes);
    all
}

/// On whose behalf a command is proposed, as the log carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposer {
    pub principal: Principal,
    pub permission: Permission,
}

impl Proposer {
    /// A pool node's own proposals.
    pub fn node(name: &str) -> Self {
        Self { principal: Principal::node(name), permission: Permission::Admin }
    }

    /// Text for the log.
    pub fn encode(&self) -> String {
        let Principal { name, owner, role } = &self.principal;
        let role = match role {
            scheduler::Role::Node => "node",
            scheduler::Role::Executor => "executor",
            scheduler::Role::Client => "client",
            scheduler::Role::Admin => "admin",
        };
        let permission = self.permission.word();
        format!("{role}{SEPARATOR}{name}{SEPARATOR}{owner}{SEPARATOR}{permission}")
    }

    /// Reads [`Proposer::encode`]; anything else is a client that owns nothing and may only read.
    /// Entries from before there were permissions have those of their role.
    fn decode(text: &str) -> Self {
        let mut parts = text.split(SEPARATOR);
        let (role, preset) = match parts.next() {
            Some("node") => (scheduler::Role::Node, Permission::Admin),
            Some("executor") => (scheduler::Role::Executor, Permission::Read),
            Some("admin") => (scheduler::Role::Admin, Permission::Admin),
            Some("client") => (scheduler::Role::Client, Permission::Write),
            Some(_) | None => (scheduler::Role::Client, Permission::Read),
        };
        let name = parts.next().unwrap_or_default().to_owned();
        let owner = parts.next().unwrap_or_default().to_owned();
        let permission = match parts.next() {
            Some(word) => Permission::parse(word).unwrap_or(Permission::Read),
            None => preset,
        };
        Self { principal: Principal { name, owner, role }, permission }
    }

    /// The same for the machine of auth.
    fn actor(&self) -> Actor {
        let authority = match self.principal.role {
            scheduler::Role::Node => Authority::Node,
            scheduler::Role::Executor | scheduler::Role::Client | scheduler::Role::Admin => {
                Authority::User(self.permission)
            }
        };
        Actor { name: self.principal.name.clone(), user: self.principal.owner.clone(), authority }
    }
}

/// Rows of the scheduler, written into the batch of the entry.
struct Rows<'a, 'b>(&'a mut Output<'b>);

impl scheduler::Store for Rows<'_, '_> {
    fn put(&mut self, table: TableId, key: &[u8], row: &[u8]) {
        self.0.put(table.0, key.to_vec(), row.to_vec());
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.0.delete(table.0, key.to_vec());
    }

    fn get(&mut self, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(table.0, key)
    }
}

impl ClusterMachine {
    fn apply_scheduler(
        &mut self,
        context: &scheduler::Context<'_>,
        bytes: &[u8],
        out: &mut Output<'_>,
    ) {
        let command = match scheduler::Command::decode(bytes) {
            Ok(command) => command,
            Err(error) => return reject_unreadable(&error, out),
        };
        if let Some(rejected) = self.foreign_miner(context.principal, &command) {
            let reply = scheduler::Reply::Rejected(rejected);
            out.reply = with_module(SCHEDULER, &reply.encode());
            return;
        }
        let mut events = Events::new();
        let reply = self.scheduler.apply(context, command, &mut Rows(out), &mut events);
        out.reply = with_module(SCHEDULER, &reply.encode());
        publish(events, out);
    }

    /// The scheduler gives a miner to whoever seals its first sector; auth knows better.
    fn foreign_miner(
        &self,
        principal: &Principal,
        command: &scheduler::Command,
    ) -> Option<Rejected> {
        let scheduler::Command::SealSector(seal) = command else { return None };
        let miner = self.auth.miner(seal.miner)?;
        (!principal.may_touch(&miner.user))
            .then(|| Rejected::MinerOwned { miner: seal.miner, owner: miner.user.clone() })
    }

    fn apply_auth(
        &mut self,
        context: &ApplyContext<'_>,
        proposer: &Proposer,
        bytes: &[u8],
        out: &mut Output<'_>,
    ) {
        let command = match hesper_auth::Command::decode(bytes) {
            Ok(command) => command,
            Err(error) => return reject_unreadable(&error, out),
        };
        let is_routine = matches!(
            command,
            hesper_auth::Command::Draw(_)
                | hesper_auth::Command::RecordUses { .. }
                | hesper_auth::Command::Audit { .. }
        );
        let actor = proposer.actor();
        let at =
            hesper_auth::Context { now_ms: context.now_ms, index: context.index, actor: &actor };
        let applied = self.auth.apply(&at, command, &mut |table, key, row| match row {
            Some(row) => out.put(table, key.to_vec(), row),
            None => out.delete(table, key.to_vec()),
        });
        let by = Principal::node("");
        let context = scheduler_context(context, &by);
        let mut events = Events::new();
        for limits in applied.effects.owner_limits {
            let command = scheduler::Command::SetOwnerLimits(owner_limits(limits));
            let reply = self.scheduler.apply(&context, command, &mut Rows(out), &mut events);
            debug_assert_eq!(reply, scheduler::Reply::Done, "a node may set every limit");
        }
        out.reply = with_module(hesper_auth::MODULE, &applied.reply.encode());
        publish(events, out);
        if !is_routine {
            out.event(Arc::new(AuthChanged));
        }
    }

    /// An intent of a user who is disabled at this index is refused, whatever the node knew that
    /// proposed it.
    fn apply_intent(
        &mut self,
        index: u64,
        proposer: &Proposer,
        bytes: &[u8],
        out: &mut Output<'_>,
    ) {
        let command: intents::Command = match minicbor::decode(bytes) {
            Ok(command) => command,
            Err(error) => return reject_unreadable(&error, out),
        };
        let (user, may) = match &command {
            intents::Command::Intend { user, .. } => (user, true),
            intents::Command::Unpin { .. } => {
                (&proposer.principal.owner, proposer.permission == Permission::Admin)
            }
        };
        let reply = match self.auth.standing(user) {
            _ if !may => intents::Reply::Rejected {
                message: "only an administrator lets another wallet sign a key's blocks".to_owned(),
            },
            Standing::Enabled | Standing::Unknown => {
                self.intents.apply(index, command, &mut |table, key, row| match row {
                    Some(row) => out.put(table, key.to_vec(), row),
                    None => out.delete(table, key.to_vec()),
                })
            }
            Standing::Disabled | Standing::Deleted => intents::Reply::Rejected {
                message: format!(
                    "the user `{user}` is disabled or deleted and gets no signatures; an admin can \
                     change that with `hesper auth user enable` or `recover`"
                ),
            },
        };
        out.reply = with_module(intents::MODULE, &intents::encode(&reply));
    }

    fn apply_enrolment(&mut self, now_ms: u64, bytes: &[u8], out: &mut Output<'_>) {
        let command = match minicbor::decode(bytes) {
            Ok(command) => command,
            Err(error) => return reject_unreadable(&error, out),
        };
        let reply = self.enrolment.apply(now_ms, command, &mut |table, key, row| match row {
            Some(row) => out.put(table, key.to_vec(), row),
            None => out.delete(table, key.to_vec()),
        });
        out.reply = with_module(enrolment::MODULE, &enrolment::encode(&reply));
    }
}

fn owner_limits(limits: hesper_auth::OwnerLimits) -> SetOwnerLimits {
    let hesper_auth::OwnerLimits { user, quota, held } = limits;
    let limits = OwnerLimits {
        jobs_max: quota.jobs,
        cores_max: quota.cores,
        gpus_max: quota.gpus,
        storage_bytes_max: quota.storage_bytes,
        held,
    };
    SetOwnerLimits { owner: user, limits }
}

fn reject_unreadable(error: &minicbor::decode::Error, out: &mut Output<'_>) {
    let text = format!("a command could not be read: {error}");
    out.reply = with_module(0, text.as_bytes());
}

fn publish(events: Events, out: &mut Output<'_>) {
    if !events.is_empty() {
        out.event(Arc::new(events));
    }
}

impl Machine for ClusterMachine {
    fn apply(&mut self, context: &ApplyContext<'_>, command: &[u8], out: &mut Output<'_>) {
        match command.split_first() {
            Some((&SCHEDULER, bytes)) => {
                let proposer = Proposer::decode(context.principal);
                let context = scheduler_context(context, &proposer.principal);
                self.apply_scheduler(&context, bytes, out);
            }
            Some((&enrolment::MODULE, bytes)) => self.apply_enrolment(context.now_ms, bytes, out),
            Some((&hesper_auth::MODULE, bytes)) => {
                self.apply_auth(context, &Proposer::decode(context.principal), bytes, out);
            }
            Some((&intents::MODULE, bytes)) => {
                self.apply_intent(context.index, &Proposer::decode(context.principal), bytes, out);
            }
            Some(_) | None => out.reply = with_module(0, b"no module has this number"),
        }
    }

    fn tick(&mut self, context: &ApplyContext<'_>, out: &mut Output<'_>) {
        let principal = Principal::node("");
        let mut events = Events::new();
        let context = scheduler_context(context, &principal);
        self.scheduler.tick(&context, &mut Rows(out), &mut events);
        publish(events, out);
    }

    fn leader_started(&mut self, context: &ApplyContext<'_>, node: NodeId, out: &mut Output<'_>) {
        let principal = Principal::node("");
        let mut events = Events::new();
        let context = scheduler_context(context, &principal);
        self.scheduler.leader_started(&context, node, &mut Rows(out), &mut events);
        publish(events, out);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn scheduler_context<'a>(
    context: &ApplyContext<'_>,
    principal: &'a Principal,
) -> scheduler::Context<'a> {
    scheduler::Context {
        index: context.index,
        position: context.position,
        now: UnixMillis(context.now_ms),
        principal,
    }
}

/// Makes the machine from its rows.
pub struct Factory;

struct SchedulerRows<'a> {
    rows: &'a mut dyn RowSource,
    error: Option<LoadError>,
}

impl scheduler::RowSource for SchedulerRows<'_> {
    fn for_each(&mut self, table: TableId, row: &mut dyn FnMut(&[u8], &[u8])) {
        if self.error.is_none() {
            self.error = self.rows.for_each(table.0, row).err();
        }
    }
}

impl MachineFactory for Factory {
    fn load(&self, rows: &mut dyn RowSource) -> Result<Box<dyn Machine>, LoadError> {
        let mut source = SchedulerRows { rows, error: None };
        let scheduler = State::load(&mut source);
        if let Some(error) = source.error {
            return Err(error);
        }
        let scheduler = scheduler.map_err(|error| LoadError::Contradiction(error.to_string()))?;
        let mut enrolment = Enrolment::default();
        for table in [enrolment::TOKENS, enrolment::CONSTANTS] {
            let mut bad = None;
            rows.for_each(table, &mut |key, row| {
                if bad.is_none() {
                    bad = enrolment.load_row(table, key, row).err();
                }
            })?;
            if let Some(reason) = bad {
                return Err(LoadError::Row { table, reason });
            }
        }
        let auth = load_auth(rows)?;
        let intents = load_intents(rows)?;
        Ok(Box::new(ClusterMachine { scheduler, enrolment, auth, intents }))
    }
}

fn load_intents(rows: &mut dyn RowSource) -> Result<Intents, LoadError> {
    let mut loaded = Intents::default();
    let mut bad = None;
    for table in [intents::INTENTS, intents::PINS] {
        rows.for_each(table, &mut |key, row| {
            if bad.is_none() {
                bad = loaded.load_row(table, key, row).err();
            }
        })?;
        if let Some(reason) = bad {
            return Err(LoadError::Row { table, reason });
        }
    }
    loaded.validate().map_err(LoadError::Contradiction)?;
    Ok(loaded)
}

fn load_auth(rows: &mut dyn RowSource) -> Result<hesper_auth::State, LoadError> {
    let mut auth = hesper_auth::State::default();
    for table in hesper_auth::tables::ALL {
        let mut bad = None;
        rows.for_each(table, &mut |key, row| {
            if bad.is_none() {
                bad = auth.load_row(table, key, row).err();
            }
        })?;
        if let Some(error) = bad {
            return Err(LoadError::Row { table, reason: error.to_string() });
        }
    }
    auth.loaded().map_err(|error| LoadError::Contradiction(error.to_string()))?;
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use hesper_consensus::MemoryRows;

    use super::*;

    fn admin() -> Proposer {
        let principal =
            Principal { name: "root".into(), owner: "ops".into(), role: scheduler::Role::Admin };
        Proposer { principal, permission: Permission::Admin }
    }

    fn client(owner: &str) -> Proposer {
        let principal =
            Principal { name: owner.into(), owner: owner.into(), role: scheduler::Role::Client };
        Proposer { principal, permission: Permission::Write }
    }

    #[test]
    fn a_proposer_survives_the_log() {
        for proposer in [admin(), client("acme"), Proposer::node("n1")] {
            assert_eq!(Proposer::decode(&proposer.encode()), proposer);
        }
        let token = Proposer { permission: Permission::Sign, ..client("acme") };
        assert_eq!(Proposer::decode(&token.encode()), token);
    }

    #[test]
    fn entries_from_before_permissions_have_those_of_their_role() {
        let of = |role: &str| Proposer::decode(&format!("{role}{SEPARATOR}x{SEPARATOR}acme"));
        assert_eq!(of("node").permission, Permission::Admin);
        assert_eq!(of("admin").permission, Permission::Admin);
        assert_eq!(of("client").permission, Permission::Write);
        assert_eq!(of("executor").permission, Permission::Read);
        assert_eq!(of("client").principal.owner, "acme");
    }

    #[test]
    fn a_malformed_proposer_owns_nothing_and_only_reads() {
        let proposer = Proposer::decode("garbage");
        assert_eq!(proposer.principal.role, scheduler::Role::Client);
        assert_eq!(proposer.permission, Permission::Read);
        assert!(!proposer.principal.may_touch("acme"));
        let forged = Proposer::decode(&format!("client{SEPARATOR}x{SEPARATOR}a{SEPARATOR}root"));
        assert_eq!(forged.permission, Permission::Read);
    }

    /// A machine over rows in memory, with a log.
    struct Bench {
        rows: MemoryRows,
        machine: Box<dyn Machine>,
        index: u64,
        events: Vec<hesper_consensus::Event>,
    }

    impl Bench {
        fn new() -> Self {
            let mut rows = MemoryRows::default();
            let machine = Factory.load(&mut rows).unwrap();
            Bench { rows, machine, index: 0, events: Vec::new() }
        }

        fn apply(&mut self, by: &Proposer, command: &Command) -> Reply {
            self.index += 1;
            let principal = by.encode();
            let context = ApplyContext {
                index: self.index,
                position: 0,
                term: 1,
                now_ms: 1_000_000 + self.index,
                principal: &principal,
            };
            let bytes = command.encode();
            let machine = &mut self.machine;
            let (reply, events) = self.rows.with_output(|out| machine.apply(&context, &bytes, out));
            self.events.extend(events);
            Reply::decode(&reply).unwrap()
        }

        fn auth(&mut self, by: &Proposer, command: hesper_auth::Command) -> hesper_auth::Reply {
            match self.apply(by, &Command::Auth(command)) {
                Reply::Auth(reply) => reply,
                other => panic!("an answer of another module: {other:?}"),
            }
        }

        fn submit(&mut self, by: &Proposer) -> scheduler::Reply {
            let spec = scheduler::JobSpec {
                command: scheduler::CommandWork {
                    program: "/bin/true".into(),
                    ..scheduler::CommandWork::default()
                },
                ..scheduler::JobSpec::default()
            };
            let command = scheduler::Command::SubmitJob(spec);
            match self.apply(by, &Command::Scheduler(Box::new(command))) {
                Reply::Scheduler(reply) => reply,
                other => panic!("an answer of another module: {other:?}"),
            }
        }

        fn look(&self) -> &ClusterMachine {
            self.machine.as_any().downcast_ref().unwrap()
        }
    }

    fn create_user(name: &str) -> hesper_auth::Command {
        hesper_auth::Command::CreateUser {
            name: name.into(),
            comment: String::new(),
            enabled: true,
        }
    }

    fn enable(name: &str, enabled: bool) -> hesper_auth::Command {
        let enabled = Some(enabled);
        hesper_auth::Command::UpdateUser { name: name.into(), comment: None, enabled }
    }

    #[test]
    fn disabling_a_user_holds_its_work_at_the_same_index() {
        let mut bench = Bench::new();
        assert_eq!(bench.auth(&admin(), create_user("acme")), hesper_auth::Reply::Done);
        assert!(matches!(bench.submit(&client("acme")), scheduler::Reply::Submitted { .. }));
        bench.auth(&admin(), enable("acme", false));
        assert!(bench.look().scheduler.owner_limits("acme").held);
        assert!(matches!(
            bench.submit(&client("acme")),
            scheduler::Reply::Rejected(Rejected::OwnerHeld { .. })
        ));
        bench.auth(&admin(), enable("acme", true));
        assert!(matches!(bench.submit(&client("acme")), scheduler::Reply::Submitted { .. }));
    }

    #[test]
    fn a_quota_of_auth_is_enforced_by_the_scheduler() {
        let mut bench = Bench::new();
        bench.auth(&admin(), create_user("acme"));
        let quota = hesper_auth::Quota { jobs: Some(1), ..hesper_auth::Quota::default() };
        bench.auth(&admin(), hesper_auth::Command::SetQuota { user: "acme".into(), quota });
        assert!(matches!(bench.submit(&client("acme")), scheduler::Reply::Submitted { .. }));
        assert!(matches!(
            bench.submit(&client("acme")),
            scheduler::Reply::Rejected(Rejected::QuotaExceeded { used: 1, max: 1, .. })
        ));
    }

    #[test]
    fn a_disabled_user_gets_no_intent_at_the_same_index() {
        let mut bench = Bench::new();
        bench.auth(&admin(), create_user("acme"));
        let intend = Command::Intent(intents::Command::Intend {
            key: "f1abc".into(),
            digest: vec![1; 32],
            user: "acme".into(),
            block_wallet: None,
        });
        let reply = bench.apply(&client("acme"), &intend);
        assert!(matches!(reply, Reply::Intent(intents::Reply::Intended { .. })), "{reply:?}");
        bench.auth(&admin(), enable("acme", false));
        match bench.apply(&client("acme"), &intend) {
            Reply::Intent(intents::Reply::Rejected { message }) => {
                assert!(message.contains("`acme` is disabled"), "{message}");
            }
            other => panic!("a disabled user got {other:?}"),
        }
        let loaded = Factory.load(&mut bench.rows).unwrap();
        let loaded: &ClusterMachine = loaded.as_any().downcast_ref().unwrap();
        assert_eq!(loaded.intents, bench.look().intents);
    }

    #[test]
    fn only_an_administrator_lets_another_wallet_sign_blocks() {
        let mut bench = Bench::new();
        bench.auth(&admin(), create_user("acme"));
        let intend = |wallet: &str| {
            Command::Intent(intents::Command::Intend {
                key: "f1abc".into(),
                digest: vec![1; 32],
                user: "acme".into(),
                block_wallet: Some(wallet.into()),
            })
        };
        bench.apply(&client("acme"), &intend("w1"));
        let unpin = Command::Intent(intents::Command::Unpin {
            key: "f1abc".into(),
            wallet_id: "w1".into(),
        });
        match bench.apply(&client("acme"), &unpin) {
            Reply::Intent(intents::Reply::Rejected { message }) => {
                assert!(message.contains("administrator"), "{message}");
            }
            other => panic!("a client released a key: {other:?}"),
        }
        bench.apply(&client("acme"), &intend("w2"));
        assert_eq!(bench.look().intents.block_wallet("f1abc"), Some("w1"));
        let loaded = Factory.load(&mut bench.rows).unwrap();
        let loaded: &ClusterMachine = loaded.as_any().downcast_ref().unwrap();
        assert_eq!(loaded.intents, bench.look().intents);
        let reply = bench.apply(&admin(), &unpin);
        assert!(matches!(reply, Reply::Intent(intents::Reply::Unpinned)), "{reply:?}");
        assert_eq!(bench.look().intents.block_wallet("f1abc"), None);
    }

    #[test]
    fn clients_change_no_users() {
        let mut bench = Bench::new();
        let reply = bench.auth(&client("acme"), create_user("evil"));
        let hesper_auth::Reply::Rejected(rejected) = reply else { panic!("{reply:?}") };
        assert!(rejected.to_string().contains("`admin`"), "{rejected}");
        assert!(bench.look().auth.user("evil").is_none());
    }

    #[test]
    fn a_miner_of_one_user_is_sealed_by_no_other() {
        let mut bench = Bench::new();
        bench.auth(&admin(), create_user("acme"));
        let put =
            hesper_auth::Command::PutMiner { miner: 1000, user: "acme".into(), open_mining: false };
        bench.auth(&admin(), put);
        let seal = |miner| {
            Command::Scheduler(Box::new(scheduler::Command::SealSector(scheduler::SealSector {
                miner,
                number: None,
                proof: scheduler::ProofType::Sector2KiB,
                piece: scheduler::Piece {
                    blake3: scheduler::Digest([1; 32]),
                    length: 10,
                    executor: scheduler::ExecutorId(1),
                },
                ticket: None,
                seed: None,
                stop_after: None,
                priority: 0,
                kernels: None,
            })))
        };
        let reply = bench.apply(&client("bob"), &seal(1000));
        assert!(matches!(
            reply,
            Reply::Scheduler(scheduler::Reply::Rejected(Rejected::MinerOwned { .. }))
        ));
        // The owner gets as far as the scheduler's own checks.
        let reply = bench.apply(&client("acme"), &seal(1000));
        assert!(matches!(
            reply,
            Reply::Scheduler(scheduler::Reply::Rejected(Rejected::UnknownExecutor { .. }))
        ));
    }

    #[test]
    fn the_loaded_machine_equals_the_one_in_memory() {
        let mut bench = Bench::new();
        bench.auth(&admin(), create_user("acme"));
        bench.auth(&admin(), create_user("bob"));
        bench.auth(&admin(), enable("bob", false));
        let quota = hesper_auth::Quota { cores: Some(4), ..hesper_auth::Quota::default() };
        bench.auth(&admin(), hesper_auth::Command::SetQuota { user: "acme".into(), quota });
        bench.submit(&client("acme"));
        let mut rows = std::mem::take(&mut bench.rows);
        let again = Factory.load(&mut rows).unwrap();
        let again: &ClusterMachine = again.as_any().downcast_ref().unwrap();
        let before = bench.look();
        assert!(again.scheduler == before.scheduler);
        assert!(again.auth == before.auth);
        assert!(again.enrolment == before.enrolment);
    }

    #[test]
    fn only_what_holders_must_look_at_again_is_announced() {
        let mut bench = Bench::new();
        bench.auth(&admin(), create_user("acme"));
        let is_auth =
            |event: &hesper_consensus::Event| event.downcast_ref::<AuthChanged>().is_some();
        assert!(bench.events.iter().any(is_auth));
        bench.events.clear();
        let (node, uses) = (1, Vec::new());
        bench.auth(&Proposer::node("n1"), hesper_auth::Command::RecordUses { node, uses });
        assert!(!bench.events.iter().any(is_auth));
    }
}
