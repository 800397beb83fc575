//! **Purpose**: brings one applied intent to a wallet that holds the key and gets its answer: on this
//! node or another, on the next stream when one is dead or silent.
//!
//! **Invariants**
//! - All streams are asked with the same intent, so that the wallet gives the same bytes again
//!   however often it is asked.
//! - A refusal that another wallet with the same key would not give (no key, locked, log,
//!   busy) is passed on only when no other is left; every other refusal is final.
//! - Nobody waits beyond the request's deadline.

use std::collections::BTreeSet;
use std::time::Duration;

use hesper_protos::wallet::wallet_relay_client::WalletRelayClient;
use hesper_protos::wallet::{
    Answer, Ask, Refusal, RefusalKind, RelayRequest, SignatureValue, answer::Outcome as Wire,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::table::{Route, Table};
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

/// Asks until somebody answers; with `only`, no wallet but the one of that id.
pub async fn ask(node: &Shared, wanted: &Wanted, intent: u64, only: Option<&str>) -> Outcome {
    let send = |route: Route, ask: Ask| {
        let node = Shared::clone(node);
        async move {
            let answer = ask_one(&node, &route, ask).await;
            (route, answer)
        }
    };
    ask_through(&node.wallets.table, wanted, intent, only, send).await
}

async fn ask_through<S, F>(
    table: &Table,
    wanted: &Wanted,
    intent: u64,
    only: Option<&str>,
    send: S,
) -> Outcome
where
    S: Fn(Route, Ask) -> F,
    F: Future<Output = One> + Send + 'static,
{
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
                .filter(|route| only.is_none_or(|only| route.wallet_id == only))
                .find(|route| !tried.contains(&route.session));
            if let Some(route) = next {
                tried.insert(route.session);
                waiting.insert(route.session);
                patience = Instant::now() + PATIENCE;
                asks.spawn(send(route, message(wanted, intent)));
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
                // Unspecified: too many requests wait there, or something broke in the wallet.
                RefusalKind::Locked
                | RefusalKind::NoKey
                | RefusalKind::Log
                | RefusalKind::Unspecified => Judged::Elsewhere(outcome),
                RefusalKind::Policy
                | RefusalKind::Mismatch
                | RefusalKind::Stale
                | RefusalKind::Expired
                | RefusalKind::Slash
                | RefusalKind::Unsupported
                | RefusalKind::BadObject => Judged::End(outcome),
            }
        }
        Ok(None) => Judged::Lost(format!("wallet `{wallet}` sent an answer that says nothing")),
    }
}

#[cfg(test)]
mod tests {
    use hesper_protos::wallet::WalletSession;
    use parking_lot::Mutex;

    use super::*;

    fn route() -> Route {
        Route {
            session: 1,
            node_id: 1,
            user: "acme".into(),
            wallet_id: "1".into(),
            wallet: "w1".into(),
        }
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
            (RefusalKind::Unspecified, true),
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

    /// Streams of the wallets 1, 2 and 3, with the key `k`; they say what `answer` does.
    async fn asked(
        only: Option<&str>,
        answer: fn(u64) -> Result<Answer, String>,
    ) -> (Outcome, Vec<u64>) {
        let table = Table::default();
        let sessions = (1..=3).map(|session: u64| WalletSession {
            wallet_id: session.to_string(),
            name: format!("w{session}"),
            user: "acme".into(),
            node_id: 2,
            session,
            addresses: vec!["k".into()],
            connected_at_ms: 0,
        });
        table.set_remote(2, sessions.collect());
        let wanted = Wanted {
            key: "k".into(),
            object_type: "block".into(),
            to_sign: bytes::Bytes::new(),
            extra: bytes::Bytes::new(),
            user: "acme".into(),
            deadline: Instant::now() + Duration::from_secs(60),
        };
        let order = Mutex::new(Vec::new());
        let send = |route: Route, _: Ask| {
            order.lock().push(route.session);
            async move {
                let answer = answer(route.session);
                (route, answer)
            }
        };
        let outcome = ask_through(&table, &wanted, 7, only, send).await;
        (outcome, order.into_inner())
    }

    fn signed(session: u64) -> Result<Answer, String> {
        let value = SignatureValue { r#type: 1, data: vec![1].into() };
        Ok(Answer { request: session, outcome: Some(Wire::Signature(value)) })
    }

    #[tokio::test]
    async fn a_busy_wallet_is_passed_over_for_the_next() {
        let (outcome, order) = asked(None, |session| match session {
            1 => refusal(RefusalKind::Unspecified),
            other => signed(other),
        })
        .await;
        assert!(matches!(outcome, Outcome::Signed { wallet, .. } if wallet == "w2"));
        assert_eq!(order, [1, 2]);
    }

    #[tokio::test]
    async fn when_all_are_busy_the_last_refusal_is_the_answer() {
        let (outcome, order) = asked(None, |_| refusal(RefusalKind::Unspecified)).await;
        assert!(matches!(outcome, Outcome::Refused { kind: RefusalKind::Unspecified, .. }));
        assert_eq!(order, [1, 2, 3]);
    }

    #[tokio::test]
    async fn no_wallet_but_the_pinned_one_is_asked() {
        let (outcome, order) = asked(Some("2"), |_| refusal(RefusalKind::Locked)).await;
        assert!(matches!(outcome, Outcome::Refused { kind: RefusalKind::Locked, .. }));
        assert_eq!(order, [2]);
        let (outcome, order) = asked(Some("4"), signed).await;
        assert!(matches!(outcome, Outcome::NoStream), "{outcome:?}");
        assert_eq!(order, [0_u64; 0]);
    }
}
