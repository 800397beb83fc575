//! Closed-loop load on three nodes.
#![allow(clippy::unwrap_used)]
#[path = "../tests/it/common.rs"]
#[allow(dead_code)]
mod common;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
fn main() {
    let rt = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let trio = common::Trio::start().await;
        let leader = trio.leader().await;
        for (clients, seconds) in [(1, 3), (1,3), (2,2), (4,2), (1,2), (16, 2)] {
            for follower in [false, true] {
            let at = if follower { (leader + 1) % 3 } else { leader };
            let count = Arc::new(AtomicU64::new(0));
            let end = Instant::now() + Duration::from_secs(seconds);
            let before = trio.nodes[leader].consensus.status();
            let tasks: Vec<_> = (0..clients).map(|c| {
                let (client, count) = (trio.nodes[at].consensus.clone(), count.clone());
                tokio::spawn(async move {
                    let mut n = 0u64;
                    while Instant::now() < end {
                        let command = bytes::Bytes::from(format!("put {c}-{} {}", n % 100, "x".repeat(240)));
                        let request = hesper_consensus::Request { session: None, principal: "p".into(), command };
                        client.propose(request, Duration::from_secs(10)).await.unwrap();
                        n += 1;
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            }).collect();
            for t in tasks { t.await.unwrap(); }
            let after = trio.nodes[leader].consensus.status();
            let total = count.load(Ordering::Relaxed);
            println!("clients {clients} follower {follower}: {}/s; fsyncs/s {} entries/s {} commands/entry {:.1}", total / seconds,
                (after.fsyncs - before.fsyncs) / seconds, (after.log_entries - before.log_entries) / seconds,
                total as f64 / (after.log_entries - before.log_entries) as f64);
            }
        }
        for n in trio.nodes { n.stop().await; }
    });
}
