//! Grants, groups, resources, fencing.

mod common;
use common::*;
use hesper_scheduler::*;

#[test]
fn in_a_group_of_two_one_fails_and_one_is_cancelled() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 8);
    m.executor("e2", 0);
    // Two sectors in lockstep in one process, and their jobs end apart.
    let jobs: Vec<JobId> = (0..2)
        .map(|_| match m.user(Command::SealSector(seal(executor))) {
            Reply::Sealing { job, .. } => job,
            other => panic!("{other:?}"),
        })
        .collect();
    let tasks: Vec<TaskId> = jobs.iter().map(|job| TaskId::new(*job, 0)).collect();
    let lease = m.grant(executor, &tasks).expect("granted");
    let tokens = m.tokens(lease);
    assert_eq!(tokens.len(), 2);
    let one = demand_of(Stage::AddPiece, ProofType::Sector2KiB, Kernels::Own);
    assert_eq!(m.state.usage(executor).cores, u64::from(2 * one.cores), "in lockstep: both count");
    m.start(executor, tokens[0]);
    m.start(executor, tokens[1]);

    m.user(Command::CancelJob(jobs[1]));
    assert_eq!(
        m.state.cancel_orders(executor),
        vec![CancelOrder { token: tokens[1], cause: StopCause::Cancelled }],
        "only the one attempt is told to stop"
    );
    m.finish(executor, tokens[0], exit(ExitKind::OutputBad));
    assert_eq!(m.state.usage(executor).leases, 1, "charged until the last of the group is dead");
    assert_eq!(m.status(jobs[0]), JobStatus::Running, "the failed one is retried");
    m.finish(executor, tokens[1], exit(ExitKind::Cancelled));
    assert_eq!(m.state.usage(executor), Usage::default());
    assert_eq!(m.status(jobs[1]), JobStatus::Cancelled);
    m.wait(5_000);
    let (_, token) = m.run_one();
    assert!(token > tokens[1]);
    assert_eq!(m.state.attempt(token).expect("live").number, 2);
    m.check_reload();
    m.check_replay();
}

#[test]
fn a_chain_is_charged_once_and_each_task_ends_on_its_own() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let job = m.submit(array("a", 4));
    let tasks: Vec<TaskId> = (1..=3).map(|index| TaskId::new(job, index)).collect();
    let lease = m.grant(executor, &tasks).expect("granted");
    assert_eq!(m.state.usage(executor).cores, 1);
    let refused = m.grant(executor, &[TaskId::new(job, 4)]);
    assert!(matches!(refused, Err(GrantRefusal::NoRoom { needed: 1, available: 0, .. })));
    let tokens = m.tokens(lease);
    m.finish(executor, tokens[0], Exit::success());
    m.finish(executor, tokens[1], failure(1));
    assert_eq!(m.state.usage(executor).cores, 1);
    assert_eq!(m.tokens(lease), vec![tokens[2]], "only what has not ended is ordered again");
    m.finish(executor, tokens[2], Exit::success());
    assert_eq!(m.state.usage(executor).cores, 0);
    assert!(m.grant(executor, &[TaskId::new(job, 4)]).is_ok());
    m.check_reload();
}

#[test]
fn a_grant_is_checked_again_at_its_index() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 2);
    let job = m.submit(array("a", 3));
    let other = m.submit(command("b"));
    let plan = m.state.plan(m.now, PlanBudget::default());
    let reply = m.node(Command::Grant(plan.clone()));
    assert!(matches!(reply, Reply::Granted { refused, .. } if refused.is_empty()));
    // The same plan again: nothing is ready any more.
    let reply = m.node(Command::Grant(plan));
    let Reply::Granted { leases, refused } = reply else { panic!() };
    assert_eq!((leases.len(), refused.len()), (0, 2));
    let ready = TaskId::new(job, 3);
    let cases = [
        (ExecutorId(9), vec![ready]),
        (executor, vec![]),
        (executor, vec![ready, ready]),
        (executor, vec![ready, TaskId::new(other, 0)]),
        (executor, vec![TaskId::new(job, 7)]),
        (executor, vec![TaskId::new(JobId(70), 0)]),
    ];
    let mut text = String::new();
    for (executor, tasks) in cases {
        let refusal = m.grant(executor, &tasks).expect_err("refused");
        text.push_str(&format!("{refusal}\n"));
    }
    insta::assert_snapshot!(text, @r"
    executor 9 is not connected and open, or does not serve this owner
    a group has 1 to 256 different tasks, this one has 0
    a group has 1 to 256 different tasks, this one has 2
    a group has 1 to 256 different tasks, this one has 2
    task 1.7 is not ready
    task 70.0 is not ready
    ");
    let gone = Command::SetAdmission(SetAdmission {
        name: "e1".to_owned(),
        admission: Admission::Cordoned,
        reason: "disc check".to_owned(),
    });
    assert_eq!(m.user(gone), Reply::Done);
    assert!(matches!(m.grant(executor, &[ready]), Err(GrantRefusal::Unavailable { .. })));
}

#[test]
fn gpus_are_identities_and_named_resources_count() {
    let mut m = Machine::new();
    let gpu = |device| Gpu { device, model: "x".to_owned(), memory_bytes: GIB };
    let mut hello = register("e1", 16);
    hello.inventory.gpus = vec![gpu(3), gpu(1), gpu(2)];
    hello.inventory.named.insert("licence".to_owned(), 3);
    let executor = m.register(hello);
    let spec = |gpus, licences| {
        let mut spec = command("g");
        spec.demand.gpus = gpus;
        spec.demand.named.insert("licence".to_owned(), licences);
        spec
    };
    m.submit(spec(2, 1));
    m.submit(spec(1, 1));
    m.submit(spec(1, 1));
    let starved = m.submit(spec(0, 2));
    let leases = m.plan();
    let held: Vec<Vec<u32>> =
        leases.iter().map(|l| m.state.lease_order(*l).expect("order").holding.gpus).collect();
    assert_eq!(held, vec![vec![1, 2], vec![3]]);
    let explained = m.state.explain(TaskId::new(starved, 0)).expect("explained");
    insta::assert_snapshot!(explained.executors[0].1, @"has 1 of the needed 2 licence free beside 2 leases");
    let token = m.tokens(leases[0])[0];
    m.finish(executor, token, Exit::success());
    let next = m.plan();
    assert_eq!(m.state.lease_order(next[0]).expect("order").holding.gpus, vec![1]);
}

#[test]
fn an_executor_that_comes_back_smaller_gets_nothing_until_it_fits() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let job = m.submit(array("a", 6));
    let leases = m.plan();
    assert_eq!(leases.len(), 4);
    let tokens: Vec<_> = leases.iter().flat_map(|lease| m.tokens(*lease)).collect();
    m.disconnect(executor);
    m.register(RegisterExecutor { held_tokens: tokens.clone(), ..register("e1", 2) });
    assert!(m.state.executor(executor).expect("row").shrunk);
    m.finish(executor, tokens[0], Exit::success());
    assert_eq!(m.plan(), vec![]);
    let explained = m.state.explain(TaskId::new(job, 6)).expect("explained");
    assert_eq!(explained.executors[0].1, "came back with less than its leases hold");
    for token in &tokens[1..3] {
        m.finish(executor, *token, Exit::success());
    }
    assert_eq!(m.plan().len(), 1);
    m.check_reload();
}

#[test]
fn reports_count_only_for_their_own_executor_and_incarnation() {
    let mut m = Machine::new();
    let first = m.executor("e1", 1);
    let second = m.executor("e2", 1);
    let job = m.submit(command("a"));
    let (on, token) = m.run_one();
    let other = if on == first { second } else { first };
    assert_eq!(m.finish(other, token, Exit::success()), vec![token]);
    assert_eq!(m.status(job), JobStatus::Running);
    let batch = ReportBatch { executor: on, incarnation: 99, reports: vec![] };
    assert!(matches!(
        rejected(m.node(Command::Report(batch))),
        Rejected::StaleIncarnation { incarnation: 99, .. }
    ));
    let batch = ReportBatch { executor: ExecutorId(50), incarnation: 1, reports: vec![] };
    assert!(matches!(rejected(m.node(Command::Report(batch))), Rejected::UnknownExecutor { .. }));
    assert_eq!(m.finish(on, AttemptToken(12345), Exit::success()), vec![AttemptToken(12345)]);
    assert_eq!(m.finish(on, token, Exit::success()), vec![]);
}

#[test]
fn jobs_that_cannot_begin_cordon_the_executor() {
    let mut m = Machine::new();
    let executor = m.executor("bad", 4);
    m.configure(ConfigurationChange { suspicion_max: Some(3), ..Default::default() });
    // One job with a wrong program is no evidence.
    let wrong = m.submit(JobSpec { attempts_max: 9, ..command("wrong") });
    for _ in 0..4 {
        let (_, token) = m.run_one();
        m.finish(executor, token, exit(ExitKind::NotStarted));
        m.wait(300_000);
    }
    assert_eq!(m.state.executor(executor).expect("row").admission, Admission::Open);
    m.user(Command::CancelJob(wrong));
    for _ in 0..2 {
        m.submit(command("x"));
        let (_, token) = m.run_one();
        let no_space = Exit {
            message: Some("/data: 5 bytes needed, 0 free".to_owned()),
            ..exit(ExitKind::NoSpace)
        };
        m.finish(executor, token, no_space);
    }
    let row = m.state.executor(executor).expect("row");
    assert_eq!(row.admission, Admission::Cordoned);
    insta::assert_snapshot!(row.admission_reason, @"cordoned automatically: 3 jobs in a row could not begin; the last: no space: /data: 5 bytes needed, 0 free");
    let open =
        SetAdmission { name: "bad".to_owned(), admission: Admission::Open, reason: String::new() };
    m.user(Command::SetAdmission(open));
    assert_eq!(m.state.executor(executor).expect("row").suspicion, 0);
}

#[test]
fn tokens_grow_and_are_never_reused() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 3);
    m.submit(JobSpec { attempts_max: 50, ..array("a", 20) });
    let mut last = AttemptToken(0);
    for round in 0..30 {
        m.wait(10_000);
        for lease in m.plan() {
            for token in m.tokens(lease) {
                assert!(token > last);
                last = token;
                let exit = if round % 3 == 0 { failure(1) } else { Exit::success() };
                m.finish(executor, token, exit);
            }
        }
        let loaded = State::load(&mut m.store).expect("loads");
        assert!(loaded == m.state);
    }
    assert!(last.0 > 20);
}
