//! **Purpose**: who may open a wallet's stream, ask for signatures and see wallets: everything that
//! this directory asks of authentication, in one place.
//!
//! **Invariants**
//! - A caller that is not an admin gets signatures only of its user's own keys: registered signers,
//!   or, for owners of certificates without a user, keys that a wallet of that owner has proven.
//! - A limit never stands in the way of a proof: signatures of blocks, of the randomness that decides
//!   them, and of window PoSt messages to the user's own miners are not counted. What only claims
//!   to be one is.
//! - Blocks are signed only of the miners of the caller's user, unless an admin asks.

use hesper_auth::{Class, Permission, Standing};
use hesper_protos::job::RequestId;
use tonic::{Request, Status};

use super::ask::Wanted;
use super::intents;
use super::object::Object;
use super::table::Route;
use crate::identity::Role;
use crate::node::auth::Access;
use crate::node::caller::{Caller, is_forwarded};
use crate::node::machine::{Command, Proposer, Reply};
use crate::node::{Node, unexpected};

const SIGN: Access = Access::sign("wallet", "Sign", "ask for signatures");
const RELEASE_WHAT: &str = "let another wallet sign a key's blocks";
const LIST: Access = Access::read("wallet", "ListWallets", "list wallets");

/// Signers of one command of auth.
const SIGNERS_MAX: usize = 256;

/// The owner of a stream that is being opened.
///
/// # Errors
/// It is no wallet, or its user is disabled.
pub fn wallet<T>(node: &Node, request: &Request<T>) -> Result<Caller, Status> {
    let caller = node.authenticate(request)?;
    caller.require_role(&[Role::Wallet], "open a wallet session")?;
    Ok(caller)
}

/// Records proven keys as signers of the wallet's user.
///
/// # Errors
/// The cluster did not take them.
pub async fn register_signers(node: &Node, owner: &Caller, keys: &[String]) -> Result<(), Status> {
    let user = &owner.user;
    let (standing, new): (Standing, Vec<String>) = node.read(|machine| {
        let new = keys.iter().filter(|key| !machine.auth.is_signer_of(key, user)).cloned();
        (machine.auth.standing(user), new.collect())
    });
    if standing == Standing::Unknown {
        // An owner of certificates from before there were users: there is nobody to record them of.
        return Ok(());
    }
    let by = Proposer::node(&node.settings.name);
    for signers in new.chunks(SIGNERS_MAX) {
        let command =
            hesper_auth::Command::RegisterSigners { user: user.clone(), signers: signers.to_vec() };
        match node.propose_any(&by, None, &Command::Auth(command)).await?.1 {
            Reply::Auth(hesper_auth::Reply::Rejected(rejected)) => {
                return Err(Status::failed_precondition(rejected.to_string()));
            }
            Reply::Auth(_) => {}
            other => return Err(unexpected(&other)),
        }
    }
    Ok(())
}

/// The caller, and whether its request was counted by another node.
///
/// # Errors
/// Nobody, or somebody who is disabled.
pub fn signer<T>(node: &Node, request: &Request<T>) -> Result<(Caller, bool), Status> {
    Ok((node.authenticate(request)?, is_forwarded(request)))
}

/// Lets the caller ask for this signature: permission, key, limits.
///
/// # Errors
/// What is missing, or when to retry.
pub async fn admit(
    node: &Node,
    caller: &Caller,
    is_charged: bool,
    wanted: &Wanted,
) -> Result<(), Status> {
    let object = Object::read(wanted);
    let owns = |miner| {
        node.read(|machine| machine.auth.miner(miner).is_some_and(|row| row.user == caller.user))
    };
    let access = Access { class: object.class(owns), ..SIGN };
    // Before the charge, so that a request that may not be costs nothing.
    caller.require(access.permission, access.what)?;
    may_sign(node, caller, &wanted.key)?;
    object.require_miner(caller, owns)?;
    node.allow(caller, &access, is_charged).await?;
    // After the charge: otherwise trying malformed blocks would be free.
    object.require_sound()
}

/// Lets an administrator release a key from the wallet of its blocks.
///
/// # Errors
/// The caller is none.
pub async fn admit_release(node: &Node, caller: &Caller, is_charged: bool) -> Result<(), Status> {
    let class = Class::Change;
    let access = Access { class, permission: Permission::Admin, what: RELEASE_WHAT, ..SIGN };
    node.allow(caller, &access, is_charged).await
}

fn may_sign(node: &Node, caller: &Caller, key: &str) -> Result<(), Status> {
    if caller.is_admin() {
        return Ok(());
    }
    let user = &caller.user;
    let (standing, is_signer) =
        node.read(|machine| (machine.auth.standing(user), machine.auth.is_signer_of(key, user)));
    let routes = || node.wallets.table.routes(key, user);
    // A key that no wallet holds is nobody's yet; the request ends with saying so.
    let may_hold =
        |routes: Vec<Route>| routes.is_empty() || routes.iter().any(|route| route.user == *user);
    if is_signer || standing == Standing::Unknown && may_hold(routes()) {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "{key} is no signer of the user `{user}`; connect a wallet of that user which holds it, or let \
         an administrator register it (`hesper auth signer add`)"
    )))
}

/// Has a command of the intents applied on behalf of the caller.
///
/// # Errors
/// The log did not take it.
pub async fn propose(
    node: &Node,
    caller: &Caller,
    id: Option<RequestId>,
    command: &intents::Command,
) -> Result<intents::Reply, Status> {
    let command = Command::Intent(command.clone());
    match node.propose_any(&caller.proposer(), id, &command).await?.1 {
        Reply::Intent(reply) => Ok(reply),
        other => Err(unexpected(&other)),
    }
}

/// The caller, if it may list wallets.
///
/// # Errors
/// What is missing.
pub async fn lister<T: Sync>(node: &Node, request: &Request<T>) -> Result<Caller, Status> {
    node.admit(request, &LIST).await
}
