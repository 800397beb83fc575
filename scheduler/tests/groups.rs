//! PC1 groups: who labels together, how many, how long they wait, how they end.

mod common;
use common::*;
use hesper_scheduler::*;

const PC1: u32 = 2;

fn of_512(executor: ExecutorId) -> SealSector {
    SealSector { proof: ProofType::Sector512MiB, stop_after: Some(Stage::Pc1), ..seal(executor) }
}

/// Brings sectors to where their PC1 is ready, made on `executor`.
fn ready(
    m: &mut Machine,
    who: &str,
    executor: ExecutorId,
    request: &SealSector,
    count: u32,
) -> Vec<TaskId> {
    (0..count)
        .map(|_| {
            let reply = m.apply_as(&user(who), Command::SealSector(request.clone()));
            let Reply::Sealing { job, .. } = reply else { panic!("{reply:?}") };
            for (index, stage) in [(0, Stage::AddPiece), (1, Stage::TreeD)] {
                let lease = m.grant(executor, &[TaskId::new(job, index)]).expect("granted");
                let token = m.tokens(lease)[0];
                m.report(executor, vec![stage_finished(token, m.now, stage)]);
            }
            TaskId::new(job, PC1)
        })
        .collect()
}

/// An executor with this much memory, and more of everything else than is needed.
fn with_memory(m: &mut Machine, name: &str, memory_bytes: u64) -> ExecutorId {
    let mut hello = register(name, 32);
    hello.inventory.memory_bytes = memory_bytes;
    m.register(hello)
}

/// Executor, width and start of the reason of each lease.
fn groups(m: &Machine, leases: &[LeaseId]) -> Vec<String> {
    leases
        .iter()
        .map(|lease| {
            let order = m.state.lease_order(*lease).expect("order");
            assert_eq!(to_usize(order.width), order.attempts.len());
            let on = m.state.executor(order.executor).expect("row").name.clone();
            let reason = m.state.explain(order.attempts[0].task).expect("explained").reason;
            assert!(reason.contains(&format!("(width {})", order.attempts.len())), "{reason}");
            format!("{} on {on}", order.attempts.len())
        })
        .collect()
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).expect("small")
}

fn reason(m: &Machine, task: TaskId) -> String {
    m.state.explain(task).expect("explained").reason
}

#[test]
fn sectors_that_wait_for_pc1_become_one_group_after_the_wait() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let tasks = ready(&mut m, "ann", executor, &seal(executor), 3);
    assert_eq!(m.plan(), vec![]);
    assert_eq!(reason(&m, tasks[0]), "waits up to 2.0 s for others to label in lockstep");
    m.wait(700);
    let later = ready(&mut m, "ann", executor, &seal(executor), 1);
    assert_eq!(m.plan(), vec![]);
    assert_eq!(reason(&m, later[0]), "waits up to 1.3 s for others to label in lockstep");
    let plan = m.state.plan_with_wake(m.now, PlanBudget::default());
    assert_eq!(plan.again_at, Some(m.now.plus(1_300)), "counted from the first");
    m.wait(1_299);
    assert_eq!(m.plan(), vec![]);
    m.wait(1);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["4 on e1"]);
    let order = m.state.lease_order(leases[0]).expect("order");
    let granted: Vec<TaskId> = order.attempts.iter().map(|attempt| attempt.task).collect();
    assert_eq!(granted, [&tasks[..], &later[..]].concat());
    assert_eq!(order.holding.cores, 1, "one process");
    assert_eq!(order.holding.memory_bytes, 4 * 2 * 2048 + 64 * MIB + 2048 / 32 * 56);
    assert_eq!(m.state.usage(executor).leases, 1);
    assert_eq!(
        reason(&m, tasks[1]),
        "not yet started; granted with 3 others (width 4): no more sectors waited for it"
    );
    m.start(executor, m.tokens(leases[0])[0]);
    assert_eq!(
        reason(&m, tasks[0]),
        "runs on e1 with 3 others (width 4): no more sectors waited for it"
    );
    assert_eq!(m.state.plan_with_wake(m.now, PlanBudget::default()), Plan::default());
    m.check_reload();
    m.check_replay();
}

#[test]
fn a_leader_whose_clock_is_behind_holds_no_sector_back() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let tasks = ready(&mut m, "ann", executor, &seal(executor), 2);
    let minutes = 600_000;
    let behind = UnixMillis(m.now.0.checked_sub(minutes).expect("later"));
    let plan = m.state.plan_with_wake(behind, PlanBudget::default());
    let granted: Vec<_> = plan.grants.iter().map(|grant| grant.tasks.clone()).collect();
    assert_eq!((granted, plan.again_at), (vec![tasks], None));
}

#[test]
fn a_full_width_does_not_wait_and_the_rest_waits_on() {
    let mut m = Machine::new();
    let executor = with_memory(&mut m, "e1", 64 * GIB);
    m.configure(ConfigurationChange { pc1_group_max: Some(4), ..Default::default() });
    let tasks = ready(&mut m, "ann", executor, &seal(executor), 10);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["4 on e1", "4 on e1"]);
    insta::assert_snapshot!(reason(&m, tasks[0]), @"not yet started; granted with 3 others (width 4): pc1_group_max is 4");
    assert_eq!(reason(&m, tasks[9]), "waits up to 2.0 s for others to label in lockstep");
    m.wait(2_000);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["2 on e1"]);
    m.check_replay();
}

#[test]
fn without_a_wait_each_plan_takes_what_is_there() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    m.configure(ConfigurationChange { pc1_group_wait_ms: Some(0), ..Default::default() });
    ready(&mut m, "ann", executor, &seal(executor), 1);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["1 on e1"]);
    ready(&mut m, "ann", executor, &seal(executor), 2);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["2 on e1"]);
}

#[test]
fn the_width_is_what_memory_grants_down_to_one() {
    // The parents and small change, then 1 GiB for each lane.
    let fixed = 64 * MIB + 896 * MIB;
    let mut text = String::new();
    for (memory, expected) in [
        (fixed + 16 * GIB, 16),
        // The kernel has 1, 2, 4, 8 or 16 lanes: nine sectors need the memory of sixteen.
        (fixed + 16 * GIB - 1, 8),
        (10 * GIB + 50 * MIB, 8),
        (9 * GIB, 8),
        (fixed + 5 * GIB, 4),
        (fixed + 2 * GIB - 1, 1),
        (fixed + GIB, 1),
    ] {
        let mut m = Machine::new();
        let executor = with_memory(&mut m, "e1", memory.max(2 * GIB));
        let tasks = ready(&mut m, "ann", executor, &of_512(executor), 16);
        if memory < 2 * GIB {
            // The earlier stages needed more than is left now.
            let mut smaller = RegisterExecutor { incarnation: 2, ..register("e1", 32) };
            smaller.inventory.memory_bytes = memory;
            m.disconnect(executor);
            m.register(smaller);
        }
        let leases = m.plan();
        let order = m.state.lease_order(leases[0]).expect("order");
        assert_eq!(order.attempts.len(), expected, "{memory}");
        assert_eq!(order.holding.memory_bytes, fixed + expected as u64 * GIB);
        text.push_str(&format!("{}\n", reason(&m, tasks[0])));
        m.check_replay();
    }
    insta::assert_snapshot!(text, @r"
    not yet started; granted with 15 others (width 16): pc1_group_max is 16
    not yet started; granted with 7 others (width 8): executor e1 had 16.9 GiB free, 16 would need 16.9 GiB
    not yet started; granted with 7 others (width 8): executor e1 had 10.0 GiB free, 16 would need 16.9 GiB
    not yet started; granted with 7 others (width 8): executor e1 had 9.0 GiB free, 16 would need 16.9 GiB
    not yet started; granted with 3 others (width 4): executor e1 had 5.9 GiB free, 16 would need 16.9 GiB
    not yet started; granted alone (width 1): executor e1 had 2.9 GiB free, 16 would need 16.9 GiB
    not yet started; granted alone (width 1): executor e1 had 1.9 GiB free, 16 would need 16.9 GiB
    ");
}

#[test]
fn memory_that_other_leases_hold_does_not_count_and_a_group_of_one_does_not_wait_for_more() {
    let mut m = Machine::new();
    let executor = with_memory(&mut m, "e1", 16 * GIB);
    let mut big = command("big");
    big.demand.memory_bytes = 13 * GIB;
    m.submit(big);
    let (_, token) = m.run_one();
    let tasks = ready(&mut m, "ann", executor, &of_512(executor), 5);
    let leases = m.plan();
    // 3 GiB are free: two sectors; the others find no room for even one.
    assert_eq!(groups(&m, &leases), ["2 on e1"]);
    assert_eq!(
        reason(&m, tasks[0]),
        "not yet started; granted with 1 other (width 2): executor e1 had 3.0 GiB free, 5 would need 8.9 GiB"
    );
    assert!(reason(&m, tasks[4]).starts_with("waits for room"), "{}", reason(&m, tasks[4]));
    m.finish(executor, token, Exit::success());
    m.wait(2_000);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["3 on e1"]);
    assert_eq!(m.state.usage(executor).leases, 2);
}

#[test]
fn the_width_is_what_the_seal_path_and_the_quota_grant() {
    let mut m = Machine::new();
    let mut hello = register("e1", 32);
    hello.inventory.memory_bytes = 64 * GIB;
    hello.paths[0].reserve_bytes = 0;
    hello.paths[0].free_bytes = 3 * GIB + 100 * MIB;
    let executor = m.register(hello);
    let tasks = ready(&mut m, "ann", executor, &of_512(executor), 8);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["3 on e1"]);
    insta::assert_snapshot!(reason(&m, tasks[0]), @"not yet started; granted with 2 others (width 3): executor e1 had 3.0 GiB of disc free, 8 would need 8.0 GiB of disc");

    let mut m = Machine::new();
    let executor = with_memory(&mut m, "e1", 64 * GIB);
    let tasks = ready(&mut m, "ann", executor, &of_512(executor), 8);
    let limits = OwnerLimits { storage_bytes_max: Some(4 * GIB), ..OwnerLimits::default() };
    let set = SetOwnerLimits { owner: "ann".to_owned(), limits };
    assert_eq!(m.node(Command::SetOwnerLimits(set)), Reply::Done);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["3 on e1"]);
    insta::assert_snapshot!(reason(&m, tasks[0]), @"not yet started; granted with 2 others (width 3): the owner's quota had 3.9 GiB of storage left, 8 would need 8.0 GiB of storage");
    assert!(reason(&m, tasks[7]).starts_with("quota of user ann"), "{}", reason(&m, tasks[7]));
    m.check_replay();
}

#[test]
fn owners_sizes_and_kernels_are_never_mixed() {
    let mut m = Machine::new();
    let executor = with_memory(&mut m, "e1", 256 * GIB);
    m.configure(ConfigurationChange { pc1_group_wait_ms: Some(0), ..Default::default() });
    let request = |miner, proof, kernels| SealSector { miner, proof, kernels, ..seal(executor) };
    let small = request(1000, ProofType::Sector2KiB, None);
    let own = request(1000, ProofType::Sector2KiB, Some(Kernels::Own));
    let library = request(1000, ProofType::Sector2KiB, Some(Kernels::Library));
    let large = request(1000, ProofType::Sector8MiB, None);
    let other = request(2000, ProofType::Sector2KiB, None);
    let mut ann = ready(&mut m, "ann", executor, &small, 1);
    ann.extend(ready(&mut m, "ann", executor, &own, 1));
    let library = ready(&mut m, "ann", executor, &library, 2);
    let large = ready(&mut m, "ann", executor, &large, 2);
    let bob = ready(&mut m, "bob", executor, &other, 2);
    let leases = m.plan();
    let mut granted: Vec<(u32, Vec<TaskId>)> = leases
        .iter()
        .map(|lease| m.state.lease_order(*lease).expect("order"))
        .map(|order| (order.width, order.attempts.iter().map(|a| a.task).collect()))
        .collect();
    granted.sort();
    let mut expected = vec![
        (0, vec![library[0]]),
        (0, vec![library[1]]),
        (2, ann.clone()),
        (2, large.clone()),
        (2, bob.clone()),
    ];
    expected.sort();
    assert_eq!(granted, expected);
    let value = |task: TaskId| {
        let token =
            leases.iter().flat_map(|lease| m.state.lease_order(*lease).expect("order").attempts);
        let found = token.into_iter().find(|attempt| attempt.task == task).expect("granted");
        let WorkOrder::Stage(stage) = found.work else { panic!("a stage") };
        stage.values.get("kernels").cloned()
    };
    assert_eq!(value(library[0]).as_deref(), Some("library"));
    assert_eq!((value(ann[0]), value(ann[1])), (None, None));
    m.check_reload();

    // Nor by a grant that somebody proposes.
    let mut m = Machine::new();
    let executor = with_memory(&mut m, "e1", 256 * GIB);
    let ann = ready(&mut m, "ann", executor, &request(1000, ProofType::Sector2KiB, None), 17);
    let bob = ready(&mut m, "bob", executor, &request(2000, ProofType::Sector2KiB, None), 1);
    let large = ready(&mut m, "ann", executor, &request(1000, ProofType::Sector8MiB, None), 1);
    let kernels = Some(Kernels::Library);
    let library = ready(&mut m, "ann", executor, &request(1000, ProofType::Sector2KiB, kernels), 1);
    for tasks in [
        vec![],
        ann.clone(),
        vec![ann[0], ann[0]],
        vec![ann[0], bob[0]],
        vec![ann[0], large[0]],
        vec![ann[0], library[0]],
        vec![library[0]],
    ] {
        let refused = m.grant_group(executor, &tasks, Some(WidthBound::Waiting));
        assert!(matches!(refused, Err(GrantRefusal::BadGroup { max: 16, .. })), "{refused:?}");
    }
    let job = m.submit(command("c"));
    let refused = m.grant_group(executor, &[TaskId::new(job, 0)], Some(WidthBound::Waiting));
    assert!(matches!(refused, Err(GrantRefusal::BadGroup { .. })));
    let tree = TaskId::new(ann[0].job, 1);
    let refused = m.grant_group(executor, &[tree], Some(WidthBound::Waiting));
    assert_eq!(refused, Err(GrantRefusal::NotReady { task: tree }));
    assert!(m.grant_group(executor, &ann[..16], Some(WidthBound::Waiting)).is_ok());
}

#[test]
fn each_member_ends_on_its_own_and_the_lease_with_the_last() {
    let mut m = Machine::new();
    let executor = with_memory(&mut m, "e1", 64 * GIB);
    let tasks = ready(&mut m, "ann", executor, &of_512(executor), 4);
    m.wait(2_000);
    let lease = m.plan()[0];
    let tokens = m.tokens(lease);
    assert_eq!(tokens.len(), 4);
    let order = m.state.lease_order(lease).expect("order");
    let alone = m.state.usage(executor);
    assert_eq!((alone.leases, alone.memory_bytes), (1, 4 * GIB + 960 * MIB));
    for token in &tokens {
        m.start(executor, *token);
    }
    m.user(Command::CancelJob(tasks[1].job));
    assert_eq!(
        m.state.cancel_orders(executor),
        vec![CancelOrder { token: tokens[1], cause: StopCause::Cancelled }]
    );
    m.finish(executor, tokens[1], exit(ExitKind::Cancelled));
    assert_eq!(m.status(tasks[1].job), JobStatus::Cancelled);
    m.finish(executor, tokens[2], exit(ExitKind::NoSpace));
    assert_eq!(m.status(tasks[2].job), JobStatus::Running, "it is tried again");
    m.report(executor, vec![stage_finished(tokens[0], m.now, Stage::Pc1)]);
    assert_eq!(m.status(tasks[0].job), JobStatus::Succeeded);
    assert_eq!(m.state.usage(executor), alone, "charged until the last has ended");
    assert_eq!(
        reason(&m, tasks[3]),
        "runs on e1 with 3 others (width 4): no more sectors waited for it"
    );
    m.report(executor, vec![stage_finished(tokens[3], m.now, Stage::Pc1)]);
    assert_eq!(m.state.usage(executor), Usage::default());
    assert_eq!(m.status(tasks[3].job), JobStatus::Succeeded);
    assert_eq!(m.state.lease_order(lease), None);
    // A wider group has longer.
    let limit = order.attempts[0].time_limit_ms;
    m.wait(300_000);
    m.wait(2_000);
    let lease = m.plan()[0];
    let order = m.state.lease_order(lease).expect("the failed one again");
    assert_eq!(order.attempts.len(), 1);
    assert_eq!(order.attempts[0].task, tasks[2]);
    assert_eq!(order.attempts[0].time_limit_ms, limit, "up to 4 count as one");
    m.check_reload();
    m.check_replay();
}

#[test]
fn members_go_where_their_bytes_lie_and_wide_room_comes_before_an_empty_executor() {
    let mut m = Machine::new();
    let near = with_memory(&mut m, "near", 16 * GIB);
    let far = with_memory(&mut m, "far", 16 * GIB);
    let here = ready(&mut m, "ann", near, &of_512(near), 2);
    let there = ready(&mut m, "ann", far, &SealSector { miner: 1000, ..of_512(far) }, 3);
    m.wait(2_000);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["2 on near", "3 on far"]);
    let of = |m: &Machine, task: TaskId| reason(m, task);
    assert!(of(&m, here[1]).contains("(width 2)") && of(&m, there[0]).contains("(width 3)"));

    // Nothing to move either way: the one that takes all six, though it is busier.
    let mut m = Machine::new();
    let source = with_memory(&mut m, "source", 16 * GIB);
    with_memory(&mut m, "narrow", 3 * GIB);
    let wide = with_memory(&mut m, "wide", 16 * GIB);
    let mut busy = command("busy");
    busy.demand.cores = 20;
    let job = m.submit(busy);
    m.grant(wide, &[TaskId::new(job, 0)]).expect("granted");
    ready(&mut m, "ann", source, &of_512(source), 6);
    let cordon = SetAdmission {
        name: "source".to_owned(),
        admission: Admission::Cordoned,
        reason: String::new(),
    };
    m.user(Command::SetAdmission(cordon));
    m.wait(600_000);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["6 on wide"]);
}

#[test]
fn leases_and_jobs_from_before_there_were_groups_go_on() {
    let mut m = Machine::new();
    let executor = with_memory(&mut m, "e1", 16 * GIB);
    let tasks = ready(&mut m, "ann", executor, &of_512(executor), 1);
    // As an older leader would have granted it.
    let lease = m.grant(executor, &tasks).expect("granted");
    let order = m.state.lease_order(lease).expect("order");
    assert_eq!(order.width, 0);
    assert_eq!(
        order.holding.memory_bytes,
        demand_of(Stage::Pc1, ProofType::Sector512MiB, Kernels::Own).memory_bytes
    );
    assert_eq!(reason(&m, tasks[0]), "granted to e1, not yet started");
    m.check_reload();
}

#[test]
fn a_group_of_large_sectors_needs_two_layers_each_and_a_window_of_the_parents() {
    let demand = lockstep_demand(ProofType::Sector32GiB, 16);
    assert_eq!(demand.cores, 1);
    assert_eq!(demand.memory_bytes, 16 * 64 * GIB + GIB + 64 * MIB);
    assert_eq!(demand.disc_bytes, 16 * (352 * GIB + MIB));
    let one = lockstep_demand(ProofType::Sector2KiB, 1);
    assert_eq!(one.memory_bytes, 64 * MIB + 4096 + 3584);
}

#[test]
fn many_executors_each_get_the_widest_group_of_what_lies_there() {
    let mut m = Machine::new();
    let executors: Vec<ExecutorId> =
        (0..20).map(|number| with_memory(&mut m, &format!("e{number}"), 64 * GIB)).collect();
    // One on each in turn, so that those of one executor stand far apart in the queue.
    for _ in 0..17 {
        for &executor in &executors {
            ready(&mut m, "ann", executor, &of_512(executor), 1);
        }
    }
    let leases = m.plan();
    assert_eq!(leases.len(), 20);
    assert!(groups(&m, &leases).iter().all(|group| group.starts_with("16 on ")));
    m.wait(2_000);
    let leases = m.plan();
    assert_eq!(leases.len(), 20);
    assert!(groups(&m, &leases).iter().all(|group| group.starts_with("1 on ")));
}

#[test]
fn those_that_a_full_executor_leaves_go_to_the_next_one_together() {
    let mut m = Machine::new();
    let source = with_memory(&mut m, "source", 16 * GIB);
    for name in ["a", "b"] {
        with_memory(&mut m, name, 5 * GIB);
    }
    ready(&mut m, "ann", source, &of_512(source), 12);
    let cordon = SetAdmission {
        name: "source".to_owned(),
        admission: Admission::Cordoned,
        reason: String::new(),
    };
    m.user(Command::SetAdmission(cordon));
    // No executor is worth waiting for any more.
    m.wait(600_000);
    let leases = m.plan();
    assert_eq!(groups(&m, &leases), ["4 on a", "4 on b"]);
}
