//! One helper for all tests: a state with its store, a clock and a log. Each command passes
//! through the codec, all invariants are checked after it, and the log can be replayed.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hesper_scheduler::memory::MemoryStore;
use hesper_scheduler::*;

pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

#[derive(Debug, Clone)]
pub enum Entry {
    Command(Vec<u8>),
    Tick,
    LeaderStarted,
}

pub struct Machine {
    pub state: State,
    pub store: MemoryStore,
    pub now: UnixMillis,
    pub events: Vec<Event>,
    pub log: Vec<(UnixMillis, Principal, Entry)>,
    sequence: u64,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    pub fn new() -> Self {
        Self {
            state: State::new(),
            store: MemoryStore::default(),
            now: UnixMillis(1_000_000),
            events: Vec::new(),
            log: Vec::new(),
            sequence: 0,
        }
    }

    fn entry(&mut self, principal: &Principal, entry: Entry) -> Option<Reply> {
        self.log.push((self.now, principal.clone(), entry.clone()));
        let index = self.log.len() as u64;
        let context = Context { index, position: 0, now: self.now, principal };
        let reply = match entry {
            Entry::Command(bytes) => {
                let command = Command::decode(&bytes).expect("round trip");
                let reply = self.state.apply(&context, command, &mut self.store, &mut self.events);
                assert_eq!(Reply::decode(&reply.encode()).expect("round trip"), reply);
                Some(reply)
            }
            Entry::Tick => {
                self.state.tick(&context, &mut self.store, &mut self.events);
                None
            }
            Entry::LeaderStarted => {
                self.state.leader_started(&context, 1, &mut self.store, &mut self.events);
                None
            }
        };
        if self.state.counters().tasks_pending < 1_000 {
            assert_eq!(self.state.validate(), Ok(()));
        }
        reply
    }

    pub fn apply_as(&mut self, principal: &Principal, command: Command) -> Reply {
        self.entry(principal, Entry::Command(command.encode())).expect("a command has a reply")
    }

    pub fn node(&mut self, command: Command) -> Reply {
        self.apply_as(&Principal::node("n1"), command)
    }

    pub fn user(&mut self, command: Command) -> Reply {
        self.apply_as(&user("ann"), command)
    }

    /// Lets time pass, with one tick at its end.
    pub fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
        self.entry(&Principal::node("n1"), Entry::Tick);
    }

    pub fn leader_started(&mut self) {
        self.entry(&Principal::node("n1"), Entry::LeaderStarted);
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The state loaded from the rows equals the one in memory.
    pub fn check_reload(&mut self) {
        let loaded = State::load(&mut self.store).expect("rows load");
        assert!(loaded == self.state, "the loaded state differs from memory");
    }

    /// The same log gives the same rows.
    pub fn check_replay(&self) {
        let mut again = Self::new();
        for (now, principal, entry) in &self.log {
            again.now = *now;
            again.entry(principal, entry.clone());
        }
        assert_eq!(again.store.state_hash(), self.store.state_hash());
        assert!(again.state == self.state);
    }

    pub fn submit(&mut self, spec: JobSpec) -> JobId {
        match self.user(Command::SubmitJob(spec)) {
            Reply::Submitted { job } => job,
            other => panic!("not submitted: {other:?}"),
        }
    }

    pub fn register(&mut self, register: RegisterExecutor) -> ExecutorId {
        match self.node(Command::RegisterExecutor(register)) {
            Reply::Registered { executor } => executor,
            other => panic!("not registered: {other:?}"),
        }
    }

    pub fn executor(&mut self, name: &str, cores: u32) -> ExecutorId {
        self.register(register(name, cores))
    }

    pub fn disconnect(&mut self, executor: ExecutorId) {
        let incarnation = self.state.executor(executor).expect("exists").incarnation;
        let gone = ExecutorDisconnected { executor, incarnation };
        assert_eq!(self.node(Command::ExecutorDisconnected(gone)), Reply::Done);
    }

    pub fn configure(&mut self, change: ConfigurationChange) {
        assert_eq!(self.node(Command::Configure(change)), Reply::Done);
    }

    /// Plans once and grants what was planned; answers the leases.
    pub fn plan(&mut self) -> Vec<LeaseId> {
        let grants = self.state.plan(self.now, PlanBudget::default());
        if grants.is_empty() {
            return Vec::new();
        }
        match self.node(Command::Grant(grants)) {
            Reply::Granted { leases, refused } => {
                assert_eq!(refused, Vec::new(), "a fresh plan holds");
                leases
            }
            other => panic!("not granted: {other:?}"),
        }
    }

    pub fn grant(
        &mut self,
        executor: ExecutorId,
        tasks: &[TaskId],
    ) -> Result<LeaseId, GrantRefusal> {
        self.grant_group(executor, tasks, None)
    }

    /// As [`Self::grant`]; with a bound, the tasks are to label in lockstep.
    pub fn grant_group(
        &mut self,
        executor: ExecutorId,
        tasks: &[TaskId],
        width: Option<WidthBound>,
    ) -> Result<LeaseId, GrantRefusal> {
        let grant = Grant { executor, tasks: tasks.to_vec(), width };
        match self.node(Command::Grant(vec![grant])) {
            Reply::Granted { leases, mut refused } => match leases.first() {
                Some(lease) => Ok(*lease),
                None => Err(refused.remove(0).reason),
            },
            other => panic!("no answer to a grant: {other:?}"),
        }
    }

    /// Tokens of a lease that have not started.
    pub fn tokens(&self, lease: LeaseId) -> Vec<AttemptToken> {
        let order = self.state.lease_order(lease).expect("the lease exists");
        order.attempts.iter().map(|attempt| attempt.token).collect()
    }

    pub fn report(&mut self, executor: ExecutorId, reports: Vec<Report>) -> Vec<AttemptToken> {
        let incarnation = self.state.executor(executor).expect("exists").incarnation;
        let reports = reports
            .into_iter()
            .map(|report| {
                self.sequence += 1;
                NumberedReport { sequence: self.sequence, report }
            })
            .collect();
        let batch = ReportBatch { executor, incarnation, reports };
        match self.node(Command::Report(batch)) {
            Reply::Reported { through, stale } => {
                assert_eq!(through, self.sequence);
                stale
            }
            other => panic!("not reported: {other:?}"),
        }
    }

    pub fn start(&mut self, executor: ExecutorId, token: AttemptToken) {
        let at = self.now;
        self.report(executor, vec![Report::Started(Started { token, at })]);
    }

    pub fn finish(
        &mut self,
        executor: ExecutorId,
        token: AttemptToken,
        exit: Exit,
    ) -> Vec<AttemptToken> {
        let report = Report::Finished(finished(token, self.now, exit));
        self.report(executor, vec![report])
    }

    /// Grants one ready task by the planner and answers (executor, token).
    pub fn run_one(&mut self) -> (ExecutorId, AttemptToken) {
        let mut leases = self.plan();
        if leases.is_empty() {
            // A sector waits this long for others to join its PC1 group.
            self.wait(2_000);
            leases = self.plan();
        }
        let order = self.state.lease_order(leases[0]).expect("granted");
        (order.executor, order.attempts[0].token)
    }

    pub fn ended(&mut self, task: TaskId) -> EndedTaskRow {
        let bytes = Store::get(&mut self.store, TableId::ENDED_TASKS, &task.key());
        EndedTaskRow::from_row(&bytes.expect("the task has ended")).expect("a row")
    }

    pub fn status(&self, job: JobId) -> JobStatus {
        self.state.job(job).expect("in memory").status()
    }

    /// The tasks of a job, one line each.
    pub fn tasks(&self, job: JobId) -> String {
        let mut text = String::new();
        for task in self.state.tasks(job, 0, 100) {
            let executor = task
                .executor
                .and_then(|id| self.state.executor(id))
                .map_or("-", |row| row.name.as_str());
            writeln!(
                text,
                "{} {} {} attempt {} on {executor}",
                task.id,
                task.stage,
                task.status.name(),
                task.number
            )
            .expect("text");
        }
        text
    }
}

pub fn user(owner: &str) -> Principal {
    Principal { name: format!("{owner}@desk"), owner: owner.to_owned(), role: Role::Client }
}

pub fn command(name: &str) -> JobSpec {
    JobSpec {
        name: name.to_owned(),
        command: CommandWork { program: "/bin/true".to_owned(), ..CommandWork::default() },
        demand: Demand { cores: 1, ..Demand::default() },
        ..JobSpec::default()
    }
}

pub fn array(name: &str, last: u32) -> JobSpec {
    let ranges = vec![Range { first: 1, last, step: 1 }];
    JobSpec { array: Some(ArraySpec { ranges, running_max: 0 }), ..command(name) }
}

pub fn after(spec: JobSpec, job: JobId, kind: DependencyKind) -> JobSpec {
    JobSpec { after: vec![Dependency { job, kind }], ..spec }
}

pub fn register(name: &str, cores: u32) -> RegisterExecutor {
    RegisterExecutor {
        name: name.to_owned(),
        owner: "ann".to_owned(),
        incarnation: 1,
        supervisor_boot_id: format!("{name}-supervisor-1"),
        machine_boot_id: format!("{name}-machine-1"),
        inventory: Inventory { cores, memory_bytes: 16 * GIB, ..Inventory::default() },
        paths: vec![StoragePath {
            id: "p".to_owned(),
            role: PathRole::Both,
            capacity_bytes: 100 * GIB,
            reserve_bytes: GIB,
            free_bytes: 90 * GIB,
        }],
        address: format!("{name}:7000"),
        capabilities: Vec::new(),
        notes: Vec::new(),
        verifying_key_digests: BTreeMap::new(),
        held_tokens: Vec::new(),
        owner_only: false,
    }
}

pub fn finished(token: AttemptToken, now: UnixMillis, exit: Exit) -> Finished {
    Finished {
        token,
        started_at: now,
        ended_at: now.plus(5),
        exit,
        usage: ProcessUsage { user_us: 10, system_us: 20, rss_max_bytes: MIB },
        files: Vec::new(),
        values: BTreeMap::new(),
        bytes_fetched: 0,
        reused_layers: 0,
        stdout_bytes: 0,
        stderr_bytes: 0,
    }
}

pub fn exit(kind: ExitKind) -> Exit {
    Exit { kind, code: 0, signal: 0, message: None, retryable: true }
}

pub fn failure(code: i32) -> Exit {
    Exit { code, ..exit(ExitKind::Exited) }
}

pub fn rejected(reply: Reply) -> Rejected {
    match reply {
        Reply::Rejected(rejected) => rejected,
        other => panic!("not rejected: {other:?}"),
    }
}

/// What a stage makes, with small sizes.
pub fn stage_result(stage: Stage) -> (Vec<FileEntry>, BTreeMap<String, String>) {
    let names: &[&str] = match stage {
        Stage::AddPiece => &["unsealed"],
        Stage::TreeD => &["sc-02-data-tree-d.dat"],
        Stage::Pc1 => &["sc-02-data-layer-1.dat", "sc-02-data-layer-2.dat"],
        Stage::Pc2 => {
            &["sealed", "p_aux", "t_aux", "sc-02-data-tree-c.dat", "sc-02-data-tree-r-last.dat"]
        }
        Stage::C1 => &["c1.json"],
        Stage::C2 => &["proof"],
        Stage::Finalize => &["sealed", "p_aux", "t_aux", "sc-02-data-tree-r-last.dat"],
        Stage::Unseal => &["piece"],
        Stage::WinningPost | Stage::WindowPostProve => &["proof"],
        Stage::WindowPostVanilla => &["vanilla.json"],
    };
    let files = names
        .iter()
        .map(|name| FileEntry {
            name: (*name).to_owned(),
            length: 2048,
            blake3: (*name != "t_aux").then_some(Digest([7; 32])),
        })
        .collect();
    let values: &[&str] = match stage {
        Stage::TreeD => &["comm_d"],
        Stage::Pc2 => &["comm_r"],
        Stage::C2 | Stage::WinningPost | Stage::WindowPostProve => &["proof"],
        _ => &[],
    };
    let values = values.iter().map(|name| ((*name).to_owned(), format!("{:064x}", 9))).collect();
    (files, values)
}

pub fn stage_finished(token: AttemptToken, now: UnixMillis, stage: Stage) -> Report {
    let (files, values) = stage_result(stage);
    Report::Finished(Finished { files, values, ..finished(token, now, Exit::success()) })
}

pub fn seal(executor: ExecutorId) -> SealSector {
    SealSector {
        miner: 1000,
        number: None,
        proof: ProofType::Sector2KiB,
        piece: Piece { blake3: Digest([1; 32]), length: 2000, executor },
        ticket: None,
        seed: None,
        stop_after: None,
        priority: 0,
        kernels: None,
    }
}
