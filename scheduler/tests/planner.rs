//! What the planner prefers, what it costs, and why tasks wait.

mod common;
use common::*;
use hesper_scheduler::*;

fn on(m: &Machine, lease: LeaseId) -> String {
    let order = m.state.lease_order(lease).expect("order");
    m.state.executor(order.executor).expect("row").name.clone()
}

fn with_cores(cores: u32) -> JobSpec {
    JobSpec { demand: Demand { cores, ..Demand::default() }, ..command("wide") }
}

#[test]
fn higher_priority_runs_first_then_older_jobs() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let low = m.submit(command("low"));
    let lower = m.submit(JobSpec { priority: -5, ..command("lower") });
    let high = m.submit(JobSpec { priority: 7, ..command("high") });
    let later = m.submit(command("later"));
    let mut order = Vec::new();
    for _ in 0..4 {
        let (_, token) = m.run_one();
        order.push(m.state.attempt(token).expect("live").task.job);
        m.finish(executor, token, Exit::success());
    }
    assert_eq!(order, vec![high, low, later, lower]);
}

#[test]
fn work_spreads_over_executors() {
    let mut m = Machine::new();
    m.executor("e1", 4);
    m.executor("e2", 4);
    m.executor("e3", 8);
    m.submit(array("a", 8));
    let mut names: Vec<String> = m.plan().into_iter().map(|lease| on(&m, lease)).collect();
    names.sort();
    assert_eq!(names, ["e1", "e1", "e2", "e2", "e3", "e3", "e3", "e3"]);
}

#[test]
fn short_tasks_are_chained_by_their_mean_and_a_fair_share() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 2);
    m.submit(array("short", 1_000));
    let leases = m.plan();
    assert_eq!(leases.len(), 2);
    assert!(leases.iter().all(|lease| m.tokens(*lease).len() == 1), "nothing is known yet");
    for lease in leases {
        let token = m.tokens(lease)[0];
        m.finish(executor, token, Exit::success());
    }
    // 5 ms each: about a second's worth is 200.
    let sizes = |m: &mut Machine| -> Vec<usize> {
        let leases = m.plan();
        leases.iter().map(|lease| m.tokens(*lease).len()).collect()
    };
    assert_eq!(sizes(&mut m), vec![200, 200]);

    // The order to the executor stays small even when the command is large.
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let mut large = array("large", 1_000);
    large.command.args.push("x".repeat(40_000));
    m.submit(large);
    let (_, token) = m.run_one();
    m.finish(executor, token, Exit::success());
    assert_eq!(sizes(&mut m), vec![13]);

    let mut m = Machine::new();
    let executor = m.executor("e1", 2);
    m.submit(array("few", 14));
    for lease in m.plan() {
        let token = m.tokens(lease)[0];
        m.finish(executor, token, Exit::success());
    }
    assert_eq!(sizes(&mut m), vec![3, 3], "12 are left for 2 slots: a quarter each");

    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    m.submit(array("long", 100));
    let (_, token) = m.run_one();
    let report = Finished { ended_at: m.now.plus(500), ..finished(token, m.now, Exit::success()) };
    m.report(executor, vec![Report::Finished(report)]);
    assert_eq!(sizes(&mut m), vec![1], "half a second each: one at a time");
}

#[test]
fn ten_thousand_tasks_for_another_resource_do_not_stand_in_the_way() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let mut gpu = array("gpu", 10_000);
    gpu.demand.gpus = 1;
    gpu.priority = 10;
    let blocked = m.submit(gpu);
    for _ in 0..200 {
        let mut one = command("gpu");
        one.demand.gpus = 1;
        m.submit(one);
    }
    let job = m.submit(command("cpu"));
    let (_, token) = m.run_one();
    assert_eq!(m.state.attempt(token).expect("live").task.job, job);
    m.finish(executor, token, Exit::success());
    let explained = m.state.explain(TaskId::new(blocked, 9_999)).expect("explained");
    insta::assert_snapshot!(format!("{}\n{:?}", explained.reason, explained.executors), @r#"
    no executor can ever run it; it needs 1 cores, 1 gpus
    [("e1", "can never run it: it needs 1 gpus and there are 0 in all")]
    "#);
}

#[test]
fn a_wide_job_is_not_starved_by_a_stream_of_small_ones() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    m.submit(array("small", 4));
    let mut running: Vec<AttemptToken> =
        m.plan().into_iter().flat_map(|lease| m.tokens(lease)).collect();
    assert_eq!(running.len(), 4);
    let wide = m.submit(with_cores(4));
    m.submit(array("stream", 500));
    // Small tasks fill every gap until the wide one has waited its time; then the room is kept.
    let mut seconds = 0;
    while m.status(wide) == JobStatus::Pending {
        seconds += 1;
        assert!(seconds < 30, "starved");
        m.wait(1_000);
        if !running.is_empty() {
            let token = running.remove(0);
            // Long enough not to be chained.
            let report =
                Finished { ended_at: m.now.plus(900), ..finished(token, m.now, Exit::success()) };
            m.report(executor, vec![Report::Finished(report)]);
        }
        for lease in m.plan() {
            running.extend(m.tokens(lease));
        }
    }
    assert!((10..=16).contains(&seconds), "{seconds}");
}

#[test]
fn room_that_a_waiting_job_cannot_use_is_filled() {
    let mut m = Machine::new();
    m.executor("e1", 4);
    m.executor("e2", 2);
    let first = m.submit(with_cores(3));
    assert_eq!(m.plan().len(), 1);
    let wide = m.submit(with_cores(4));
    let small = m.submit(array("small", 5));
    m.wait(20_000);
    // e1 is kept for the wide job; e2 could never run it.
    let names: Vec<String> = m.plan().into_iter().map(|lease| on(&m, lease)).collect();
    assert_eq!(names, ["e2", "e2"]);
    let explained = m.state.explain(TaskId::new(small, 5)).expect("explained");
    insta::assert_snapshot!(
        format!("{}\n{:?}", explained.reason, explained.executors),
        @r#"
        waits for room: it needs 1 cores
        [("e1", "keeps its room for work that has waited longer"), ("e2", "has 0 of the needed 1 cores free beside 2 leases")]
        "#
    );
    let explained = m.state.explain(TaskId::new(wide, 0)).expect("explained");
    insta::assert_snapshot!(
        format!("{}\n{:?}", explained.reason, explained.executors),
        @r#"
        waits for room: it needs 4 cores
        [("e1", "has 1 of the needed 4 cores free beside 1 leases"), ("e2", "can never run it: it needs 4 cores and there are 2 in all")]
        "#
    );
    assert_eq!(m.status(first), JobStatus::Running);
}

#[test]
fn a_stage_waits_for_its_bytes_as_long_as_moving_them_would_take() {
    let mut m = Machine::new();
    let near = m.executor("near", 1);
    let far = m.executor("far", 1);
    m.configure(ConfigurationChange { transfer_bytes_per_ms: Some(1), ..Default::default() });
    let Reply::Sealing { job, .. } =
        m.user(Command::SealSector(SealSector { stop_after: Some(Stage::TreeD), ..seal(near) }))
    else {
        panic!()
    };
    let lease = m.plan()[0];
    assert_eq!(on(&m, lease), "near", "the piece lies there");
    let token = m.tokens(lease)[0];
    let report = stage_finished(token, m.now, Stage::AddPiece);
    // Something else takes the place next to the bytes.
    m.report(near, vec![report]);
    let other = m.submit(JobSpec { priority: 9, ..command("other") });
    let leases = m.plan();
    assert_eq!(leases.len(), 1);
    let blocked = m.state.attempt(m.tokens(leases[0])[0]).expect("live").executor;
    assert_eq!(m.state.attempt(m.tokens(leases[0])[0]).expect("live").task.job, other);
    if blocked == near {
        let explained = m.state.explain(TaskId::new(job, 1)).expect("explained");
        insta::assert_snapshot!(explained.reason, @"waits for near, which spares moving 2048 bytes");
        m.wait(2_000);
        assert_eq!(m.plan(), vec![], "2,048 bytes take 2,048 ms");
        m.wait(48);
        let lease = m.plan()[0];
        assert_eq!(m.state.lease_order(lease).expect("order").executor, far);
    }
}

#[test]
fn every_pending_task_has_a_reason() {
    let mut m = Machine::new();
    let reason = |m: &Machine, job: JobId| m.state.job_reason(job);
    let mut text = String::new();
    let mut note = |line: &str, reason: String| text.push_str(&format!("{line}: {reason}\n"));
    let first = m.submit(command("first"));
    note("no executor", reason(&m, first));
    let executor = m.executor("e1", 2);
    note("an executor", reason(&m, first));
    m.disconnect(executor);
    note("disconnected", reason(&m, first));
    m.register(RegisterExecutor { incarnation: 2, ..register("e1", 2) });
    let (_, token) = m.run_one();
    note("granted", reason(&m, first));
    m.start(executor, token);
    note("running", reason(&m, first));
    let second = m.submit(after(command("second"), first, DependencyKind::AfterOk));
    note("dependency", reason(&m, second));
    let wide = m.submit(with_cores(2));
    note("no room", reason(&m, wide));
    let never = m.submit(with_cores(64));
    note("never", reason(&m, never));
    m.finish(executor, token, exit(ExitKind::Signaled));
    note("back-off", reason(&m, first));
    m.user(Command::CancelJob(first));
    note("cancelled", reason(&m, first));
    note("its follower", reason(&m, second));
    m.wait(1);
    m.plan();
    m.user(Command::CancelJob(wide));
    note("stopping", m.state.explain(TaskId::new(wide, 0)).expect("explained").reason);
    insta::assert_snapshot!(text, @r"
    no executor: no executor has joined the cluster yet
    an executor: will be started now
    disconnected: no executor is connected and open
    granted: granted to e1, not yet started
    running: runs on e1
    dependency: waits until job 1 has succeeded
    no room: waits for room: it needs 2 cores
    never: no executor can ever run it; it needs 64 cores
    back-off: tries again in 1 s; attempt 1 ended by signal 0
    cancelled: cancelled by ann@desk
    its follower: it could only run once job 1 has succeeded, but that job was cancelled
    stopping: the job is being stopped
    ");
}

#[test]
fn a_stage_does_not_start_while_nobody_connected_has_its_input() {
    let mut m = Machine::new();
    let first = m.executor("e1", 1);
    let Reply::Sealing { job, .. } = m.user(Command::SealSector(seal(first))) else { panic!() };
    let (_, token) = m.run_one();
    m.report(first, vec![stage_finished(token, m.now, Stage::AddPiece)]);
    m.executor("e2", 1);
    m.disconnect(first);
    m.wait(3_600_000);
    assert_eq!(m.plan(), vec![], "an attempt would only be spent");
    let explained = m.state.explain(TaskId::new(job, 1)).expect("explained");
    insta::assert_snapshot!(explained.reason, @"waits for e1, which holds its input `unsealed` and is away");
    // Other work goes on meanwhile.
    m.submit(command("other"));
    assert_eq!(m.plan().len(), 1);
    m.register(RegisterExecutor { incarnation: 2, ..register("e1", 1) });
    assert_eq!(m.plan().len(), 1);
}
