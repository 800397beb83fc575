//! Prints how many no-op tasks per second one thread carries through submit, grant, start and
//! finish, and how long a plan and a submission take. `cargo run --release --example throughput`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::time::Instant;

use hesper_scheduler::memory::MemoryStore;
use hesper_scheduler::*;

struct Bench {
    state: State,
    store: MemoryStore,
    events: Vec<Event>,
    now: UnixMillis,
    principal: Principal,
}

impl Bench {
    fn apply(&mut self, command: &Command) -> Reply {
        let bytes = command.encode();
        let command = Command::decode(&bytes).expect("own bytes");
        let context = Context { index: 1, position: 0, now: self.now, principal: &self.principal };
        self.events.clear();
        self.state.apply(&context, command, &mut self.store, &mut self.events)
    }
}

fn main() {
    let mut bench = Bench {
        state: State::new(),
        store: MemoryStore::default(),
        events: Vec::new(),
        now: UnixMillis(1_000_000),
        principal: Principal::node("bench"),
    };
    let executor = RegisterExecutor {
        name: "e1".to_owned(),
        owner: String::new(),
        incarnation: 1,
        supervisor_boot_id: "s".to_owned(),
        machine_boot_id: "m".to_owned(),
        inventory: Inventory { cores: 16, memory_bytes: 1 << 36, ..Inventory::default() },
        paths: Vec::new(),
        address: String::new(),
        capabilities: Vec::new(),
        notes: Vec::new(),
        verifying_key_digests: BTreeMap::new(),
        held_tokens: Vec::new(),
        owner_only: false,
    };
    bench.apply(&Command::RegisterExecutor(executor));
    let change = ConfigurationChange { queued_jobs_max: Some(1 << 30), ..Default::default() };
    bench.apply(&Command::Configure(change));
    let spec = |gpus: u32| JobSpec {
        name: "noop".to_owned(),
        command: CommandWork { program: "true".to_owned(), ..CommandWork::default() },
        demand: Demand { gpus, ..Demand::default() },
        ..JobSpec::default()
    };
    let array = |last: u32| JobSpec {
        array: Some(ArraySpec { ranges: vec![Range { first: 1, last, step: 1 }], running_max: 0 }),
        ..spec(0)
    };

    for tasks in [100_000u32, 100_000, 200_000] {
        run_array(&mut bench, &array(tasks), tasks);
    }

    let begin = Instant::now();
    for _ in 0..100 {
        bench.apply(&Command::SubmitJob(array(10_000)));
    }
    println!("submit of a 10,000-task array: {:?}", begin.elapsed() / 100);
    for job in 4..=103 {
        bench.apply(&Command::CancelJob(JobId(job)));
    }

    // 10,000 jobs that wait for a resource nobody has, then one that can run.
    for _ in 0..10_000 {
        bench.apply(&Command::SubmitJob(spec(1)));
    }
    bench.apply(&Command::SubmitJob(spec(0)));
    let begin = Instant::now();
    for _ in 0..1000 {
        assert_eq!(bench.state.plan(bench.now, PlanBudget::default()).len(), 1);
    }
    println!("plan beside 10,000 tasks for another resource: {:?}", begin.elapsed() / 1000);
    println!("rows in the store: {}", bench.store.len());
}

fn run_array(bench: &mut Bench, spec: &JobSpec, tasks: u32) {
    let begin = Instant::now();
    bench.apply(&Command::SubmitJob(spec.clone()));
    let mut finished = 0u32;
    let mut sequence = 0u64;
    let (mut planning, mut granting, mut reporting) = Default::default();
    while finished < tasks {
        bench.now = bench.now.plus(1);
        let at = Instant::now();
        let grants = bench.state.plan(bench.now, PlanBudget::default());
        planning += at.elapsed();
        let at = Instant::now();
        let Reply::Granted { leases, .. } = bench.apply(&Command::Grant(grants)) else {
            panic!("not granted")
        };
        granting += at.elapsed();
        let mut reports = Vec::new();
        for lease in leases {
            let order = bench.state.lease_order(lease).expect("just granted");
            for attempt in order.attempts {
                sequence += 1;
                let finish = Finished {
                    token: attempt.token,
                    started_at: bench.now,
                    ended_at: bench.now,
                    exit: Exit::success(),
                    usage: ProcessUsage::default(),
                    files: Vec::new(),
                    values: BTreeMap::new(),
                    bytes_fetched: 0,
                    reused_layers: 0,
                    stdout_bytes: 0,
                    stderr_bytes: 0,
                };
                let started = Started { token: attempt.token, at: bench.now };
                reports.push(NumberedReport { sequence, report: Report::Started(started) });
                reports.push(NumberedReport { sequence, report: Report::Finished(finish) });
                finished += 1;
            }
        }
        let at = Instant::now();
        let batch = ReportBatch { executor: ExecutorId(1), incarnation: 1, reports };
        let reply = bench.apply(&Command::Report(batch));
        assert!(matches!(reply, Reply::Reported { .. }));
        reporting += at.elapsed();
    }
    let elapsed = begin.elapsed();
    let per_second = f64::from(tasks) / elapsed.as_secs_f64();
    let _: (std::time::Duration, std::time::Duration, std::time::Duration) =
        (planning, granting, reporting);
    println!(
        "{tasks} tasks: {per_second:.0} tasks/s (plan {planning:?}, grant {granting:?}, report {reporting:?})"
    );
}
