//! **Purpose**: from a node's request to its answer.
//!
//! **Invariants**
//! - At most `in_flight_max` requests of a stream are signed at once, at most `waiting_max` wait.
//! - What a node sends is bounded before it is looked at, kept or recorded.
//! - The time that a request waits counts against its deadline.

use std::sync::Arc;

use hesper_protos::wallet::{Answer, Ask, Refusal, RefusalKind, SignatureValue, answer};
use tokio::sync::Semaphore;

use super::holder::{Asked, Denied, Fenced, Holder};
use super::possession::ADDRESS_BYTES_MAX;

/// A user's name; it stands in every record.
const USER_BYTES_MAX: usize = 256;
/// The longest of Venus's words has 17.
const OBJECT_TYPE_BYTES_MAX: usize = 32;
/// The bytes to sign and the object together: what is larger does not fit into a record.
const OBJECT_BYTES_MAX: usize = 1 << 20;

/// What the requests of one stream share.
pub(super) struct Desk<H> {
    pub(super) holder: Arc<H>,
    pub(super) node_id: u64,
    pub(super) turns: Arc<Semaphore>,
}

impl<H> Clone for Desk<H> {
    fn clone(&self) -> Self {
        Desk { holder: self.holder.clone(), node_id: self.node_id, turns: self.turns.clone() }
    }
}

impl<H: Holder> Desk<H> {
    /// Answers one request, in its turn. `received_ms` is when it came.
    pub(super) async fn serve(self, ask: Ask, received_ms: u64) -> Answer {
        let request = ask.request;
        let outcome = match read(ask, self.node_id, received_ms) {
            Ok(asked) => self.sign(asked).await,
            Err(denied) => Err(denied),
        };
        let outcome = match outcome {
            Ok(signature) => answer::Outcome::Signature(SignatureValue {
                r#type: u32::from(signature.kind.code()),
                data: signature.bytes.into(),
            }),
            Err(denied) => answer::Outcome::Refusal(refusal(denied)),
        };
        Answer { request, outcome: Some(outcome) }
    }

    async fn sign(&self, asked: Asked) -> Result<hesper_chain::signature::Signature, Denied> {
        let Ok(_turn) = self.turns.clone().acquire_owned().await else {
            return Err(internal("the stream has ended"));
        };
        let holder = self.holder.clone();
        tokio::task::spawn_blocking(move || holder.sign(&asked))
            .await
            .unwrap_or_else(|error| Err(internal(&format!("the signing thread failed: {error}"))))
    }
}

/// The answer when too many requests wait.
pub(super) fn busy(request: u64, waiting_max: usize) -> Answer {
    let denied = internal(&format!(
        "{waiting_max} requests wait on this stream already; try another wallet or later"
    ));
    Answer { request, outcome: Some(answer::Outcome::Refusal(refusal(denied))) }
}

fn refusal(denied: Denied) -> Refusal {
    Refusal { kind: denied.kind.into(), message: denied.message }
}

fn internal(message: &str) -> Denied {
    Denied { kind: RefusalKind::Unspecified, message: message.to_owned() }
}

fn read(ask: Ask, node_id: u64, received_ms: u64) -> Result<Asked, Denied> {
    check(&ask)?;
    let signer = hesper_chain::address::parse(&ask.signer).map_err(|error| {
        bad(format!("the signer `{}` is no address: {error}", ask.signer.escape_debug()))
    })?;
    if ask.deadline_ms == 0 {
        return Err(Denied {
            kind: RefusalKind::Expired,
            message: "no time was left for the request when it was sent".to_owned(),
        });
    }
    let user = if ask.user.is_empty() { "-" } else { &ask.user };
    Ok(Asked {
        signer,
        object_type: ask.object_type,
        to_sign: ask.to_sign.into(),
        extra: ask.extra.into(),
        caller: format!("node {node_id}, user {user}"),
        order: Some(Fenced {
            generation: ask.generation,
            intent: ask.intent,
            deadline_ms: received_ms.saturating_add(ask.deadline_ms),
        }),
    })
}

fn check(ask: &Ask) -> Result<(), Denied> {
    let texts = [
        ("the signer", &ask.signer, ADDRESS_BYTES_MAX),
        ("the object type", &ask.object_type, OBJECT_TYPE_BYTES_MAX),
        ("the user", &ask.user, USER_BYTES_MAX),
    ];
    for (what, text, bytes_max) in texts {
        if text.len() > bytes_max {
            let bytes = text.len();
            return Err(bad(format!("{what} has {bytes} bytes; at most {bytes_max} are taken")));
        }
    }
    if ask.user.chars().any(char::is_control) {
        return Err(bad("the user's name holds control characters".to_owned()));
    }
    let bytes = ask.to_sign.len().saturating_add(ask.extra.len());
    if bytes > OBJECT_BYTES_MAX {
        let message = format!("the object has {bytes} bytes; at most {OBJECT_BYTES_MAX} are taken");
        return Err(bad(message));
    }
    Ok(())
}

fn bad(message: String) -> Denied {
    Denied { kind: RefusalKind::BadObject, message }
}
