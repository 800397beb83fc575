//! Sealing, unsealing and proving as templates.

mod common;
use common::*;
use hesper_scheduler::*;

/// Runs the pending stage of the job on whatever the planner picks; answers its order.
fn run_stage(m: &mut Machine, made: &mut Vec<String>) -> StageOrder {
    if m.plan().is_empty() {
        // PC1 waits this long for others to join its group.
        m.wait(2_000);
        m.plan();
    }
    let lease = m.state.executors().flat_map(|(id, _)| m.state.leases_of(id)).min();
    let order = m.state.lease_order(lease.expect("a stage is granted")).expect("order");
    let WorkOrder::Stage(stage) = order.attempts[0].work.clone() else { panic!("a stage") };
    let name = m.state.executor(order.executor).expect("row").name.clone();
    let inputs: Vec<&str> = stage.inputs.iter().map(|input| input.name.as_str()).collect();
    let values: Vec<&str> = stage.values.keys().map(String::as_str).collect();
    made.push(format!(
        "{} on {name}: reads [{}], values [{}]",
        stage.stage,
        inputs.join(" "),
        values.join(" ")
    ));
    m.report(order.executor, vec![stage_finished(order.attempts[0].token, m.now, stage.stage)]);
    stage
}

fn sealed(m: &mut Machine, executor: ExecutorId) -> SectorId {
    let Reply::Sealing { sector, .. } = m.user(Command::SealSector(seal(executor))) else {
        panic!()
    };
    for _ in 0..7 {
        run_stage(m, &mut Vec::new());
    }
    sector
}

#[test]
fn a_sector_goes_through_the_pipeline_where_its_bytes_lie() {
    let mut m = Machine::new();
    let first = m.executor("e1", 4);
    m.executor("e2", 4);
    let Reply::Sealing { job, sector } = m.user(Command::SealSector(seal(first))) else { panic!() };
    let mut made = Vec::new();
    assert_eq!(m.state.job_reason(job), "will be started now");
    assert_eq!(m.state.explain(TaskId::new(job, 3)).expect("explained").reason, "waits for pc1");
    for _ in 0..7 {
        let stage = run_stage(&mut m, &mut made);
        for input in &stage.inputs {
            assert!(input.sources.iter().all(|source| source.address == "e1:7000"));
        }
    }
    insta::assert_snapshot!(made.join("\n"), @r"
    add_piece on e1: reads [source], values [seed ticket]
    tree_d on e1: reads [unsealed], values [seed ticket]
    pc1 on e1: reads [], values [comm_d seed ticket]
    pc2 on e1: reads [unsealed sc-02-data-tree-d.dat sc-02-data-layer-1.dat sc-02-data-layer-2.dat], values [comm_d seed ticket]
    c1 on e1: reads [sc-02-data-tree-d.dat sc-02-data-layer-1.dat sc-02-data-layer-2.dat sealed p_aux sc-02-data-tree-c.dat sc-02-data-tree-r-last.dat], values [comm_d comm_r seed ticket]
    c2 on e1: reads [c1.json], values [comm_d comm_r seed ticket]
    finalize on e1: reads [sealed p_aux sc-02-data-tree-r-last.dat], values [comm_d comm_r proof seed ticket]
    ");
    assert_eq!(m.status(job), JobStatus::Succeeded);
    let row = m.state.sector(sector).expect("sector");
    assert_eq!(row.stage, Some(Stage::Finalize));
    assert!(row.manifests[&Stage::Pc1].collected);
    assert!(!row.manifests[&Stage::Finalize].collected);
    assert!(m.state.locate(TaskId::new(job, 6), "sealed").is_some());
    assert!(m.state.locate(TaskId::new(job, 2), "sc-02-data-layer-1.dat").is_none());
    let collected = m.events().iter().filter(|e| matches!(e, Event::Collect { .. })).count();
    assert_eq!(collected, 6);
    m.check_reload();
    m.check_replay();
}

#[test]
fn bad_sealing_requests_are_refused_with_words() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    m.user(Command::SealSector(seal(executor)));
    m.configure(ConfigurationChange { development: Some(false), ..Default::default() });
    let fine =
        SealSector { ticket: Some("01".repeat(32)), seed: Some("02".repeat(32)), ..seal(executor) };
    let piece = |length| Piece { length, ..fine.piece.clone() };
    let cases = vec![
        SealSector { piece: piece(2033), ..fine.clone() },
        SealSector { piece: piece(0), ..fine.clone() },
        SealSector {
            piece: Piece { executor: ExecutorId(9), ..fine.piece.clone() },
            ..fine.clone()
        },
        SealSector { ticket: Some("zz".repeat(32)), ..fine.clone() },
        SealSector { seed: Some("00".repeat(32)), ..fine.clone() },
        SealSector { stop_after: Some(Stage::Unseal), ..fine.clone() },
        SealSector { number: Some(1), ..fine.clone() },
        SealSector { number: Some(u64::MAX), ..fine.clone() },
        SealSector { seed: None, ..fine.clone() },
    ];
    let mut text = String::new();
    for case in cases {
        text.push_str(&format!("{}\n", rejected(m.user(Command::SealSector(case)))));
    }
    let foreign = m.apply_as(&user("bob"), Command::SealSector(fine));
    text.push_str(&format!("{}\n", rejected(foreign)));
    for sector in [SectorId::new(1000, 1), SectorId::new(1000, 99)] {
        text.push_str(&format!("{}\n", rejected(m.user(Command::Unseal(sector)))));
    }
    insta::assert_snapshot!(text, @r"
    the piece has 2033 bytes, a sector of 2KiB takes at most 2032; use a larger sector or a smaller piece
    `piece_length` is zero; give a piece with at least one byte
    there is no executor `9`; `hesper executor list` shows those that exist
    `ticket` is not 64 hexadecimal digits
    `seed` is zero
    `stop_after` names unseal, which is no stage of sealing
    sector 1000-1 exists already (job 1): its job has not ended; wait for it or cancel it
    `sector` is larger than a sector number can be
    `ticket and seed` must be given on a network that is not for development
    miner 1000 belongs to `ann`
    sector 1000-1 is not sealed yet: no stage has ended yet; seal it to the end first
    there is no sector 1000-99; `hesper sector list` shows those that exist
    ");
}

#[test]
fn a_seal_stops_where_asked_and_goes_on_later() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let stop = SealSector { stop_after: Some(Stage::C1), ..seal(executor) };
    let Reply::Sealing { job, sector } = m.user(Command::SealSector(stop)) else { panic!() };
    for _ in 0..5 {
        run_stage(&mut m, &mut Vec::new());
    }
    assert_eq!(m.status(job), JobStatus::Succeeded);
    assert_eq!(m.state.sector(sector).expect("row").stage, Some(Stage::C1));
    let go_on = SealSector { number: Some(sector.number), ..seal(executor) };
    let Reply::Sealing { job, .. } = m.user(Command::SealSector(go_on)) else { panic!() };
    let mut made = Vec::new();
    run_stage(&mut m, &mut made);
    run_stage(&mut m, &mut made);
    insta::assert_snapshot!(made.join("\n"), @r"
    c2 on e1: reads [c1.json], values [comm_d comm_r seed ticket]
    finalize on e1: reads [sealed p_aux sc-02-data-tree-r-last.dat], values [comm_d comm_r proof seed ticket]
    ");
    assert_eq!(m.status(job), JobStatus::Succeeded);
    m.check_reload();
}

#[test]
fn a_failed_stage_fails_the_job_and_cancels_the_rest() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let Reply::Sealing { job, sector } = m.user(Command::SealSector(seal(executor))) else {
        panic!()
    };
    run_stage(&mut m, &mut Vec::new());
    let (_, token) = m.run_one();
    let report = Exit {
        code: 1,
        message: Some("unsealed is 3 bytes short".to_owned()),
        retryable: false,
        ..exit(ExitKind::Exited)
    };
    m.finish(executor, token, report);
    assert_eq!(m.status(job), JobStatus::Failed);
    let counts = m.state.job_counts(job);
    assert_eq!((counts.succeeded, counts.failed, counts.cancelled), (1, 1, 5));
    insta::assert_snapshot!(m.state.job_reason(job), @"tree_d exited with status 1: unsealed is 3 bytes short");
    // The committed stage stays: the same sector goes on after it.
    let again = SealSector { number: Some(sector.number), ..seal(executor) };
    let Reply::Sealing { job, .. } = m.user(Command::SealSector(again)) else { panic!() };
    assert_eq!(m.state.job_counts(job).total, 6);
    m.check_reload();
}

#[test]
fn a_result_that_lacks_a_file_or_leaves_its_directory_is_no_result() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let Reply::Sealing { job, .. } = m.user(Command::SealSector(seal(executor))) else { panic!() };
    let bad = |names: &[&str]| -> Vec<FileEntry> {
        names
            .iter()
            .map(|name| FileEntry { name: (*name).to_owned(), length: 1, blake3: None })
            .collect()
    };
    for files in [bad(&[]), bad(&["unsealed", "../x"])] {
        let (_, token) = m.run_one();
        let report = Finished { files, ..finished(token, m.now, Exit::success()) };
        m.report(executor, vec![Report::Finished(report)]);
        m.wait(60_000);
    }
    let task = m.state.task(TaskId::new(job, 0)).expect("task");
    assert_eq!(task.number, 2);
    insta::assert_snapshot!(task.last_failure.expect("failure"), @"ended without a readable result: `../x` is not a plain file name");
    run_stage(&mut m, &mut Vec::new());
    assert_eq!(m.state.job_counts(job).succeeded, 1);
}

#[test]
fn pc1_waits_for_the_executor_that_holds_its_checkpoint() {
    let mut m = Machine::new();
    let first = m.executor("e1", 4);
    m.executor("e2", 4);
    let big =
        SealSector { proof: ProofType::Sector8MiB, stop_after: Some(Stage::Pc1), ..seal(first) };
    m.user(Command::SealSector(big));
    run_stage(&mut m, &mut Vec::new());
    run_stage(&mut m, &mut Vec::new());
    let (on, token) = m.run_one();
    m.start(on, token);
    // Its agent lost the process: the layer files are still there.
    m.finish(on, token, exit(ExitKind::Lost));
    let (again, second) = m.run_one();
    assert_eq!(again, on);
    assert_eq!(m.state.attempt(second).expect("live").number, 2);
}

#[test]
fn winning_window_and_unseal_read_the_sealed_sector() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let sectors: Vec<u64> = (0..3).map(|_| sealed(&mut m, executor).number).collect();
    assert_eq!(sectors, vec![1, 2, 3]);
    let prove = |kind, sectors: &[u64]| {
        Command::Prove(Prove {
            kind,
            miner: 1000,
            sectors: sectors.to_vec(),
            randomness: "0a".repeat(32),
            priority: 5,
        })
    };
    let mut made = Vec::new();
    let Reply::Submitted { job } = m.user(prove(ProveKind::Winning, &[2])) else { panic!() };
    let stage = run_stage(&mut m, &mut made);
    assert_eq!(m.status(job), JobStatus::Succeeded);
    insta::assert_snapshot!(stage.values["sectors"], @r#"
    [{"number":2,"comm_r":"0000000000000000000000000000000000000000000000000000000000000009"}]
    "#);

    let Reply::Submitted { job } = m.user(prove(ProveKind::Window, &[1, 2, 3])) else { panic!() };
    assert_eq!(m.state.job_counts(job).total, 4, "two partitions: vanilla and proof each");
    for _ in 0..4 {
        run_stage(&mut m, &mut made);
    }
    assert_eq!(m.status(job), JobStatus::Succeeded);
    assert!(m.state.locate(TaskId::new(job, 1), "proof").is_some());
    assert!(m.ended(TaskId::new(job, 1)).values.is_some());

    let Reply::Submitted { job } = m.user(Command::Unseal(SectorId::new(1000, 3))) else {
        panic!()
    };
    run_stage(&mut m, &mut made);
    assert_eq!(m.status(job), JobStatus::Succeeded);
    insta::assert_snapshot!(made.join("\n"), @r"
    winning_post on e1: reads [2/sealed 2/p_aux 2/sc-02-data-tree-r-last.dat], values [randomness sectors]
    window_post_vanilla on e1: reads [1/sealed 1/p_aux 1/sc-02-data-tree-r-last.dat 2/sealed 2/p_aux 2/sc-02-data-tree-r-last.dat], values [partition randomness sectors]
    window_post_vanilla on e1: reads [3/sealed 3/p_aux 3/sc-02-data-tree-r-last.dat], values [partition randomness sectors]
    window_post_prove on e1: reads [vanilla-0.json], values [partition randomness sectors]
    window_post_prove on e1: reads [vanilla-2.json], values [partition randomness sectors]
    unseal on e1: reads [sealed], values [comm_d comm_r proof seed ticket]
    ");

    let refused = [
        rejected(m.user(prove(ProveKind::Winning, &[1, 2]))),
        rejected(m.user(prove(ProveKind::Window, &[1, 1]))),
        rejected(m.user(prove(ProveKind::Window, &[]))),
        rejected(m.user(prove(ProveKind::Window, &[9]))),
    ];
    let text: Vec<String> = refused.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    `sectors` of a winning proof must be exactly one
    `sectors` must name at least one sector, each once
    `sectors` must name at least one sector, each once
    there is no sector 1000-9; `hesper sector list` shows those that exist
    ");
    m.check_reload();
    m.check_replay();
}

#[test]
fn large_sectors_have_their_demands_and_are_admitted_by_them() {
    let mut text = String::new();
    for proof in [ProofType::Sector32GiB, ProofType::Sector64GiB] {
        for stage in Stage::ALL {
            let demand = demand_of(stage, proof, Kernels::Own);
            text.push_str(&format!(
                "{proof} {stage}: {} cores, {} MiB memory, {} GiB disc\n",
                demand.cores,
                demand.memory_bytes >> 20,
                demand.disc_bytes / GIB
            ));
        }
    }
    insta::assert_snapshot!(text, @r"
    32GiB add_piece: 1 cores, 128 MiB memory, 32 GiB disc
    32GiB tree_d: 4 cores, 128 MiB memory, 64 GiB disc
    32GiB pc1: 1 cores, 66624 MiB memory, 352 GiB disc
    32GiB pc2: 16 cores, 512 MiB memory, 80 GiB disc
    32GiB c1: 2 cores, 4096 MiB memory, 0 GiB disc
    32GiB c2: 32 cores, 196608 MiB memory, 0 GiB disc
    32GiB finalize: 1 cores, 1024 MiB memory, 36 GiB disc
    32GiB unseal: 1 cores, 66624 MiB memory, 32 GiB disc
    32GiB winning_post: 8 cores, 4096 MiB memory, 0 GiB disc
    32GiB window_post_vanilla: 8 cores, 16384 MiB memory, 0 GiB disc
    32GiB window_post_prove: 32 cores, 131072 MiB memory, 0 GiB disc
    64GiB add_piece: 1 cores, 128 MiB memory, 64 GiB disc
    64GiB tree_d: 4 cores, 128 MiB memory, 128 GiB disc
    64GiB pc1: 1 cores, 132160 MiB memory, 704 GiB disc
    64GiB pc2: 16 cores, 512 MiB memory, 160 GiB disc
    64GiB c1: 2 cores, 8192 MiB memory, 0 GiB disc
    64GiB c2: 32 cores, 393216 MiB memory, 0 GiB disc
    64GiB finalize: 1 cores, 2048 MiB memory, 72 GiB disc
    64GiB unseal: 1 cores, 132160 MiB memory, 64 GiB disc
    64GiB winning_post: 8 cores, 8192 MiB memory, 0 GiB disc
    64GiB window_post_vanilla: 8 cores, 32768 MiB memory, 0 GiB disc
    64GiB window_post_prove: 32 cores, 262144 MiB memory, 0 GiB disc
    ");
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let big = SealSector { proof: ProofType::Sector64GiB, ..seal(executor) };
    let Reply::Sealing { job, .. } = m.user(Command::SealSector(big)) else { panic!() };
    run_stage(&mut m, &mut Vec::new());
    // 128 GiB for the tree are more than the path has.
    assert_eq!(m.plan(), vec![]);
    let explained = m.state.explain(TaskId::new(job, 1)).expect("explained");
    insta::assert_snapshot!(format!("{}\n{}", explained.reason, explained.executors[0].1), @r"
    no executor can ever run it; it needs 4 cores, 134217728 memory bytes, 137440002048 disc bytes
    can never run it: it needs 137440002048 disc bytes and there are 106300440576 in all
    ");
}

#[test]
fn sealed_files_outlive_the_history_of_their_job() {
    let mut m = Machine::new();
    let executor = m.executor("e1", 4);
    let sector = sealed(&mut m, executor);
    m.configure(ConfigurationChange {
        ended_jobs_in_memory: Some(1),
        history_jobs_max: Some(1),
        ..Default::default()
    });
    for _ in 0..4 {
        m.submit(command("a"));
        let (_, token) = m.run_one();
        m.finish(executor, token, Exit::success());
    }
    for _ in 0..4 {
        m.wait(1_000);
    }
    assert!(m.state.history_floor() > JobId(1), "the job that sealed it is out of the history");
    let row = m.state.sector(sector).expect("the sector").clone();
    let kept: Vec<AttemptToken> = row
        .manifests
        .values()
        .filter(|manifest| !manifest.collected)
        .map(|manifest| manifest.token)
        .collect();
    assert!(!kept.is_empty());
    for event in m.events() {
        if let Event::Collect { tokens, .. } = event {
            assert!(tokens.iter().all(|token| !kept.contains(token)), "{tokens:?} of {kept:?}");
        }
    }
}
