//! The bytes of version 1, kept for ever: every command, reply and row encodes to the recorded
//! bytes and the recorded bytes decode to it. A new field or variant adds lines; a changed line
//! means that stored logs can no longer be read.

mod common;
use std::collections::BTreeMap;
use std::fmt::Debug;

use common::*;
use hesper_scheduler::*;

const RECORDED: &str = include_str!("golden/v1.txt");

/// Collects lines of `name hex`, and checks that each decodes to what it was made from.
#[derive(Default)]
struct Golden {
    lines: Vec<String>,
}

impl Golden {
    fn bytes<T: PartialEq + Debug>(
        &mut self,
        name: &str,
        value: &T,
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> T,
    ) {
        assert_eq!(&decode(bytes), value, "{name}");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{name} {hex}");
        if let Some(recorded) = RECORDED.lines().find(|l| l.split(' ').next() == Some(name)) {
            assert_eq!(recorded, line, "the stored form of {name} changed");
        }
        self.lines.push(line);
    }

    fn command(&mut self, name: &str, command: &Command) {
        let decode = |bytes: &[u8]| Command::decode(bytes).expect("decodes");
        self.bytes(&format!("command.{name}"), command, &command.encode(), decode);
    }

    fn reply(&mut self, name: &str, reply: &Reply) {
        let decode = |bytes: &[u8]| Reply::decode(bytes).expect("decodes");
        self.bytes(&format!("reply.{name}"), reply, &reply.encode(), decode);
    }

    fn row<R: Row + PartialEq + Debug>(&mut self, name: &str, row: &R) {
        let mut bytes = Vec::new();
        row.to_row(&mut bytes);
        self.bytes(&format!("row.{name}"), row, &bytes, |bytes| R::from_row(bytes).expect("row"));
    }
}

fn spec() -> JobSpec {
    JobSpec {
        name: "n".to_owned(),
        command: CommandWork {
            program: "p".to_owned(),
            args: vec!["a".to_owned()],
            env: BTreeMap::from([("K".to_owned(), "v".to_owned())]),
            directory: "d".to_owned(),
        },
        array: Some(ArraySpec {
            ranges: vec![Range { first: 1, last: 9, step: 2 }],
            running_max: 3,
        }),
        demand: Demand {
            cores: 2,
            memory_bytes: GIB,
            gpus: 1,
            named: BTreeMap::from([("licence".to_owned(), 1)]),
            disc_bytes: 7,
        },
        after: vec![Dependency { job: JobId(4), kind: DependencyKind::AfterNotOk }],
        priority: -1,
        time_limit_ms: 1000,
        attempts_max: 2,
        at_most_once: true,
    }
}

fn all_reports() -> Vec<NumberedReport> {
    let token = AttemptToken(300);
    let exit = Exit {
        kind: ExitKind::Signaled,
        code: -1,
        signal: 9,
        message: Some("m".to_owned()),
        retryable: true,
    };
    let (files, values) = stage_result(Stage::Pc2);
    let path = StoragePath {
        id: "p".to_owned(),
        role: PathRole::Store,
        capacity_bytes: 1,
        reserve_bytes: 2,
        free_bytes: 3,
    };
    let reports = [
        Report::Started(Started { token, at: UnixMillis(5) }),
        Report::Finished(Finished { files, values, ..finished(token, UnixMillis(6), exit) }),
        Report::Gone(token),
        Report::PathChanged(path),
    ];
    (7..).zip(reports).map(|(sequence, report)| NumberedReport { sequence, report }).collect()
}

fn commands(golden: &mut Golden) {
    golden.command("submit_job", &Command::SubmitJob(spec()));
    golden.command(
        "submit_graph",
        &Command::SubmitGraph(SubmitGraph {
            jobs: vec![command("a"), command("b")],
            edges: vec![Edge { job: 1, after: 0, kind: DependencyKind::AfterAny }],
        }),
    );
    let sealing = SealSector {
        number: Some(5),
        ticket: Some("aa".to_owned()),
        seed: Some("bb".to_owned()),
        stop_after: Some(Stage::C1),
        priority: 3,
        ..seal(ExecutorId(2))
    };
    golden.command("seal_sector", &Command::SealSector(sealing.clone()));
    for kernels in [Kernels::Own, Kernels::Library] {
        let sealing = SealSector { kernels: Some(kernels), ..sealing.clone() };
        let name = format!("seal_sector_{}", kernels.name());
        golden.command(&name, &Command::SealSector(sealing));
    }
    for (name, kind) in [("winning", ProveKind::Winning), ("window", ProveKind::Window)] {
        let prove = Prove {
            kind,
            miner: 1000,
            sectors: vec![1, 2],
            randomness: "cc".to_owned(),
            priority: 0,
        };
        golden.command(&format!("prove_{name}"), &Command::Prove(prove));
    }
    golden.command("unseal", &Command::Unseal(SectorId::new(1000, 70_000)));
    golden.command("cancel_job", &Command::CancelJob(JobId(8)));
    let mut hello = register("e1", 4);
    hello.inventory.gpus.push(Gpu { device: 1, model: "g".to_owned(), memory_bytes: GIB });
    hello.capabilities.push("sha_ni".to_owned());
    hello.notes.push("note".to_owned());
    hello.held_tokens.push(AttemptToken(9));
    hello.owner_only = true;
    golden.command("register_executor", &Command::RegisterExecutor(hello));
    golden.command(
        "executor_disconnected",
        &Command::ExecutorDisconnected(ExecutorDisconnected {
            executor: ExecutorId(1),
            incarnation: 77,
        }),
    );
    let set = SetAdmission {
        name: "e1".to_owned(),
        admission: Admission::Draining,
        reason: "r".to_owned(),
    };
    golden.command("set_admission", &Command::SetAdmission(set));
    let grant =
        Grant { executor: ExecutorId(1), tasks: vec![TaskId::new(JobId(1), 2)], width: None };
    golden.command("grant", &Command::Grant(vec![grant.clone()]));
    let grants = widths().map(|width| Grant { width: Some(width), ..grant.clone() });
    golden.command("grant_lockstep", &Command::Grant(grants.to_vec()));
    let batch = ReportBatch { executor: ExecutorId(1), incarnation: 77, reports: all_reports() };
    golden.command("report", &Command::Report(batch));
    let change = ConfigurationChange {
        queued_tasks_max: Some(1),
        supersede_after: Some(SupersedeAfter::default()),
        verifying_key_digests: Some(BTreeMap::from([("k".to_owned(), "d".to_owned())])),
        development: Some(false),
        ..ConfigurationChange::default()
    };
    golden.command("configure", &Command::Configure(change));
    let change = ConfigurationChange {
        pc1_group_wait_ms: Some(0),
        pc1_group_max: Some(8),
        ..ConfigurationChange::default()
    };
    golden.command("configure_pc1_groups", &Command::Configure(change));
    let set = SetOwnerLimits { owner: "ann".to_owned(), limits: owner_limits() };
    golden.command("set_owner_limits", &Command::SetOwnerLimits(set));
}

fn widths() -> [WidthBound; 4] {
    let resource = "r".to_owned();
    [
        WidthBound::Configured,
        WidthBound::Waiting,
        WidthBound::Room { resource: resource.clone(), free: 5, wanted: 6, needed: 7 },
        WidthBound::Quota { resource, free: 5, wanted: 6, needed: 7 },
    ]
}

fn owner_limits() -> OwnerLimits {
    OwnerLimits {
        jobs_max: Some(1),
        cores_max: Some(2),
        gpus_max: None,
        storage_bytes_max: Some(4),
        held: true,
    }
}

fn replies(golden: &mut Golden) {
    golden.reply("submitted", &Reply::Submitted { job: JobId(1) });
    golden.reply("graph_submitted", &Reply::GraphSubmitted { jobs: vec![JobId(1), JobId(2)] });
    golden.reply("sealing", &Reply::Sealing { job: JobId(1), sector: SectorId::new(3, 4) });
    golden.reply("cancelled", &Reply::Cancelled { already_ended: true });
    golden.reply("registered", &Reply::Registered { executor: ExecutorId(6) });
    let refused = vec![RefusedGrant { grant: 1, reason: GrantRefusal::Throttled }];
    golden.reply("granted", &Reply::Granted { leases: vec![LeaseId(5)], refused });
    golden.reply("reported", &Reply::Reported { through: 9, stale: vec![AttemptToken(3)] });
    golden.reply("done", &Reply::Done);
    golden.reply("rejected", &Reply::Rejected(Rejected::UnknownJob { job: JobId(3) }));
    let (owner, what) = ("ann".to_owned(), "cores".to_owned());
    let refused = Rejected::QuotaExceeded { owner, what, used: 8, max: 9, adding: 2 };
    golden.reply("rejected_quota", &Reply::Rejected(refused));
    let refused = Rejected::OwnerHeld { owner: "ann".to_owned() };
    golden.reply("rejected_held", &Reply::Rejected(refused));
    let (owner, what) = ("ann".to_owned(), "gpus".to_owned());
    let refused = vec![
        RefusedGrant {
            grant: 0,
            reason: GrantRefusal::Quota { owner, what, needed: 1, used: 2, max: 3 },
        },
        RefusedGrant { grant: 1, reason: GrantRefusal::OwnerHeld { owner: "bob".to_owned() } },
    ];
    golden.reply("granted_none", &Reply::Granted { leases: Vec::new(), refused });
}

fn rows(golden: &mut Golden) {
    golden.row("meta", &MetaRow::default());
    let configuration = Configuration {
        pc1_group_wait_ms: Some(1),
        pc1_group_max: Some(2),
        ..Configuration::default()
    };
    golden.row("meta_pc1_groups", &MetaRow { configuration, ..MetaRow::default() });
    let mut m = Machine::new();
    let executor = m.register(register("e1", 4));
    m.submit(JobSpec { after: vec![], ..spec() });
    m.submit(array("a", 3));
    m.plan();
    m.user(Command::SealSector(seal(executor)));
    let lease = m.plan()[0];
    let token = m.tokens(lease)[0];
    m.report(executor, vec![stage_finished(token, m.now, Stage::AddPiece)]);
    let job = m.state.job(JobId(1)).expect("job");
    golden.row("job", job.row);
    golden.row("spec_command", job.spec);
    let sealing = m.state.job(JobId(3)).expect("job");
    golden.row("spec_stages", sealing.spec);
    golden.row("old_job", &OldJobRow { job: sealing.row.clone(), spec: sealing.spec.clone() });
    golden.row("executor", m.state.executor(executor).expect("row"));
    golden.row("sector", m.state.sectors(None).next().expect("row").1);
    golden.row("attempt", m.state.attempt(AttemptToken(1)).expect("row"));
    golden.row(
        "lease",
        &LeaseRow {
            executors: vec![executor],
            holding: Holding { cores: 1, gpus: vec![2], ..Holding::default() },
            first: AttemptToken(4),
            count: 2,
            open: 1,
            owner: None,
            width: None,
        },
    );
    golden.row(
        "lease_of_owner",
        &LeaseRow {
            executors: vec![executor],
            holding: Holding { cores: 1, gpus: vec![2], ..Holding::default() },
            first: AttemptToken(4),
            count: 2,
            open: 1,
            owner: Some("ann".to_owned()),
            width: None,
        },
    );
    golden.row(
        "lease_lockstep",
        &LeaseRow {
            executors: vec![executor],
            holding: Holding { cores: 1, ..Holding::default() },
            first: AttemptToken(4),
            count: 2,
            open: 1,
            owner: Some("ann".to_owned()),
            width: Some(WidthBound::Waiting),
        },
    );
    for (name, state) in [
        ("waiting", TaskState::Waiting),
        ("ready", TaskState::Ready),
        ("back_off", TaskState::BackOff { until: UnixMillis(8) }),
        ("leased", TaskState::Leased { token: AttemptToken(3) }),
    ] {
        let row = TaskRow {
            number: 1,
            failures: 2,
            losses: 3,
            state,
            ready_since: UnixMillis(4),
            avoid: vec![executor],
            past: vec![PastAttempt { token: AttemptToken(1), executor }],
            last_failure: Some("f".to_owned()),
        };
        golden.row(&format!("task_{name}"), &row);
    }
    golden.row("owner", &owner_limits());
    golden.row("miner", &MinerRow { owner: "ann".to_owned(), last_sector: 4 });
    let (files, values) = stage_result(Stage::WinningPost);
    let executors = vec![executor];
    golden.row(
        "manifest",
        &Manifest { token: AttemptToken(2), executors, files, values, collected: false },
    );
    let ended = m.ended(TaskId::new(JobId(3), 0));
    golden.row("ended_task", &ended);
}

#[test]
fn stored_bytes_are_those_of_version_1() {
    let mut golden = Golden::default();
    commands(&mut golden);
    replies(&mut golden);
    rows(&mut golden);
    let text = golden.lines.join("\n") + "\n";
    assert_eq!(text, RECORDED, "add the new lines to tests/golden/v1.txt");
}

#[test]
fn unknown_commands_and_broken_rows_are_errors() {
    // Variant 99 does not exist.
    assert!(Command::decode(&[0x82, 0x18, 99, 0x80]).is_err());
    assert!(Command::decode(&[]).is_err());
    let whole = Command::SubmitJob(spec()).encode();
    for end in 0..whole.len() {
        assert!(Command::decode(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut m = Machine::new();
    m.submit(command("a"));
    let mut store = m.store.clone();
    store.put(TableId::JOBS, &JobId(1).key(), &[0xff]);
    assert!(matches!(State::load(&mut store), Err(LoadError::Row { table: 2, .. })));
    let mut store = m.store.clone();
    store.put(TableId::JOBS, &[1, 2, 3], &[0xff]);
    assert!(matches!(State::load(&mut store), Err(LoadError::Key { table: 2, .. })));
    let mut store = m.store.clone();
    store.delete(TableId::SPECS, &JobId(1).key());
    assert!(matches!(State::load(&mut store), Err(LoadError::Broken(_))));
}
