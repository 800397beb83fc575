//! Submission, dependencies, cancellation, retries, history.

mod common;
use common::*;
use hesper_scheduler::*;

#[test]
fn a_command_runs_once_and_its_result_is_kept() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 2);
    let job = m.submit(command("a"));
    assert_eq!(m.status(job), JobStatus::Pending);
    let (on, token) = m.run_one();
    assert_eq!(on, executor);
    m.start(executor, token);
    insta::assert_snapshot!(m.tasks(job), @"1.0 command running attempt 1 on e1");
    assert_eq!(m.finish(executor, token, Exit::success()), vec![]);
    assert_eq!(m.status(job), JobStatus::Succeeded);
    let ended = m.ended(TaskId::new(job, 0));
    assert_eq!((ended.outcome, ended.token, ended.number), (Outcome::Succeeded, Some(token), 1));
    // Sent again: known, not applied.
    assert_eq!(m.finish(executor, token, failure(1)), vec![token]);
    assert_eq!(m.status(job), JobStatus::Succeeded);
    m.check_reload();
    m.check_replay();
}

#[test]
fn bad_submissions_are_refused_with_words() {
    let mut m = Machine::new();
    m.executor("e1", 2);
    let first = m.submit(command("a"));
    let ranges = |ranges: &[(u32, u32, u32)]| {
        let ranges =
            ranges.iter().map(|&(first, last, step)| Range { first, last, step }).collect();
        JobSpec { array: Some(ArraySpec { ranges, running_max: 0 }), ..command("x") }
    };
    let mut no_program = command("x");
    no_program.command.program.clear();
    let mut zero_byte = command("x");
    zero_byte.command.args.push("a\0b".to_owned());
    let mut huge = command("x");
    huge.command.args.push("a".repeat(100_000));
    let mut bad_env = command("x");
    bad_env.command.env.insert("A=B".to_owned(), String::new());
    let cases = vec![
        no_program,
        zero_byte,
        huge,
        bad_env,
        ranges(&[]),
        ranges(&[(5, 1, 1)]),
        ranges(&[(1, 5, 0)]),
        ranges(&[(1, 5, 1), (5, 9, 1)]),
        ranges(&[(0, u32::MAX, 1)]),
        after(command("x"), JobId(99), DependencyKind::AfterOk),
        after(command("x"), JobId(first.0 + 1), DependencyKind::AfterOk),
        after(command("x"), JobId(0), DependencyKind::AfterOk),
    ];
    let mut text = String::new();
    for case in cases {
        let before = m.store.state_hash();
        text.push_str(&rejected(m.user(Command::SubmitJob(case))).to_string());
        text.push('\n');
        assert_eq!(m.store.state_hash(), before, "a refused command changes nothing");
    }
    insta::assert_snapshot!(text, @r"
    `program` is empty; name the program to run
    `command` contains a zero byte, which no program can be given
    bytes of the command with its environment: 100021 is more than the 49152 that one command may carry; send it in parts
    `env` has the name `A=B`; names are not empty, without `=`
    `array` names no task; give a range such as 1-100
    `array` has the range 5-1:1; write first-last:step, step at least 1
    `array` has the range 1-5:0; write first-last:step, step at least 1
    `array` names 5 twice or out of order; sort the ranges
    tasks of an array: 4294967296 is more than the 1000000 that one command may carry; send it in parts
    the job is to run after job 99, which does not exist (the last one is 1); a job can only follow jobs that were submitted before it
    the job is to run after job 2, which does not exist (the last one is 1); a job can only follow jobs that were submitted before it
    the job is to run after job 0, which does not exist (the last one is 1); a job can only follow jobs that were submitted before it
    ");
}

#[test]
fn the_queue_limit_counts_tasks_and_jobs() {
    let mut m = Machine::new();
    m.configure(ConfigurationChange {
        queued_tasks_max: Some(10),
        queued_jobs_max: Some(3),
        ..Default::default()
    });
    m.submit(array("a", 8));
    let reply = m.user(Command::SubmitJob(array("b", 3)));
    let refused = rejected(reply);
    assert!(matches!(refused, Rejected::QueueFull { queued: 8, adding: 3, limit: 10, .. }));
    assert_eq!(refused.retry(), Retry::After { millis: 1_000 });
    m.submit(command("c"));
    m.submit(command("d"));
    assert!(matches!(
        rejected(m.user(Command::SubmitJob(command("e")))),
        Rejected::QueueFull { limit: 3, .. }
    ));
    m.user(Command::CancelJob(JobId(1)));
    m.submit(command("f"));
}

#[test]
fn a_graph_with_a_cycle_is_refused_whole() {
    let mut m = Machine::new();
    let edge = |job, after| Edge { job, after, kind: DependencyKind::AfterOk };
    let jobs = vec![command("a"), command("b"), command("c"), command("d")];
    let edges = vec![edge(1, 0), edge(2, 1), edge(1, 2), edge(3, 0)];
    let reply = m.user(Command::SubmitGraph(SubmitGraph { jobs: jobs.clone(), edges }));
    insta::assert_snapshot!(rejected(reply), @"the jobs `b` (number 1), `c` (number 2) wait for each other in a circle; remove one of these edges");
    assert_eq!(m.state.jobs().count(), 0);
    let edges = vec![edge(0, 7)];
    let reply = m.user(Command::SubmitGraph(SubmitGraph { jobs: jobs.clone(), edges }));
    assert!(matches!(rejected(reply), Rejected::BadField { .. }));
    // Edges may point to later positions.
    let edges = vec![edge(0, 3), edge(1, 0), edge(2, 1)];
    let reply = m.user(Command::SubmitGraph(SubmitGraph { jobs, edges }));
    let Reply::GraphSubmitted { jobs } = reply else { panic!("{reply:?}") };
    let executor = m.executor("e1", 8);
    for job in [jobs[3], jobs[0], jobs[1], jobs[2]] {
        let leases = m.plan();
        assert_eq!(leases.len(), 1);
        let token = m.tokens(leases[0])[0];
        assert_eq!(m.state.attempt(token).expect("live").task.job, job);
        m.finish(executor, token, Exit::success());
    }
    m.check_reload();
}

#[test]
fn dependencies_release_fail_and_cascade() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let first = m.submit(JobSpec { attempts_max: 1, ..command("first") });
    let ok = m.submit(after(command("ok"), first, DependencyKind::AfterOk));
    let any = m.submit(after(command("any"), first, DependencyKind::AfterAny));
    let not_ok = m.submit(after(command("not ok"), first, DependencyKind::AfterNotOk));
    let deep = m.submit(after(command("deep"), ok, DependencyKind::AfterOk));
    insta::assert_snapshot!(m.state.job_reason(ok), @"waits until job 1 has succeeded");
    let (_, token) = m.run_one();
    m.finish(executor, token, failure(3));
    assert_eq!(m.status(first), JobStatus::Failed);
    assert_eq!(m.status(ok), JobStatus::Failed);
    assert_eq!(m.status(deep), JobStatus::Failed);
    assert_eq!(m.status(any), JobStatus::Pending);
    assert_eq!(m.status(not_ok), JobStatus::Pending);
    let reason = m.state.job(deep).expect("job").reason().expect("reason");
    insta::assert_snapshot!(reason, @"it could only run once job 2 has succeeded, but that job failed");
    // A dependency that can never be met any more: accepted, and failed with the reason.
    let late = m.submit(after(command("late"), first, DependencyKind::AfterOk));
    assert_eq!(m.status(late), JobStatus::Failed);
    let fine = m.submit(after(command("fine"), first, DependencyKind::AfterAny));
    assert_eq!(m.status(fine), JobStatus::Pending);
    m.check_reload();
    m.check_replay();
}

#[test]
fn failures_back_off_then_poison_the_task() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let job = m.submit(command("a"));
    for attempt in 1..=3 {
        let (_, token) = m.run_one();
        m.finish(executor, token, failure(7));
        if attempt < 3 {
            assert_eq!(m.plan(), vec![], "it backs off");
            let explained = m.state.explain(TaskId::new(job, 0)).expect("explained").reason;
            assert!(explained.starts_with("tries again in"), "{explained}");
            m.wait(60_000);
        }
    }
    assert_eq!(m.status(job), JobStatus::Failed);
    assert_eq!(
        m.state.job(job).expect("job").reason().as_deref(),
        Some("task 0 exited with status 7")
    );
    assert_eq!(m.ended(TaskId::new(job, 0)).number, 3);
}

#[test]
fn a_retry_goes_to_another_executor_first() {
    let mut m = Machine::new();
    m.executor("e1", 1);
    m.executor("e2", 1);
    m.submit(command("a"));
    let (first, token) = m.run_one();
    m.finish(first, token, failure(1));
    m.wait(5_000);
    let (second, token) = m.run_one();
    assert_ne!(first, second);
    m.finish(second, token, failure(1));
    m.wait(60_000);
    // Both failed: it still runs.
    assert_eq!(m.plan().len(), 1);
}

#[test]
fn at_most_once_is_never_run_again() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let spec = || JobSpec { at_most_once: true, ..command("once") };
    let failed = m.submit(spec());
    let (_, token) = m.run_one();
    m.finish(executor, token, failure(1));
    assert_eq!(m.status(failed), JobStatus::Failed);

    let lost = m.submit(spec());
    let (_, token) = m.run_one();
    m.start(executor, token);
    m.finish(executor, token, exit(ExitKind::Lost));
    assert_eq!(m.status(lost), JobStatus::Failed);
    assert_eq!(m.ended(TaskId::new(lost, 0)).exit.expect("exit").kind, ExitKind::Lost);

    // It never began, so it may be tried again.
    let unstarted = m.submit(spec());
    let (_, token) = m.run_one();
    m.finish(executor, token, exit(ExitKind::NotStarted));
    assert_eq!(m.status(unstarted), JobStatus::Running);
    m.wait(5_000);
    let (_, token) = m.run_one();
    m.finish(executor, token, Exit::success());
    assert_eq!(m.status(unstarted), JobStatus::Succeeded);
}

#[test]
fn a_time_limit_ends_a_command_for_good() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let job = m.submit(JobSpec { time_limit_ms: 50, ..command("slow") });
    let lease = m.plan()[0];
    assert_eq!(m.state.lease_order(lease).expect("order").attempts[0].time_limit_ms, 50);
    let token = m.tokens(lease)[0];
    m.finish(executor, token, exit(ExitKind::TimedOut));
    assert_eq!(m.status(job), JobStatus::Failed);
}

#[test]
fn cancelling_stops_what_runs_and_drops_the_rest() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 2);
    let job = m.submit(array("a", 10));
    let leases = m.plan();
    assert_eq!(leases.len(), 2);
    let tokens: Vec<_> = leases.iter().flat_map(|lease| m.tokens(*lease)).collect();
    m.events();
    assert_eq!(m.user(Command::CancelJob(job)), Reply::Cancelled { already_ended: false });
    let cancelled: Vec<_> = m
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::CancelAttempt { token, .. } => Some(token),
            _ => None,
        })
        .collect();
    assert_eq!(cancelled, tokens);
    assert_eq!(m.state.cancel_orders(executor).len(), 2);
    assert_eq!(m.state.usage(executor).cores, 2, "charged until dead");
    assert_eq!(m.status(job), JobStatus::Running);
    assert_eq!(m.plan(), vec![]);
    m.finish(executor, tokens[0], exit(ExitKind::Cancelled));
    m.report(executor, vec![Report::Gone(tokens[1])]);
    assert_eq!(m.status(job), JobStatus::Cancelled);
    assert_eq!(m.state.usage(executor), Usage::default());
    assert_eq!(m.state.job_counts(job).cancelled, 10);
    assert_eq!(m.user(Command::CancelJob(job)), Reply::Cancelled { already_ended: true });
    m.check_reload();
}

#[test]
fn only_the_owner_and_administrators_touch_a_job() {
    let mut m = Machine::new();
    let job = m.submit(command("a"));
    let bob = user("bob");
    insta::assert_snapshot!(rejected(m.apply_as(&bob, Command::CancelJob(job))), @"`bob@desk` may not cancel job 1; ask its owner or an administrator");
    let reply =
        m.apply_as(&bob, Command::SubmitJob(after(command("b"), job, DependencyKind::AfterAny)));
    assert!(matches!(rejected(reply), Rejected::NotAllowed { .. }));
    let admin = Principal { role: Role::Admin, ..user("root") };
    assert_eq!(
        m.apply_as(&admin, Command::CancelJob(job)),
        Reply::Cancelled { already_ended: false }
    );
    let executor = Principal { role: Role::Executor, ..user("ann") };
    assert!(matches!(
        rejected(m.apply_as(&executor, Command::SubmitJob(command("x")))),
        Rejected::NotAllowed { .. }
    ));
    assert!(matches!(rejected(m.user(Command::Grant(vec![]))), Rejected::NotAllowed { .. }));
    assert!(matches!(rejected(m.user(Command::CancelJob(JobId(77)))), Rejected::UnknownJob { .. }));
}

#[test]
fn old_jobs_leave_memory_then_history() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    m.configure(ConfigurationChange {
        ended_jobs_in_memory: Some(2),
        history_jobs_max: Some(3),
        ..Default::default()
    });
    for _ in 0..8 {
        m.submit(array("a", 3));
        for _ in 0..3 {
            let (_, token) = m.run_one();
            m.finish(executor, token, failure(0));
        }
    }
    assert_eq!(m.state.jobs().count(), 2);
    assert_eq!(m.store.rows(TableId::OLD_JOBS).count(), 6);
    m.wait(1_000);
    assert_eq!(m.store.rows(TableId::OLD_JOBS).count(), 3);
    assert_eq!(m.store.rows(TableId::ENDED_TASKS).count(), 5 * 3);
    assert_eq!(m.state.history_floor(), JobId(4));
    // Archived: known. Below the floor: refused, never taken for new.
    assert_eq!(m.user(Command::CancelJob(JobId(5))), Reply::Cancelled { already_ended: true });
    let follower = m.submit(after(command("b"), JobId(5), DependencyKind::AfterOk));
    assert_eq!(m.status(follower), JobStatus::Pending);
    let reply = m.user(Command::SubmitJob(after(command("b"), JobId(2), DependencyKind::AfterOk)));
    assert!(matches!(rejected(reply), Rejected::JobExpired { floor: JobId(4), .. }));
    m.check_reload();
    m.check_replay();
}

#[test]
fn an_array_of_ten_thousand_is_one_small_submission() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 64);
    let before = m.store.len();
    let job = m.submit(array("big", 10_000));
    assert_eq!(m.store.len() - before, 2, "a job row and a spec row (the meta row exists)");
    assert!(m.store.rows(TableId::SPECS).all(|(_, row)| row.len() < 200));
    while m.status(job) != JobStatus::Succeeded {
        let leases = m.plan();
        assert!(!leases.is_empty());
        let mut reports = Vec::new();
        for lease in leases {
            for token in m.tokens(lease) {
                reports.push(Report::Finished(finished(token, m.now, Exit::success())));
            }
        }
        m.report(executor, reports);
    }
    assert_eq!(m.state.job_counts(job).succeeded, 10_000);
    assert_eq!(m.store.rows(TableId::ENDED_TASKS).count(), 10_000);
    assert_eq!(m.store.rows(TableId::TASKS).count(), 0);
    assert_eq!(m.store.rows(TableId::ATTEMPTS).count(), 0);
    m.check_reload();
}

#[test]
fn array_indexes_and_the_throttle_are_kept() {
    let mut m = Machine::new();
    m.executor("e1", 64);
    let ranges =
        vec![Range { first: 3, last: 9, step: 3 }, Range { first: 100, last: 101, step: 1 }];
    let job =
        m.submit(JobSpec { array: Some(ArraySpec { ranges, running_max: 2 }), ..command("a") });
    m.plan();
    insta::assert_snapshot!(m.tasks(job), @r"
    1.3 command leased attempt 1 on e1
    1.6 command leased attempt 1 on e1
    1.9 command ready attempt 0 on -
    1.100 command ready attempt 0 on -
    1.101 command ready attempt 0 on -
    ");
    assert_eq!(
        m.state.explain(TaskId::new(job, 101)).expect("explained").reason,
        "the job runs at most 2 tasks at once"
    );
    assert!(matches!(
        m.state.explain(TaskId::new(job, 4)),
        Err(Rejected::UnknownTask { task: 4, .. })
    ));
    assert_eq!(m.state.tasks(job, 9, 10).first().map(|task| task.id.index), Some(9));
}
