//! Limits of owners: what is refused, what waits and why, and that no history breaks them.

mod common;
use common::*;
use hesper_scheduler::*;
use proptest::prelude::*;

fn limit(m: &mut Machine, owner: &str, limits: OwnerLimits) {
    let set = SetOwnerLimits { owner: owner.to_owned(), limits };
    assert_eq!(m.node(Command::SetOwnerLimits(set)), Reply::Done);
}

fn submit_as(m: &mut Machine, owner: &str, spec: JobSpec) -> JobId {
    match m.apply_as(&user(owner), Command::SubmitJob(spec)) {
        Reply::Submitted { job } => job,
        other => panic!("not submitted: {other:?}"),
    }
}

fn reason(m: &Machine, job: JobId, index: u32) -> String {
    m.state.explain(TaskId::new(job, index)).expect("the task exists").reason
}

fn cores(max: u64) -> OwnerLimits {
    OwnerLimits { cores_max: Some(max), ..OwnerLimits::default() }
}

fn held() -> OwnerLimits {
    OwnerLimits { held: true, ..OwnerLimits::default() }
}

#[test]
fn a_submission_beyond_the_jobs_of_the_owner_is_refused_with_the_numbers() {
    let mut m = Machine::new();
    m.executor("e1", 4);
    limit(&mut m, "ann", OwnerLimits { jobs_max: Some(2), ..OwnerLimits::default() });
    m.submit(command("a"));
    m.submit(command("b"));
    let refused = rejected(m.user(Command::SubmitJob(command("c"))));
    insta::assert_snapshot!(refused, @"quota of user ann: 2 of 2 jobs in use, 1 more do not fit; wait until some are free, or let an administrator raise it with `hesper auth quota set`");
    assert_eq!(refused.retry(), Retry::After { millis: 1_000 });
    let two = SubmitGraph { jobs: vec![command("a"), command("b")], edges: Vec::new() };
    assert!(matches!(
        rejected(m.user(Command::SubmitGraph(two))),
        Rejected::QuotaExceeded { adding: 2, .. }
    ));
    // Another owner is not concerned, and an ended job makes room.
    submit_as(&mut m, "bob", command("d"));
    let (executor, token) = m.run_one();
    m.finish(executor, token, Exit::success());
    m.submit(command("c"));
    m.check_reload();
    m.check_replay();
}

#[test]
fn leases_stay_within_the_cores_and_gpus_and_the_reason_says_so() {
    let mut m = Machine::new();
    let mut hello = register("e1", 16);
    hello.inventory.gpus =
        (0..4).map(|device| Gpu { device, model: "g".to_owned(), memory_bytes: GIB }).collect();
    let executor = m.register(hello);
    limit(&mut m, "ann", OwnerLimits { gpus_max: Some(1), ..cores(8) });
    let job = m.submit(array("a", 10));
    assert_eq!(m.plan().len(), 8);
    assert_eq!(m.state.owner_usage("ann").cores, 8);
    insta::assert_snapshot!(reason(&m, job, 10), @"quota of user ann: 8 of 8 cores in use, it needs 1");
    insta::assert_snapshot!(
        m.grant(executor, &[TaskId::new(job, 9)]).expect_err("beyond the quota"),
        @"quota of user ann: 8 of 8 cores in use, the group needs 1"
    );
    let mut wide = command("wide");
    wide.demand.cores = 9;
    let wide = m.submit(wide);
    insta::assert_snapshot!(reason(&m, wide, 0), @"quota of user ann: it needs 9 cores, more than the 8 allowed");
    // No room is kept for what a quota stops.
    m.wait(60_000);
    submit_as(&mut m, "bob", array("b", 8));
    assert_eq!(m.plan().len(), 8);

    let mut m = Machine::new();
    let mut hello = register("e1", 16);
    hello.inventory.gpus =
        (0..4).map(|device| Gpu { device, model: "g".to_owned(), memory_bytes: GIB }).collect();
    m.register(hello);
    limit(&mut m, "ann", OwnerLimits { gpus_max: Some(1), ..OwnerLimits::default() });
    let mut gpu = array("g", 3);
    gpu.demand.gpus = 1;
    let gpu = m.submit(gpu);
    assert_eq!(m.plan().len(), 1);
    insta::assert_snapshot!(reason(&m, gpu, 3), @"quota of user ann: 1 of 1 gpus in use, it needs 1");
    m.check_reload();
}

#[test]
fn a_lowered_quota_ends_nothing_and_lets_nothing_start() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 8);
    m.submit(array("a", 8));
    let leases = m.plan();
    limit(&mut m, "ann", cores(2));
    assert_eq!(m.state.owner_usage("ann").cores, 8);
    m.submit(command("later"));
    for (number, lease) in leases.into_iter().enumerate() {
        assert_eq!(m.plan().len(), 0, "{number}");
        let token = m.tokens(lease)[0];
        m.finish(executor, token, Exit::success());
        if m.state.owner_usage("ann").cores < 2 {
            break;
        }
    }
    assert_eq!(m.plan().len(), 1);
    m.check_reload();
    m.check_replay();
}

#[test]
fn stored_bytes_are_charged_and_stop_the_next_sector() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    m.user(Command::SealSector(seal(executor)));
    let lease = m.plan()[0];
    assert_eq!(m.state.owner_usage("ann").sector_bytes, 0);
    assert!(m.state.owner_usage("ann").reserved_bytes > 0);
    let token = m.tokens(lease)[0];
    m.report(executor, vec![stage_finished(token, m.now, Stage::AddPiece)]);
    assert_eq!(m.state.owner_usage("ann").sector_bytes, 2048);
    assert_eq!(m.state.owner_usage("ann").reserved_bytes, 0);
    let limits = OwnerLimits { storage_bytes_max: Some(2048), ..OwnerLimits::default() };
    limit(&mut m, "ann", limits);
    assert!(matches!(
        rejected(m.user(Command::SealSector(seal(executor)))),
        Rejected::QuotaExceeded { what, used: 2048, max: 2048, .. } if what == "storage bytes"
    ));
    assert_eq!(m.plan().len(), 0);
    let waits = reason(&m, JobId(1), 1);
    assert!(waits.contains("storage bytes, more than the 2048 allowed"), "{waits}");
    m.check_reload();
}

#[test]
fn a_disabled_owner_starts_nothing_and_its_running_attempts_go_on() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let job = m.submit(array("a", 3));
    let (_, token) = m.run_one();
    limit(&mut m, "ann", held());
    m.events();
    insta::assert_snapshot!(reason(&m, job, 2), @"user ann is disabled");
    insta::assert_snapshot!(
        rejected(m.user(Command::SubmitJob(command("b")))),
        @"user ann is disabled; let an administrator enable it with `hesper auth user enable`"
    );
    assert_eq!(m.finish(executor, token, Exit::success()), Vec::new(), "its report counts");
    assert_eq!(m.plan().len(), 0);
    assert!(matches!(
        m.grant(executor, &[TaskId::new(job, 2)]),
        Err(GrantRefusal::OwnerHeld { owner }) if owner == "ann"
    ));
    m.check_reload();
    limit(&mut m, "ann", OwnerLimits::default());
    assert_eq!(m.plan().len(), 1);
    m.check_reload();
    m.check_replay();
}

/// A machine with one sector of `ann` that is sealed to the end.
fn sealed() -> Machine {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    m.user(Command::SealSector(seal(executor)));
    for _ in 0..7 {
        let (executor, token) = m.run_one();
        let task = m.state.attempt(token).expect("live").task;
        let stage = m.state.task(task).expect("live").stage;
        let stage = Stage::from_name(stage).expect("a stage");
        m.report(executor, vec![stage_finished(token, m.now, stage)]);
    }
    m
}

#[test]
fn proofs_pass_every_quota_but_not_a_disabled_owner() {
    let mut m = sealed();
    let none = OwnerLimits {
        jobs_max: Some(0),
        cores_max: Some(0),
        gpus_max: Some(0),
        storage_bytes_max: Some(0),
        held: false,
    };
    limit(&mut m, "ann", none);
    let prove = |kind| {
        let randomness = "0b".repeat(32);
        Command::Prove(Prove { kind, miner: 1000, sectors: vec![1], randomness, priority: 0 })
    };
    assert!(matches!(m.user(prove(ProveKind::Winning)), Reply::Submitted { .. }));
    assert!(matches!(m.user(prove(ProveKind::Window)), Reply::Submitted { .. }));
    assert_eq!(m.plan().len(), 2);
    assert!(m.state.owner_usage("ann").cores >= 2, "they are charged");
    limit(&mut m, "ann", held());
    assert!(matches!(rejected(m.user(prove(ProveKind::Winning))), Rejected::OwnerHeld { .. }));
    m.check_reload();
}

#[test]
fn only_administrators_and_nodes_set_limits() {
    let mut m = Machine::new();
    let set = SetOwnerLimits { owner: "ann".to_owned(), limits: cores(1) };
    let refused = rejected(m.user(Command::SetOwnerLimits(set.clone())));
    assert!(matches!(refused, Rejected::NotAllowed { .. }));
    assert_eq!(m.state.owner_limits("ann"), OwnerLimits::default());
    let nobody = SetOwnerLimits { owner: String::new(), ..set };
    assert!(matches!(rejected(m.node(Command::SetOwnerLimits(nobody))), Rejected::BadField { .. }));
}

#[derive(Debug, Clone)]
enum Step {
    Limit { owner: u8, cores: Option<u64>, gpus: Option<u64>, bytes: Option<u64>, held: bool },
    Submit { owner: u8, array: u32, cores: u32, gpus: u32 },
    Seal { owner: u8 },
    Plan,
    Grant { job: u64, index: u32 },
    Finish { pick: usize },
    Cancel { job: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let some = |max: u64| prop::option::of(0..max);
    prop_oneof![
        2 => (0u8..2, some(6), some(3), some(12 << 20), prop::bool::weighted(0.2)).prop_map(
            |(owner, cores, gpus, bytes, held)| Step::Limit { owner, cores, gpus, bytes, held }
        ),
        3 => (0u8..2, 1u32..6, 1u32..4, 0u32..2).prop_map(
            |(owner, array, cores, gpus)| Step::Submit { owner, array, cores, gpus }
        ),
        2 => (0u8..2).prop_map(|owner| Step::Seal { owner }),
        6 => Just(Step::Plan),
        3 => (1u64..12, 0u32..7).prop_map(|(job, index)| Step::Grant { job, index }),
        6 => any::<usize>().prop_map(|pick| Step::Finish { pick }),
        1 => (1u64..12).prop_map(|job| Step::Cancel { job }),
    ]
}

const OWNERS: [&str; 2] = ["ann", "bob"];

fn take(m: &mut Machine, executor: ExecutorId, step: Step) {
    let owner = |number: u8| OWNERS[usize::from(number)];
    match step {
        Step::Limit { owner: of, cores, gpus, bytes, held } => {
            let limits = OwnerLimits {
                jobs_max: None,
                cores_max: cores,
                gpus_max: gpus,
                storage_bytes_max: bytes,
                held,
            };
            limit(m, owner(of), limits);
        }
        Step::Submit { owner: of, array: last, cores, gpus } => {
            let mut spec = array("a", last);
            spec.demand = Demand { cores, gpus, ..Demand::default() };
            m.apply_as(&user(owner(of)), Command::SubmitJob(spec));
        }
        Step::Seal { owner: of } => {
            let miner = 1000 + u64::from(of);
            let request = SealSector { miner, ..seal(executor) };
            m.apply_as(&user(owner(of)), Command::SealSector(request));
        }
        Step::Plan => {
            m.plan();
        }
        Step::Grant { job, index } => {
            let _ = m.grant(executor, &[TaskId::new(JobId(job), index)]);
        }
        Step::Finish { pick } => {
            let leases = m.state.leases_of(executor);
            let Some(lease) = pick.checked_rem(leases.len()).map(|at| leases[at]) else { return };
            let token = AttemptToken(lease.0);
            let Some(task) = m.state.attempt(token).map(|attempt| attempt.task) else { return };
            let stage = m.state.task(task).and_then(|view| Stage::from_name(view.stage));
            let report = match stage {
                Some(stage) => stage_finished(token, m.now, stage),
                None => Report::Finished(finished(token, m.now, Exit::success())),
            };
            m.report(executor, vec![report]);
        }
        Step::Cancel { job } => {
            m.node(Command::CancelJob(JobId(job)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_history_grows_beyond_a_quota(steps in prop::collection::vec(step(), 1..120)) {
        let mut m = Machine::new();
        let mut hello = register("e1", 16);
        hello.inventory.gpus = (0..4)
            .map(|device| Gpu { device, model: "g".to_owned(), memory_bytes: GIB })
            .collect();
        let executor = m.register(hello);
        for step in steps {
            let before = OWNERS.map(|owner| m.state.owner_usage(owner));
            take(&mut m, executor, step);
            for (owner, before) in OWNERS.into_iter().zip(before) {
                let (now, limits) = (m.state.owner_usage(owner), m.state.owner_limits(owner));
                let within = |now: u64, before: u64, max: Option<u64>| {
                    now <= before || max.is_none_or(|max| now <= max)
                };
                prop_assert!(within(now.cores, before.cores, limits.cores_max), "{:?}", now);
                prop_assert!(within(now.gpus, before.gpus, limits.gpus_max), "{:?}", now);
                prop_assert!(
                    now.reserved_bytes <= before.reserved_bytes
                        || limits.storage_bytes_max.is_none_or(|max| now.storage_bytes() <= max),
                    "{:?}", now
                );
                prop_assert!(!limits.held || now.leases <= before.leases, "a held owner started");
            }
        }
        m.check_reload();
        m.check_replay();
    }
}
