//! Any history: invariants hold, replays agree, reload equals memory, every pending task has a
//! reason, tokens are never reused.

mod common;
use common::*;
use hesper_scheduler::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Submit {
        array: u32,
        cores: u32,
        gpus: u32,
        priority: i32,
        throttle: u32,
        once: bool,
    },
    Follow {
        job: u64,
        kind: u8,
    },
    Seal {
        stop: u8,
    },
    Prove {
        window: bool,
    },
    Cancel {
        job: u64,
    },
    Plan,
    /// A grant that the planner did not propose.
    Grant {
        executor: u64,
        job: u64,
        index: u32,
        count: u32,
        lockstep: bool,
    },
    Start {
        pick: usize,
    },
    Finish {
        pick: usize,
        how: u8,
    },
    Gone {
        pick: usize,
    },
    /// A report of some token, whoever had it.
    Stray {
        executor: u64,
        token: u64,
    },
    Register {
        name: u8,
        boot: u8,
        cores: u32,
        gpus: u32,
        holds: bool,
    },
    Disconnect {
        executor: u64,
    },
    Admission {
        name: u8,
        admission: u8,
    },
    Leader,
    Wait {
        millis: u64,
    },
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u32..6, 0u32..4, 0u32..2, -2i32..3, 0u32..3, any::<bool>()).prop_map(
            |(array, cores, gpus, priority, throttle, once)| Step::Submit {
                array, cores, gpus, priority, throttle, once
            }
        ),
        1 => (1u64..20, 0u8..3).prop_map(|(job, kind)| Step::Follow { job, kind }),
        2 => (0u8..7).prop_map(|stop| Step::Seal { stop }),
        1 => any::<bool>().prop_map(|window| Step::Prove { window }),
        1 => (1u64..20).prop_map(|job| Step::Cancel { job }),
        12 => Just(Step::Plan),
        1 => (1u64..5, 1u64..12, 0u32..8, 1u32..4, any::<bool>()).prop_map(
            |(executor, job, index, count, lockstep)| {
                Step::Grant { executor, job, index, count, lockstep }
            }
        ),
        3 => any::<usize>().prop_map(|pick| Step::Start { pick }),
        14 => (any::<usize>(), 0u8..24).prop_map(|(pick, how)| Step::Finish { pick, how }),
        1 => any::<usize>().prop_map(|pick| Step::Gone { pick }),
        1 => (1u64..5, 0u64..40).prop_map(|(executor, token)| Step::Stray { executor, token }),
        2 => (0u8..3, 0u8..6, 0u32..9, 0u32..3, any::<bool>()).prop_map(
            |(name, boot, cores, gpus, holds)| Step::Register { name, boot, cores, gpus, holds }
        ),
        1 => (1u64..5).prop_map(|executor| Step::Disconnect { executor }),
        1 => (0u8..3, 0u8..4).prop_map(|(name, admission)| Step::Admission { name, admission }),
        1 => Just(Step::Leader),
        3 => (0u64..30_000).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Reload),
    ]
}

fn pick_of(m: &Machine, pick: usize) -> Option<(ExecutorId, AttemptToken)> {
    let attempts = live(m);
    attempts.get(pick.checked_rem(attempts.len())?).copied()
}

/// The live attempts, as anybody can see them.
fn live(m: &Machine) -> Vec<(ExecutorId, AttemptToken)> {
    let mut attempts: Vec<(ExecutorId, AttemptToken)> = m
        .state
        .executors()
        .flat_map(|(id, _)| {
            m.state
                .leases_of(id)
                .into_iter()
                .flat_map(|lease| (lease.0..lease.0 + 64).map(AttemptToken))
                .filter(|token| m.state.attempt(*token).is_some_and(|row| row.executor == id))
                .map(move |token| (id, token))
                .collect::<Vec<_>>()
        })
        .collect();
    attempts.sort_unstable();
    attempts.dedup();
    attempts
}

fn stage_of(m: &Machine, token: AttemptToken) -> Option<Stage> {
    let task = m.state.attempt(token)?.task;
    let view = m.state.task(task)?;
    Stage::from_name(view.stage)
}

fn report(m: &mut Machine, executor: ExecutorId, report: Report) {
    let Some(row) = m.state.executor(executor) else {
        return;
    };
    let incarnation = row.incarnation;
    let reports = vec![NumberedReport { sequence: 1, report }];
    m.node(Command::Report(ReportBatch { executor, incarnation, reports }));
}

fn take(m: &mut Machine, step: Step, incarnation: &mut u64) {
    match step {
        Step::Submit { array: last, cores, gpus, priority, throttle, once } => {
            let mut spec = if last == 0 { command("c") } else { array("a", last) };
            if let Some(array) = &mut spec.array {
                array.running_max = throttle;
            }
            spec.demand = Demand { cores, gpus, ..Demand::default() };
            spec.priority = priority;
            spec.at_most_once = once;
            m.user(Command::SubmitJob(spec));
        }
        Step::Follow { job, kind } => {
            let kind = match kind {
                0 => DependencyKind::AfterOk,
                1 => DependencyKind::AfterAny,
                _ => DependencyKind::AfterNotOk,
            };
            m.user(Command::SubmitJob(after(command("f"), JobId(job), kind)));
        }
        Step::Seal { stop } => {
            let stop_after = Stage::ALL.get(usize::from(stop)).copied();
            let request = SealSector { stop_after, ..seal(ExecutorId(1)) };
            m.user(Command::SealSector(request));
        }
        Step::Prove { window } => {
            let sectors: Vec<u64> = m
                .state
                .sectors(Some(1000))
                .filter(|(_, row)| row.manifests.contains_key(&Stage::Finalize))
                .map(|(id, _)| id.number)
                .take(if window { 5 } else { 1 })
                .collect();
            let kind = if window { ProveKind::Window } else { ProveKind::Winning };
            let randomness = "0b".repeat(32);
            m.user(Command::Prove(Prove { kind, miner: 1000, sectors, randomness, priority: 1 }));
        }
        Step::Cancel { job } => {
            m.user(Command::CancelJob(JobId(job)));
        }
        Step::Plan => {
            m.plan();
        }
        Step::Grant { executor, job, index, count, lockstep } => {
            let tasks: Vec<TaskId> =
                (index..index + count).map(|index| TaskId::new(JobId(job), index)).collect();
            let width = lockstep.then_some(WidthBound::Waiting);
            let _ = m.grant_group(ExecutorId(executor), &tasks, width);
        }
        Step::Start { pick } => {
            if let Some((executor, token)) = pick_of(m, pick) {
                let at = m.now;
                report(m, executor, Report::Started(Started { token, at }));
            }
        }
        Step::Finish { pick, how } => {
            let Some((executor, token)) = pick_of(m, pick) else {
                return;
            };
            let end = match how {
                0 => failure(1),
                1 => exit(ExitKind::Signaled),
                2 => exit(ExitKind::NotStarted),
                3 => exit(ExitKind::TimedOut),
                4 => exit(ExitKind::Cancelled),
                5 => exit(ExitKind::NoSpace),
                6 => exit(ExitKind::Lost),
                7 => exit(ExitKind::OutputBad),
                _ => Exit::success(),
            };
            let sent = match stage_of(m, token) {
                Some(stage) if end.is_success() => stage_finished(token, m.now, stage),
                _ => Report::Finished(finished(token, m.now, end)),
            };
            report(m, executor, sent);
        }
        Step::Gone { pick } => {
            if let Some((executor, token)) = pick_of(m, pick) {
                report(m, executor, Report::Gone(token));
            }
        }
        Step::Stray { executor, token } => {
            let sent = Report::Finished(finished(AttemptToken(token), m.now, Exit::success()));
            report(m, ExecutorId(executor), sent);
        }
        Step::Register { name, boot, cores, gpus, holds } => {
            let name = ["e1", "e2", "e3"][usize::from(name)];
            let held_tokens = match m.state.executor_by_name(name) {
                Some((id, _)) if holds => {
                    live(m).into_iter().filter(|(on, _)| *on == id).map(|(_, t)| t).collect()
                }
                _ => Vec::new(),
            };
            *incarnation += 1;
            let mut hello = register(name, cores);
            hello.incarnation = *incarnation;
            hello.held_tokens = held_tokens;
            hello.inventory.gpus = (0..gpus)
                .map(|device| Gpu { device, model: "g".to_owned(), memory_bytes: GIB })
                .collect();
            if boot > 3 {
                hello.supervisor_boot_id = format!("s{incarnation}");
            }
            if boot > 4 {
                hello.machine_boot_id = format!("m{incarnation}");
            }
            m.node(Command::RegisterExecutor(hello));
        }
        Step::Disconnect { executor } => {
            if m.state.executor(ExecutorId(executor)).is_some() {
                m.disconnect(ExecutorId(executor));
            }
        }
        Step::Admission { name, admission } => {
            let set = SetAdmission {
                name: ["e1", "e2", "e3"][usize::from(name)].to_owned(),
                admission: match admission {
                    0 => Admission::Cordoned,
                    _ => Admission::Open,
                },
                reason: "test".to_owned(),
            };
            m.user(Command::SetAdmission(set));
        }
        Step::Leader => m.leader_started(),
        Step::Wait { millis } => m.wait(millis),
        Step::Reload => m.check_reload(),
    }
}

fn check_reasons(m: &Machine) {
    for job in m.state.jobs() {
        for task in m.state.tasks(job.id, 0, 50) {
            let explained = m.state.explain(task.id).expect("the task exists");
            assert!(!explained.reason.is_empty(), "{task:?} has no reason");
        }
        assert!(job.ended_at().is_some() || !m.state.job_reason(job.id).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(steps in prop::collection::vec(step(), 1..300)) {
        let mut m = Machine::new();
        m.configure(ConfigurationChange {
            ended_jobs_in_memory: Some(4),
            history_jobs_max: Some(6),
            supersede_after: Some(SupersedeAfter {
                command_ms: 4_000, post_ms: 1_000, pc1_ms: 20_000, c2_ms: 5_000, stage_ms: 8_000,
            }),
            lost_after_ms: Some(40_000),
            suspicion_max: Some(4),
            pc1_group_wait_ms: Some(300),
            losses_max: Some(3),
            ..Default::default()
        });
        let mut incarnation = 1;
        m.executor("e1", 6);
        m.executor("e2", 3);
        let mut leases_before = LeaseId(0);
        for (number, step) in steps.into_iter().enumerate() {
            take(&mut m, step, &mut incarnation);
            for event in m.events() {
                // A grant is new or told again to an executor that came back; never below.
                if let Event::LeaseGranted { lease, .. } = event {
                    prop_assert!(
                        lease > leases_before || m.state.lease_order(lease).is_some()
                    );
                    leases_before = leases_before.max(lease);
                }
            }
            if number % 16 == 0 {
                check_reasons(&m);
                m.check_reload();
            }
        }
        check_reasons(&m);
        m.check_reload();
        m.check_replay();

        // Faults off: everything that can end ends, and every charge is freed.
        for name in ["e1", "e2", "e3"] {
            if let Some((id, _)) = m.state.executor_by_name(name) {
                m.disconnect(id);
            }
            incarnation += 1;
            let mut hello = register(name, 8);
            hello.incarnation = incarnation;
            hello.machine_boot_id = format!("final-{name}");
            hello.inventory.gpus = (0..2)
                .map(|device| Gpu { device, model: "g".to_owned(), memory_bytes: GIB })
                .collect();
            m.register(hello);
            let name = name.to_owned();
            let open = SetAdmission { name, admission: Admission::Open, reason: String::new() };
            m.user(Command::SetAdmission(open));
        }
        for round in 0..400 {
            m.wait(130_000);
            m.plan();
            let attempts = live(&m);
            if attempts.is_empty() && m.state.counters().jobs_pending + m.state.counters().jobs_running == 0 {
                break;
            }
            prop_assert!(round < 399, "work is left: {:?}", m.state.counters());
            for (executor, token) in attempts {
                let sent = match stage_of(&m, token) {
                    Some(stage) => stage_finished(token, m.now, stage),
                    None => Report::Finished(finished(token, m.now, Exit::success())),
                };
                report(&mut m, executor, sent);
            }
        }
        for (id, _) in m.state.executors().map(|(id, row)| (id, row.clone())).collect::<Vec<_>>() {
            prop_assert_eq!(m.state.usage(id), Usage::default());
        }
        m.check_reload();
    }
}
