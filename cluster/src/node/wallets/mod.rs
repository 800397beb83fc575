//! **Purpose**: wallets in the cluster: their streams to the nodes, and requests to sign that reach
//! them through any node.
//!
//! **Invariants**
//! - A wallet is asked only for an intent that has been applied.
//! - A key is routed only to a stream whose wallet has proven that it holds it.
//! - Nothing that a node remembers here matters after a restart: the wallets dial in again, and they
//!   themselves refuse what is old.

mod access;
mod ask;
pub mod intents;
mod metrics;
mod object;
mod proof;
pub mod relay;
pub mod session;
pub mod signing;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::transport::Channel;

use metrics::Metrics;
use table::Table;

/// Generation of the cluster that every request to a wallet carries. There is one until a cluster
/// can be restored from a backup.
const GENERATION: u64 = 1;

/// What this node knows about wallets.
#[derive(Debug, Default)]
pub struct Wallets {
    table: Table,
    metrics: Metrics,
    turns: Turns,
    /// Channels to other nodes, with the address that each was made for.
    links: Mutex<BTreeMap<u64, (String, Channel)>>,
    /// True when this node stops.
    stopping: watch::Sender<bool>,
}

impl Wallets {
    /// Ends all streams; no other is opened.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        self.table.close_all();
    }

    /// Prometheus text.
    pub fn render(&self) -> String {
        self.metrics.render(&self.table.local())
    }
}

/// One request per key at a time on this node: a wallet refuses an intent that is older than one it
/// has seen, so requests of one key that overtook each other would only be refused and begin anew.
#[derive(Debug, Default)]
struct Turns(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    async fn take(&self, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_of_one_key_wait_for_each_other_and_of_others_do_not() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let _other = turns.take("b").await;
        let mut second = Box::pin(turns.take("a"));
        let waits = futures_poll_once(second.as_mut()).await;
        assert!(waits, "the first has not ended");
        drop(first);
        drop(second.await);
        let _again = turns.take("c").await;
        assert_eq!(turns.0.lock().len(), 2, "keys without requests are forgotten");
    }

    /// Whether the future is not ready at its first poll.
    async fn futures_poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
        })
        .await
    }
}
