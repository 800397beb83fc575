//! **Purpose**: brings one applied intent to a wallet that holds the key and gets its answer: on this
//! node or another, on the next stream when one is dead or silent.
//!
//! **Invariants**
//! - All streams are asked with the same intent, so that the wallet gives the same bytes again
//!   however often it is asked.
//! - A refusal that another wallet with the same key would not give (no key, locked, log) is passed
//!   on only when no other is left; every other refusal is final.
//! - Nobody waits beyond the request's deadline.

use std::collections::BTreeSet;
use std::time::Duration;

use hesper_protos::wallet::wallet_relay_client::WalletRelayClient;
use hesper_protos::wallet::{
    Answer, Ask, Refusal, RefusalKind, RelayRequest, SignatureValue, answer::Outcome as Wire,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::table::Route;
use crate::node::{Node, Shared};

/// An unanswered request goes to the next stream after this.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long a request whose streams all died waits for another one.
const RETURN: Duration = Duration::from_secs(1);

/// A request as it goes to wallets.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Canonical text of the key's address.
    pub key: String,
    pub object_type: String,
    pub to_sign: bytes::Bytes,
    pub extra: bytes::Bytes,
    /// On whose behalf.
    pub user: String,
    pub deadline: Instant,
}

/// How asking ended.
#[derive(Debug)]
pub enum Outcome {
    Signed {
        value: SignatureValue,
        wallet: String,
    },
    Refused {
        kind: RefusalKind,
        message: String,
        wallet: String,
    },
    /// No stream has the key.
    NoStream,
    /// Streams died and none came back.
    Lost {
        why: String,
    },
    /// No answer in time.
    Late,
}

/// How one stream answered, or why it did not.
type One = (Route, Result<Answer, String>);

/// Asks until somebody answers.
pub async fn ask(node: &Shared, wanted: &Wanted, intent: u64) -> Outcome {
    let table = &node.wallets.table;
    let mut changes = table.changes();
    let mut asks: JoinSet<One> = JoinSet::new();
    let mut waiting: BTreeSet<u64> = BTreeSet::new();
    let mut tried: BTreeSet<u64> = BTreeSet::new();
    let mut refused: Option<Outcome> = None;
    let mut lost: Option<(String, Instant)> = None;
    let mut patience = wanted.deadline;
    let mut is_next_due = true;
    loop {
        if is_next_due {
            changes.borrow_and_update();
            let next = table
                .routes(&wanted.key, &wanted.user)
                .into_iter()
                .find(|route| !tried.contains(&route.session));
            if let Some(route) = next {
                tried.insert(route.session);
                waiting.insert(route.session);
                patience = Instant::now() + PATIENCE;
                let (node, ask) = (Shared::clone(node), message(wanted, intent));
                asks.spawn(async move {
                    let answer = ask_one(&node, &route, ask).await;
                    (route, answer)
                });
                is_next_due = false;
            } else if asks.is_empty() {
                if let Some(refused) = refused {
                    return refused;
                }
                if tried.is_empty() {
                    return Outcome::NoStream;
                }
            }
        }
        // All streams died: a wallet keeps several and dials again at once.
        let give_up = lost.as_ref().filter(|_| asks.is_empty()).map(|(_, since)| *since + RETURN);
        let until = give_up.unwrap_or(wanted.deadline).min(wanted.deadline);
        tokio::select! {
            biased;
            Some(done) = asks.join_next(), if !asks.is_empty() => {
                let Ok((route, answer)) = done else {
                    is_next_due = true;
                    continue;
                };
                waiting.remove(&route.session);
                match judge(&route, answer) {
                    Judged::End(outcome) => return outcome,
                    Judged::Elsewhere(outcome) => refused = Some(outcome),
                    Judged::Lost(why) => lost = Some((why, Instant::now())),
                }
                is_next_due = true;
            }
            () = tokio::time::sleep_until(patience), if !is_next_due && patience < until => {
                for session in &waiting {
                    table.suspect(*session);
                }
                patience = wanted.deadline;
                is_next_due = true;
            }
            changed = changes.changed(), if is_next_due => {
                if changed.is_err() {
                    return Outcome::Lost { why: "the node is stopping".to_owned() };
                }
            }
            () = tokio::time::sleep_until(until) => {
                return match lost {
                    Some((why, _)) if asks.is_empty() => Outcome::Lost { why },
                    _ => Outcome::Late,
                };
            }
        }
    }
}

fn message(wanted: &Wanted, intent: u64) -> Ask {
    let left = wanted.deadline.saturating_duration_since(Instant::now());
    Ask {
        request: 0,
        generation: super::GENERATION,
        intent,
        deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
        signer: wanted.key.clone(),
        object_type: wanted.object_type.clone(),
        to_sign: wanted.to_sign.clone(),
        extra: wanted.extra.clone(),
        user: wanted.user.clone(),
    }
}

/// Asks one stream, wherever it ends.
async fn ask_one(node: &Node, route: &Route, ask: Ask) -> Result<Answer, String> {
    if route.node_id == node.settings.node_id {
        let answer = node
            .wallets
            .table
            .ask(route.session, ask)
            .ok_or_else(|| format!("the stream of wallet `{}` has ended", route.wallet))?;
        return answer
            .await
            .map_err(|_| format!("the stream of wallet `{}` ended meanwhile", route.wallet));
    }
    let channel = super::relay::link(node, route.node_id)
        .ok_or_else(|| format!("node {} is no longer a member", route.node_id))?;
    let limit = Duration::from_millis(ask.deadline_ms);
    let request = RelayRequest { session: route.session, ask: Some(ask) };
    let mut relay = WalletRelayClient::new(channel);
    match tokio::time::timeout(limit, relay.relay(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(format!("node {}: {}", route.node_id, status.message())),
        Err(_) => Err(format!("node {} gave no answer in time", route.node_id)),
    }
}

enum Judged {
    End(Outcome),
    /// Another wallet may have another answer.
    Elsewhere(Outcome),
    Lost(String),
}

fn judge(route: &Route, answer: Result<Answer, String>) -> Judged {
    let wallet = route.wallet.clone();
    match answer.map(|answer| answer.outcome) {
        Err(why) => Judged::Lost(why),
        Ok(Some(Wire::Signature(value))) => Judged::End(Outcome::Signed { value, wallet }),
        Ok(Some(Wire::Refusal(refusal))) => {
            let kind = refusal.kind();
            let Refusal { message, .. } = refusal;
            let outcome = Outcome::Refused { kind, message, wallet };
            match kind {
                RefusalKind::Locked | RefusalKind::NoKey | RefusalKind::Log => {
                    Judged::Elsewhere(outcome)
                }
                RefusalKind::Policy
                | RefusalKind::Mismatch
                | RefusalKind::Stale
                | RefusalKind::Expired
                | RefusalKind::Slash
                | RefusalKind::Unsupported
                | RefusalKind::BadObject
                | RefusalKind::Unspecified => Judged::End(outcome),
            }
        }
        Ok(None) => Judged::Lost(format!("wallet `{wallet}` sent an answer that says nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route { session: 1, node_id: 1, user: "acme".into(), wallet: "w1".into() }
    }

    fn refusal(kind: RefusalKind) -> Result<Answer, String> {
        let refusal = Refusal { kind: kind.into(), message: "no".into() };
        Ok(Answer { request: 1, outcome: Some(Wire::Refusal(refusal)) })
    }

    #[test]
    fn only_refusals_that_another_wallet_may_not_share_are_tried_elsewhere() {
        for (kind, elsewhere) in [
            (RefusalKind::Locked, true),
            (RefusalKind::NoKey, true),
            (RefusalKind::Log, true),
            (RefusalKind::Policy, false),
            (RefusalKind::Mismatch, false),
            (RefusalKind::Slash, false),
            (RefusalKind::Stale, false),
            (RefusalKind::Expired, false),
            (RefusalKind::Unsupported, false),
            (RefusalKind::BadObject, false),
        ] {
            let judged = judge(&route(), refusal(kind));
            assert_eq!(matches!(judged, Judged::Elsewhere(_)), elsewhere, "{kind:?}");
            assert_eq!(matches!(judged, Judged::End(_)), !elsewhere, "{kind:?}");
        }
    }

    #[test]
    fn an_empty_answer_counts_as_none() {
        let judged = judge(&route(), Ok(Answer { request: 1, outcome: None }));
        assert!(matches!(judged, Judged::Lost(why) if why.contains("w1")));
    }
}
