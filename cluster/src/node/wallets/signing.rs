//! **Purpose**: signs through whichever wallet holds the key, asked on any node.
//!
//! **Invariants**
//! - A caller gets signatures only of keys that belong to its user; an admin of all.
//! - Every request is an applied intent before a wallet hears of it; a repetition under the same
//!   request id has the same intent, so the wallet gives the same bytes.
//! - The wallet's own words reach the caller.

use std::time::Duration;

use hesper_protos::job::RequestId;
use hesper_protos::wallet::signing_server::Signing;
use hesper_protos::wallet::{
    ListWalletsReply, ListWalletsRequest, RefusalKind, SignReply, SignRequest,
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::access;
use super::ask::{Outcome, Wanted, ask};
use super::{intents, proof};
use crate::node::caller::Caller;
use crate::node::{Node, Shared};

/// What a request may take when it does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most that it may ask for.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Largest object with its signing bytes: a message may have 64 KiB of parameters, a block header
/// with its proofs less.
const BYTES_MAX: usize = 512 << 10;
/// How often a request begins anew because others of the same key overtook it.
const STALE_MAX: usize = 32;

pub struct Service(pub Shared);

#[tonic::async_trait]
impl Signing for Service {
    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignReply>, Status> {
        let node = &self.0;
        let started = Instant::now();
        let (caller, is_charged) = access::signer(node, &request)?;
        let request = request.into_inner();
        let id = request.id;
        let wanted = wanted(&caller, request, started)?;
        access::admit(node, &caller, is_charged, &wanted).await?;
        let answer = tokio::time::timeout_at(wanted.deadline, sign(node, &caller, id, &wanted))
            .await
            .unwrap_or_else(|_| Err(late(&wanted)));
        node.wallets.metrics.observe(started.elapsed(), answer.as_ref().err());
        answer.map(Response::new)
    }

    async fn list_wallets(
        &self,
        request: Request<ListWalletsRequest>,
    ) -> Result<Response<ListWalletsReply>, Status> {
        let lister = access::lister(&self.0, &request).await?;
        let mut sessions = self.0.wallets.table.all();
        sessions.retain(|session| lister.may_touch(&session.user));
        sessions.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
        Ok(Response::new(ListWalletsReply { sessions }))
    }
}

fn wanted(caller: &Caller, request: SignRequest, started: Instant) -> Result<Wanted, Status> {
    let SignRequest { signer: text, object_type, to_sign, extra, timeout_ms, .. } = request;
    let (_, key) = proof::canonical(&text).map_err(|reason| {
        Status::invalid_argument(format!("`signer` names no key that can sign: {reason}"))
    })?;
    if object_type.is_empty() || object_type.len() > 32 {
        return Err(Status::invalid_argument(
            "`object_type` must say what is signed: message, block or another of the wallet's types",
        ));
    }
    if to_sign.len() + extra.len() > BYTES_MAX {
        return Err(Status::invalid_argument(format!(
            "the object has {} bytes; a wallet is asked to sign at most {BYTES_MAX}",
            to_sign.len() + extra.len()
        )));
    }
    let timeout = match timeout_ms {
        0 => TIMEOUT,
        ms => Duration::from_millis(ms).min(TIMEOUT_MAX),
    };
    let user = caller.user.clone();
    Ok(Wanted { key, object_type, to_sign, extra, user, deadline: started + timeout })
}

/// Of everything that decides what is signed and for whom.
fn digest(wanted: &Wanted) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in [
        wanted.key.as_bytes(),
        wanted.object_type.as_bytes(),
        &wanted.to_sign,
        &wanted.extra,
        wanted.user.as_bytes(),
    ] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec()
}

async fn sign(
    node: &Shared,
    caller: &Caller,
    id: Option<RequestId>,
    wanted: &Wanted,
) -> Result<SignReply, Status> {
    // Found before anything is written to the log.
    if node.wallets.table.routes(&wanted.key, &wanted.user).is_empty() {
        return Err(no_stream(node, wanted));
    }
    let _turn = node.wallets.turns.take(&wanted.key).await;
    let mut id = id;
    for _ in 0..STALE_MAX {
        let intent = intend(node, caller, id, wanted).await?;
        match ask(node, wanted, intent).await {
            Outcome::Signed { value, wallet } => {
                return Ok(SignReply { signature: Some(value), wallet, intent });
            }
            Outcome::Refused { kind: RefusalKind::Stale, .. } => {
                // Another request of this key was quicker, through another node.
                node.wallets.metrics.count_stale();
                id = None;
            }
            Outcome::Refused { kind, message, wallet } => {
                node.wallets.metrics.count_refused(kind);
                return Err(refusal_status(kind, &wallet, &message));
            }
            Outcome::NoStream => return Err(no_stream(node, wanted)),
            Outcome::Lost { why } => {
                return Err(Status::unavailable(format!(
                    "no wallet with the key {} could be reached: {why}; try again when it is back",
                    wanted.key
                )));
            }
            Outcome::Late => return Err(late(wanted)),
        }
    }
    Err(Status::aborted(format!(
        "other requests of the key {} overtook this one {STALE_MAX} times; try again",
        wanted.key
    )))
}

/// Has the intent applied; its number.
async fn intend(
    node: &Node,
    caller: &Caller,
    id: Option<RequestId>,
    wanted: &Wanted,
) -> Result<u64, Status> {
    let digest = digest(wanted);
    let command = intents::Command::Intend {
        key: wanted.key.clone(),
        digest: digest.clone(),
        user: wanted.user.clone(),
    };
    match access::propose(node, caller, id, &command).await? {
        intents::Reply::Intended { intent, digest: applied } if applied == digest => Ok(intent),
        intents::Reply::Intended { .. } => Err(Status::invalid_argument(
            "this request id was used before to sign something else; give every request its own",
        )),
        intents::Reply::Rejected { message } => Err(Status::permission_denied(message)),
    }
}

fn no_stream(node: &Node, wanted: &Wanted) -> Status {
    let sessions = node.wallets.table.all();
    let wallets: std::collections::BTreeSet<&str> =
        sessions.iter().map(|session| session.wallet_id.as_str()).collect();
    Status::failed_precondition(format!(
        "no connected wallet holds the key {} (wallets connected: {}); start or unlock the wallet, \
         and look at `hesper wallet sessions`",
        wanted.key,
        wallets.len()
    ))
}

fn late(wanted: &Wanted) -> Status {
    Status::deadline_exceeded(format!(
        "no wallet signed with {} in time; whether one did is in its log (`hesper wallet log list`)",
        wanted.key
    ))
}

fn refusal_status(kind: RefusalKind, wallet: &str, message: &str) -> Status {
    let text = format!("wallet `{wallet}` refused to sign: {message}");
    let mut status = match kind {
        RefusalKind::Policy => Status::permission_denied(text),
        RefusalKind::Mismatch | RefusalKind::BadObject => Status::invalid_argument(text),
        RefusalKind::Locked
        | RefusalKind::NoKey
        | RefusalKind::Slash
        | RefusalKind::Unsupported
        | RefusalKind::Stale
        | RefusalKind::Log
        | RefusalKind::Unspecified => Status::failed_precondition(text),
        RefusalKind::Expired => Status::deadline_exceeded(text),
    };
    let word = super::metrics::word(kind);
    status
        .metadata_mut()
        .insert("hesper-refusal", word.parse().expect("these words are ASCII letters"));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Wanted {
        Wanted {
            key: "f1a".into(),
            object_type: "message".into(),
            to_sign: vec![1, 2].into(),
            extra: vec![3].into(),
            user: "acme".into(),
            deadline: Instant::now(),
        }
    }

    #[test]
    fn the_digest_covers_every_part_and_their_borders() {
        let all = [
            some(),
            Wanted { key: "f1b".into(), ..some() },
            Wanted { object_type: "block".into(), ..some() },
            Wanted { to_sign: vec![1].into(), extra: vec![2, 3].into(), ..some() },
            Wanted { extra: vec![4].into(), ..some() },
            Wanted { user: "other".into(), ..some() },
        ];
        let digests: std::collections::BTreeSet<Vec<u8>> = all.iter().map(digest).collect();
        assert_eq!(digests.len(), all.len());
        assert_eq!(digest(&some()), digest(&some()));
    }

    #[test]
    fn refusals_keep_the_wallets_words_and_say_their_kind() {
        for (kind, code, word) in [
            (RefusalKind::Policy, tonic::Code::PermissionDenied, "policy"),
            (RefusalKind::Mismatch, tonic::Code::InvalidArgument, "mismatch"),
            (RefusalKind::BadObject, tonic::Code::InvalidArgument, "bad_object"),
            (RefusalKind::Locked, tonic::Code::FailedPrecondition, "locked"),
            (RefusalKind::Slash, tonic::Code::FailedPrecondition, "slash"),
            (RefusalKind::Log, tonic::Code::FailedPrecondition, "log"),
            (RefusalKind::Expired, tonic::Code::DeadlineExceeded, "expired"),
        ] {
            let status = refusal_status(kind, "w1", "the rule says no");
            assert_eq!(status.code(), code, "{kind:?}");
            assert!(status.message().contains("`w1`") && status.message().contains("rule says no"));
            assert_eq!(status.metadata().get("hesper-refusal").unwrap(), word);
        }
    }
}
