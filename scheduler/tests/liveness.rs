//! Disconnection, supersession, adoption, reconciliation, new leaders.

mod common;
use common::*;
use hesper_scheduler::*;

fn quick(m: &mut Machine) {
    m.configure(ConfigurationChange {
        supersede_after: Some(SupersedeAfter {
            command_ms: 5_000,
            post_ms: 1_000,
            pc1_ms: 20_000,
            c2_ms: 5_000,
            stage_ms: 5_000,
        }),
        reconnect_grace_ms: Some(3_000),
        lost_after_ms: Some(60_000),
        ..Default::default()
    });
}

#[test]
fn a_new_leader_does_not_declare_connected_executors_lost() {
    let mut m = Machine::new();
    quick(&mut m);
    let executor = m.executor("e1", 1);
    let job = m.submit(command("a"));
    let (_, token) = m.run_one();
    m.start(executor, token);
    // No leader for a day: time alone does nothing.
    m.now = m.now.plus(86_400_000);
    m.leader_started();
    assert_eq!(
        m.state.executor(executor).expect("row").liveness,
        Liveness::Connected { awaiting: Some(m.now) }
    );
    m.wait(2_000);
    m.leader_started();
    m.wait(2_000);
    assert_eq!(m.state.executor(executor).expect("row").liveness.name(), "connected");
    // It comes back in time: nothing happened.
    m.register(RegisterExecutor { held_tokens: vec![token], ..register("e1", 1) });
    m.wait(60_000);
    assert_eq!(
        m.state.executor(executor).expect("row").liveness,
        Liveness::Connected { awaiting: None }
    );
    m.finish(executor, token, Exit::success());
    assert_eq!(m.status(job), JobStatus::Succeeded);
    assert_eq!(m.ended(TaskId::new(job, 0)).number, 1, "one attempt");
    m.check_replay();
}

#[test]
fn an_executor_that_does_not_come_back_is_disconnected_then_lost() {
    let mut m = Machine::new();
    quick(&mut m);
    let executor = m.executor("e1", 1);
    m.leader_started();
    m.wait(3_000);
    let since = m.now;
    assert_eq!(m.state.executor(executor).expect("row").liveness, Liveness::Disconnected { since });
    // A further leader re-arms the timer by a full period.
    m.now = m.now.plus(50_000);
    m.leader_started();
    m.wait(50_000);
    assert_eq!(m.state.executor(executor).expect("row").liveness.name(), "disconnected");
    m.wait(10_000);
    assert_eq!(m.state.executor(executor).expect("row").liveness.name(), "lost");
    m.executor("e1", 1);
    assert_eq!(m.state.executor(executor).expect("row").liveness.name(), "connected");
}

#[test]
fn disconnection_ends_no_attempt_until_its_kind_allows() {
    let mut m = Machine::new();
    quick(&mut m);
    let away = m.executor("away", 1);
    let job = m.submit(command("a"));
    let (_, token) = m.run_one();
    m.start(away, token);
    let here = m.executor("here", 1);
    m.disconnect(away);
    m.wait(4_999);
    assert_eq!(m.plan(), vec![]);
    m.wait(1);
    let (on, second) = m.run_one();
    assert_eq!(on, here);
    assert!(second > token);
    assert_eq!(m.state.usage(away).cores, 1, "still charged: it may still run");
    // The late result of a command is refused, and frees its charge.
    let held = vec![token];
    m.register(RegisterExecutor { held_tokens: held, incarnation: 2, ..register("away", 1) });
    assert!(m.events().contains(&Event::CancelAttempt {
        executor: away,
        token,
        cause: StopCause::Superseded
    }));
    assert_eq!(m.finish(away, token, Exit::success()), vec![token]);
    assert_eq!(m.status(job), JobStatus::Running);
    assert_eq!(m.state.usage(away).cores, 0);
    m.finish(here, second, Exit::success());
    let ended = m.ended(TaskId::new(job, 0));
    assert_eq!((ended.token, ended.number), (Some(second), 2));
    m.check_reload();
    m.check_replay();
}

/// A sealing job whose AddPiece was superseded on `away` and granted to `here`.
fn superseded_stage(
    m: &mut Machine,
) -> (JobId, ExecutorId, AttemptToken, ExecutorId, AttemptToken) {
    quick(m);
    let store = m.executor("store", 0);
    let away = m.executor("away", 4);
    let Reply::Sealing { job, .. } = m.user(Command::SealSector(seal(store))) else { panic!() };
    let (_, old) = m.run_one();
    m.start(away, old);
    let here = m.executor("here", 4);
    m.disconnect(away);
    m.wait(5_000);
    let (on, new) = m.run_one();
    assert_eq!(on, here);
    m.register(RegisterExecutor { held_tokens: vec![old], incarnation: 2, ..register("away", 4) });
    m.events();
    (job, away, old, here, new)
}

#[test]
fn a_late_result_of_a_stage_is_adopted_and_fences_the_other_attempt() {
    let mut m = Machine::new();
    let (job, away, old, here, new) = superseded_stage(&mut m);
    let report = stage_finished(old, m.now, Stage::AddPiece);
    assert_eq!(m.report(away, vec![report]), vec![]);
    assert_eq!(m.ended(TaskId::new(job, 0)).token, Some(old));
    assert!(m.events().contains(&Event::CancelAttempt {
        executor: here,
        token: new,
        cause: StopCause::Adopted
    }));
    assert_eq!(m.state.usage(here).leases, 1, "the fenced one is charged until it is dead");
    // The fenced attempt's own result comes too late.
    let report = stage_finished(new, m.now, Stage::AddPiece);
    assert_eq!(m.report(here, vec![report]), vec![new]);
    assert_eq!(m.state.usage(here).leases, 0);
    let sector = m.state.sectors(Some(1000)).next().expect("sector").1;
    assert_eq!(sector.manifests[&Stage::AddPiece].token, old);
    m.check_reload();
    m.check_replay();
}

#[test]
fn a_late_result_after_the_end_is_refused() {
    let mut m = Machine::new();
    let (job, away, old, here, new) = superseded_stage(&mut m);
    m.report(here, vec![stage_finished(new, m.now, Stage::AddPiece)]);
    assert_eq!(m.ended(TaskId::new(job, 0)).token, Some(new));
    assert_eq!(m.report(away, vec![stage_finished(old, m.now, Stage::AddPiece)]), vec![old]);
    let sector = m.state.sectors(Some(1000)).next().expect("sector").1;
    assert_eq!(sector.manifests[&Stage::AddPiece].token, new);
    m.check_reload();
}

#[test]
fn an_order_that_never_arrived_is_sent_again_with_its_token() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    let job = m.submit(command("a"));
    let lease = m.plan()[0];
    let token = m.tokens(lease)[0];
    m.disconnect(executor);
    m.events();
    // The same supervisor, which does not hold it: it never began.
    m.register(RegisterExecutor { incarnation: 2, ..register("e1", 1) });
    assert!(m.events().contains(&Event::LeaseGranted { lease, executors: vec![executor] }));
    assert_eq!(m.tokens(lease), vec![token]);
    m.finish(executor, token, Exit::success());
    assert_eq!(m.ended(TaskId::new(job, 0)).number, 1);
}

#[test]
fn after_a_new_machine_boot_attempts_are_dead_and_free() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 2);
    let job = m.submit(command("a"));
    let once = m.submit(JobSpec { at_most_once: true, ..command("once") });
    let leases = m.plan();
    assert_eq!(leases.len(), 2);
    m.disconnect(executor);
    m.register(RegisterExecutor {
        incarnation: 2,
        supervisor_boot_id: "s2".to_owned(),
        machine_boot_id: "m2".to_owned(),
        ..register("e1", 2)
    });
    assert_eq!(m.state.usage(executor), Usage::default());
    assert_eq!(m.status(once), JobStatus::Failed);
    assert_eq!(
        m.state.job(once).expect("job").reason().as_deref(),
        Some("task 0 lost: its exit status is not known: its machine restarted")
    );
    let (_, token) = m.run_one();
    m.finish(executor, token, Exit::success());
    assert_eq!(m.status(job), JobStatus::Succeeded);
    m.check_reload();
}

#[test]
fn a_supervisor_that_forgot_an_attempt_keeps_its_charge_until_it_answers() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 2);
    let job = m.submit(command("a"));
    let (_, token) = m.run_one();
    m.start(executor, token);
    m.disconnect(executor);
    m.events();
    m.register(RegisterExecutor {
        incarnation: 2,
        supervisor_boot_id: "s2".to_owned(),
        ..register("e1", 2)
    });
    assert_eq!(m.state.usage(executor).cores, 1, "its process may still live");
    assert!(m.events().contains(&Event::CancelAttempt {
        executor,
        token,
        cause: StopCause::Forgotten
    }));
    let (_, second) = m.run_one();
    m.report(executor, vec![Report::Gone(token)]);
    assert_eq!(m.state.usage(executor).cores, 1);
    m.finish(executor, second, Exit::success());
    assert_eq!(m.status(job), JobStatus::Succeeded);
    m.check_reload();
}

#[test]
fn unknown_held_attempts_are_told_to_stop() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 1);
    m.submit(command("a"));
    let (_, token) = m.run_one();
    m.finish(executor, token, Exit::success());
    m.disconnect(executor);
    m.events();
    m.register(RegisterExecutor { held_tokens: vec![token], incarnation: 2, ..register("e1", 1) });
    assert!(matches!(
        m.events().as_slice(),
        [Event::CancelAttempt { token: told, .. }, ..] if *told == token
    ));
}

#[test]
fn two_executors_with_one_identity_and_wrong_keys_are_refused() {
    let mut m = Machine::new();
    m.executor("e1", 1);
    let twin = RegisterExecutor {
        incarnation: 7,
        supervisor_boot_id: "other".to_owned(),
        machine_boot_id: "other".to_owned(),
        ..register("e1", 1)
    };
    let refused = rejected(m.node(Command::RegisterExecutor(twin.clone())));
    insta::assert_snapshot!(refused, @"an executor named `e1` is connected from another machine or data directory; stop it, or enrol this one under another name");
    assert_eq!(refused.retry(), Retry::After { millis: 1_000 });
    // Once the first is gone the name is free again.
    m.disconnect(ExecutorId(1));
    assert_eq!(m.register(twin), ExecutorId(1));
    let thief = RegisterExecutor { owner: "bob".to_owned(), ..register("e1", 1) };
    assert!(matches!(
        rejected(m.node(Command::RegisterExecutor(thief))),
        Rejected::ExecutorOwned { .. }
    ));
    // A restarted agent of the same supervisor takes over.
    assert_eq!(
        m.register(RegisterExecutor {
            incarnation: 8,
            supervisor_boot_id: "other".to_owned(),
            machine_boot_id: "other".to_owned(),
            ..register("e1", 1)
        }),
        ExecutorId(1)
    );
    m.configure(ConfigurationChange {
        verifying_key_digests: Some([("porep-2KiB".to_owned(), "aa".to_owned())].into()),
        ..Default::default()
    });
    let foreign = RegisterExecutor {
        verifying_key_digests: [("porep-2KiB".to_owned(), "bb".to_owned())].into(),
        ..register("e9", 1)
    };
    insta::assert_snapshot!(rejected(m.node(Command::RegisterExecutor(foreign))), @"executor `e9` has the verifying key bb for porep-2KiB, the cluster uses aa; install the cluster's parameters on that executor");
    m.check_reload();
}

#[test]
fn an_executor_may_serve_its_owner_only() {
    let mut m = Machine::new();
    m.register(RegisterExecutor {
        owner: "bob".to_owned(),
        owner_only: true,
        ..register("bobs", 4)
    });
    let anns = m.submit(command("a"));
    assert_eq!(m.plan(), vec![]);
    let explained = m.state.explain(TaskId::new(anns, 0)).expect("explained");
    assert_eq!(explained.executors[0].1, "runs only work of `bob`");
    m.apply_as(&user("bob"), Command::SubmitJob(command("b")));
    assert_eq!(m.plan().len(), 1);
    // Others may not cordon it.
    let set = SetAdmission {
        name: "bobs".to_owned(),
        admission: Admission::Draining,
        reason: "mine now".to_owned(),
    };
    assert!(matches!(rejected(m.user(Command::SetAdmission(set))), Rejected::NotAllowed { .. }));
}

#[test]
fn a_registration_that_no_row_can_hold_is_refused() {
    let mut m = Machine::new();
    let mut hello = register("e1", 1);
    hello.notes.push("x".repeat(70_000));
    assert!(matches!(
        rejected(m.node(Command::RegisterExecutor(hello))),
        Rejected::TooLarge { .. }
    ));
    let mut hello = register("e1", 1);
    hello.held_tokens = (1..50_000).map(AttemptToken).collect();
    m.register(hello);
    let mut twice = register("e2", 1);
    let gpu = Gpu { device: 1, model: "x".to_owned(), memory_bytes: GIB };
    twice.inventory.gpus = vec![gpu.clone(), gpu];
    assert!(matches!(
        rejected(m.node(Command::RegisterExecutor(twice))),
        Rejected::BadField { .. }
    ));
}

#[test]
fn an_attempt_that_comes_back_before_another_began_goes_on() {
    let mut m = Machine::new();
    quick(&mut m);
    let executor = m.executor("e1", 1);
    let job = m.submit(command("a"));
    let (_, token) = m.run_one();
    m.start(executor, token);
    m.disconnect(executor);
    m.wait(10_000);
    assert_eq!(
        m.state.cancel_orders(executor),
        vec![CancelOrder { token, cause: StopCause::Superseded }]
    );
    m.events();
    m.register(RegisterExecutor { held_tokens: vec![token], incarnation: 2, ..register("e1", 1) });
    assert!(!m.events().iter().any(|event| matches!(event, Event::CancelAttempt { .. })));
    assert_eq!(m.plan(), vec![]);
    assert_eq!(m.finish(executor, token, Exit::success()), vec![]);
    assert_eq!(m.status(job), JobStatus::Succeeded);
    assert_eq!(m.ended(TaskId::new(job, 0)).number, 1);
    m.check_reload();
}
