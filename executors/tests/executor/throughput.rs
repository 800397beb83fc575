//! What a short command costs beside its own fork and exec: a measurement, not a check of speed.
use hesper_protos::executor::exit::Kind;
use hesper_protos::executor::*;

use crate::support::*;

const TASKS: u64 = 10_000;
const PER_LEASE: u64 = 64;

/// (user + system of the process, of its reaped children, resident KiB), in milliseconds.
fn usage(pid: u32) -> (u64, u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap() * 10;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let rss = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (ticks(11) + ticks(12), ticks(13) + ticks(14), rss)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: run it alone, on an idle machine, with --nocapture"]
async fn ten_thousand_short_commands_on_two_slots() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let mut session = node.session().await;
    let control =
        std::fs::read_to_string(executor.config.data_dir.join("supervisor.control")).unwrap();
    let supervisor: u32 = control.split_whitespace().next().unwrap().parse().unwrap();
    let leases: Vec<Lease> = (0..TASKS.div_ceil(PER_LEASE))
        .map(|at| {
            let tokens = at * PER_LEASE + 1..=((at + 1) * PER_LEASE).min(TASKS);
            lease(at + 1, tokens.map(|token| command(token, "/bin/true", &[])).collect())
        })
        .collect();
    let mut waiting = leases.into_iter();
    let own = usage(std::process::id());
    let began = std::time::Instant::now();
    let mut left = std::collections::HashMap::new();
    for _ in 0..2 {
        let lease = waiting.next().unwrap();
        left.insert((lease.lease - 1) % TASKS, lease.attempts.len());
        session.start(vec![lease]).await;
    }
    for done in 1..=TASKS {
        let (sequence, finished) = session.finished().await;
        assert_eq!((kind(&finished), finished.exit.as_ref().unwrap().code), (Kind::Exited, 0));
        if done % 50 == 0 {
            session.ack(sequence).await;
        }
        let of = (finished.token - 1) / PER_LEASE;
        let open = left.get_mut(&of).unwrap();
        *open -= 1;
        if *open == 0
            && let Some(lease) = waiting.next()
        {
            left.insert(lease.lease - 1, lease.attempts.len());
            session.start(vec![lease]).await;
        }
    }
    let wall = began.elapsed();
    let (agent, boss) = (usage(std::process::id()), usage(supervisor));
    let per_task = |ms: u64| ms as f64 / TASKS as f64;
    println!(
        "{:.0} tasks/s; CPU ms per task: agent and fake node {:.3}, supervisor {:.3}, children {:.3}; \
         peak KiB: agent {} supervisor {}",
        TASKS as f64 / wall.as_secs_f64(),
        per_task(agent.0 - own.0),
        per_task(boss.0),
        per_task(boss.1),
        agent.2,
        boss.2,
    );
}
