//! **Purpose**: signs through whichever wallet holds the key, asked on any node.
//!
//! **Invariants**
//! - A caller gets signatures only of keys that belong to its user; an admin of all.
//! - Every request is an applied intent before a wallet hears of it; a repetition under the same
//!   request id has the same intent, so the wallet gives the same bytes.
//! - Blocks of a key are asked of one wallet alone, which alone knows what it signed before.
//! - The wallet's own words reach the caller.

use std::time::Duration;

use hesper_protos::job::RequestId;
use hesper_protos::wallet::signing_server::Signing;
use hesper_protos::wallet::{
    ListWalletsReply, ListWalletsRequest, RefusalKind, ReleaseBlocksReply, ReleaseBlocksRequest,
    SignReply, SignRequest,
};
use hesper_wallet::ObjectType;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::access;
use super::ask::{Outcome, Wanted, ask};
use super::table::Route;
use super::{intents, proof};
use crate::node::caller::Caller;
use crate::node::{Node, Shared, unexpected};

/// What a request may take when it does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most that it may ask for.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Largest object with its signing bytes: a message may have 64 KiB of parameters, a block header
/// with its proofs less.
const BYTES_MAX: usize = 512 << 10;
/// How often a request begins anew because others of the same key overtook it.
const OVERTAKEN_MAX: usize = 32;
/// How many new intents are tried on a wallet that calls the newest one old.
const NEW_INTENTS_MAX: usize = 3;
/// Digits of a wallet's id.
const WALLET_ID_DIGITS: usize = 32;

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

    async fn release_blocks(
        &self,
        request: Request<ReleaseBlocksRequest>,
    ) -> Result<Response<ReleaseBlocksReply>, Status> {
        let node = &self.0;
        let (caller, is_charged) = access::signer(node, &request)?;
        access::admit_release(node, &caller, is_charged).await?;
        let ReleaseBlocksRequest { id, signer, wallet_id } = request.into_inner();
        let key = canonical_signer(&signer)?;
        check_wallet_id(&wallet_id)?;
        let command = intents::Command::Unpin { key: key.clone(), wallet_id: wallet_id.clone() };
        match access::propose(node, &caller, id, &command).await? {
            intents::Reply::Unpinned => {
                tracing::warn!(key, wallet_id, by = caller.name, "another wallet may sign blocks");
                let subject = format!("{key} of {wallet_id}");
                node.audit(&caller, "release block wallet", &subject, "done").await;
                Ok(Response::new(ReleaseBlocksReply {}))
            }
            intents::Reply::Rejected { message } => Err(Status::failed_precondition(message)),
            other @ intents::Reply::Intended { .. } => Err(unexpected(&other)),
        }
    }
}

/// A key's address with the prefix of the main network.
fn canonical_signer(text: &str) -> Result<String, Status> {
    proof::canonical(text).map(|(_, key)| key).map_err(|reason| {
        Status::invalid_argument(format!("`signer` names no key that can sign: {reason}"))
    })
}

fn wanted(caller: &Caller, request: SignRequest, started: Instant) -> Result<Wanted, Status> {
    let SignRequest { signer: text, object_type, to_sign, extra, timeout_ms, .. } = request;
    let key = canonical_signer(&text)?;
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
    let routes = node.wallets.table.routes(&wanted.key, &wanted.user);
    let Some(best) = routes.first() else { return Err(no_stream(node, wanted)) };
    let best = is_block(wanted).then(|| best.wallet_id.clone());
    if best.is_some() {
        require_pinned(node, wanted, &routes).await?;
    }
    let _turn = node.wallets.turns.take(&wanted.key).await;
    let mut id = id;
    let mut fence = Fence::default();
    loop {
        let (intent, only) = intend(node, caller, id, wanted, best.clone()).await?;
        if let Some(only) = &only {
            confirm_pinned(node, &wanted.key, only).await?;
        }
        match ask(node, wanted, intent, only.as_deref()).await {
            Outcome::Signed { value, wallet } => {
                return Ok(SignReply { signature: Some(value), wallet, intent });
            }
            Outcome::Refused { kind: RefusalKind::Stale, wallet, .. } => {
                node.wallets.metrics.count_stale();
                // What another node had signed meanwhile is applied here, too, after this.
                node.barrier().await?;
                let newest = node.read(|machine| machine.intents.newest(&wanted.key));
                fence.stale(intent, newest, &wanted.key, &wallet)?;
                id = None;
            }
            Outcome::Refused { kind, message, wallet } => {
                node.wallets.metrics.count_refused(kind);
                return Err(refusal_status(kind, &wallet, &message));
            }
            Outcome::NoStream => {
                return Err(only.map_or_else(
                    || no_stream(node, wanted),
                    |pinned| pinned_is_away(&wanted.key, &pinned),
                ));
            }
            Outcome::Lost { why } => {
                return Err(Status::unavailable(format!(
                    "no wallet with the key {} could be reached: {why}; try again when it is back",
                    wanted.key
                )));
            }
            Outcome::Late => return Err(late(wanted)),
        }
    }
}

/// Tells apart why a wallet calls an intent old.
#[derive(Debug, Default)]
struct Fence {
    overtaken: usize,
    /// New intents since the wallet refused the newest one of the cluster.
    burnt: usize,
}

impl Fence {
    /// Whether another intent is worth trying.
    ///
    /// # Errors
    /// It is not, and what to do instead.
    fn stale(
        &mut self,
        intent: u64,
        newest: Option<u64>,
        key: &str,
        wallet: &str,
    ) -> Result<(), Status> {
        if newest.is_some_and(|newest| newest > intent) {
            self.overtaken += 1;
            if self.overtaken < OVERTAKEN_MAX {
                return Ok(());
            }
            return Err(Status::aborted(format!(
                "other requests of the key {key} overtook this one {OVERTAKEN_MAX} times; try again"
            )));
        }
        if self.burnt < NEW_INTENTS_MAX {
            self.burnt += 1;
            return Ok(());
        }
        let message = format!(
            "it has seen a higher number than the cluster ever gave out for {key} (the newest is \
             {intent}), so a node or another cluster used up its numbers; find out which, and only \
             then run `hesper wallet forget-orders {key}` on the wallet's machine"
        );
        Err(refusal_status(RefusalKind::Stale, wallet, &message))
    }
}

fn is_block(wanted: &Wanted) -> bool {
    wanted.object_type == ObjectType::Block.word()
}

/// Refuses before anything is written to the log when the only wallet to ask is not there.
async fn require_pinned(node: &Node, wanted: &Wanted, routes: &[Route]) -> Result<(), Status> {
    let away = || {
        node.read(|machine| {
            let pinned = machine.intents.block_wallet(&wanted.key)?;
            let is_here = routes.iter().any(|route| route.wallet_id == pinned);
            (!is_here).then(|| pinned.to_owned())
        })
    };
    if away().is_none() {
        return Ok(());
    }
    // It may have been released through another node.
    node.barrier().await?;
    match away() {
        Some(pinned) => Err(pinned_is_away(&wanted.key, &pinned)),
        None => Ok(()),
    }
}

/// Lets a request go on only while its wallet is the pinned one: the answer to a repeated request id
/// may be older than the release of the key.
async fn confirm_pinned(node: &Node, key: &str, wallet_id: &str) -> Result<(), Status> {
    let is_pinned = || node.read(|machine| machine.intents.block_wallet(key) == Some(wallet_id));
    if is_pinned() {
        return Ok(());
    }
    node.barrier().await?;
    if is_pinned() {
        return Ok(());
    }
    Err(Status::aborted(format!(
        "an administrator has released {key} from the wallet {wallet_id} since this was first asked; \
         ask again as a new request"
    )))
}

fn pinned_is_away(key: &str, wallet_id: &str) -> Status {
    Status::failed_precondition(format!(
        "blocks of {key} are signed by the wallet {wallet_id} alone, which is not connected with that \
         key; start or unlock it. Only if it will never sign again, since two wallets could sign two \
         blocks of one epoch: an administrator lets another one sign with `hesper wallet release-blocks \
         {key} --wallet {wallet_id}`"
    ))
}

fn check_wallet_id(id: &str) -> Result<(), Status> {
    if id.len() == WALLET_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "`wallet_id` must have {WALLET_ID_DIGITS} hexadecimal digits; `hesper wallet sessions` and \
         `hesper wallet state` show it"
    )))
}

/// Has the intent applied; its number and, for a block, the only wallet to ask.
async fn intend(
    node: &Node,
    caller: &Caller,
    id: Option<RequestId>,
    wanted: &Wanted,
    block_wallet: Option<String>,
) -> Result<(u64, Option<String>), Status> {
    let is_block = block_wallet.is_some();
    let digest = digest(wanted);
    let command = intents::Command::Intend {
        key: wanted.key.clone(),
        digest: digest.clone(),
        user: wanted.user.clone(),
        block_wallet,
    };
    match access::propose(node, caller, id, &command).await? {
        // A block without a pin would be asked of anybody.
        intents::Reply::Intended { intent, digest: applied, block_wallet }
            if applied == digest && block_wallet.is_some() == is_block =>
        {
            Ok((intent, block_wallet))
        }
        intents::Reply::Intended { .. } => Err(Status::invalid_argument(
            "this request id was used before to sign something else; give every request its own",
        )),
        intents::Reply::Rejected { message } => Err(Status::permission_denied(message)),
        other @ intents::Reply::Unpinned => Err(unexpected(&other)),
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
    fn a_wallet_that_calls_the_newest_intent_old_gets_three_more() {
        let mut fence = Fence::default();
        for intent in 5..8 {
            fence.stale(intent, Some(intent), "f1a", "w1").unwrap();
        }
        let status = fence.stale(8, Some(8), "f1a", "w1").unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert_eq!(status.metadata().get("hesper-refusal").unwrap(), "stale");
        let text = status.message();
        assert!(text.contains("`hesper wallet forget-orders f1a`"), "{text}");
        assert!(text.contains("`w1`"), "{text}");
    }

    #[test]
    fn a_request_that_others_overtook_is_tried_for_longer() {
        let mut fence = Fence::default();
        for intent in 1..OVERTAKEN_MAX as u64 {
            fence.stale(intent, Some(intent + 1), "f1a", "w1").unwrap();
        }
        let status = fence.stale(90, Some(91), "f1a", "w1").unwrap_err();
        assert_eq!(status.code(), tonic::Code::Aborted);
        assert!(!status.message().contains("forget-orders"), "{}", status.message());
    }

    #[test]
    fn a_pinned_wallet_that_is_away_is_named_with_the_way_out() {
        let status = pinned_is_away("f3a", "00ff");
        let text = status.message();
        assert!(text.contains("the wallet 00ff alone"), "{text}");
        assert!(text.contains("release-blocks f3a --wallet 00ff"), "{text}");
    }

    #[test]
    fn a_release_names_a_wallet() {
        assert!(check_wallet_id(&"ab".repeat(16)).is_ok());
        for bad in ["", "ab", &"ab".repeat(17), &"xy".repeat(16)] {
            let status = check_wallet_id(bad).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
        }
    }

    #[test]
    fn only_blocks_are_pinned() {
        assert!(is_block(&Wanted { object_type: "block".into(), ..some() }));
        for other in ["message", "Block", "drawrandomparam"] {
            assert!(!is_block(&Wanted { object_type: other.into(), ..some() }));
        }
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
