//! **Purpose**: admission at the edge of a node: who calls, whether they may, and at which rate.
//!
//! **Invariants**
//! - Every service passes each call through [`Node::admit`] or [`Node::authenticate`]; both judge from
//!   this node's own applied state, without a remote call.
//! - A disabled or deleted user and a revoked token are refused from the applied entry on, and their
//!   open streams end with it.
//! - A node that has not confirmed the leader for [`FRESH_MAX`] answers reads only.

mod clock;
mod keys;
mod limits;
mod service;
mod show;
#[cfg(test)]
pub mod tests;

use std::time::{Duration, Instant};

use hesper_auth::{Class, Denied, Kind, Permission, Standing, Verifier};
use hesper_protos::job::RequestId;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::caller::{Caller, forwarded, is_forwarded};
use super::machine::{self, AuthChanged, Proposer};
use super::{Node, Shared, unexpected};
use crate::identity::{Role, peer_if_any};
use crate::shutdown::{self, Shutdown};

pub use keys::{PURPOSE, Sealer};
pub use limits::{RETRY_AFTER, run as run_limits};
pub use service::{Service, permission, signers_of_request};

/// A node that has not heard of a leader for so long serves reads only.
const FRESH_MAX: Duration = Duration::from_secs(5);
/// How often the leader is asked to confirm itself.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// A confirmation that takes longer is none.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a leader without a signing secret tries to make one.
const SECRET_RETRY: Duration = Duration::from_millis(500);
/// The roles that use the services of users; executors and wallets have sessions of their own.
const USERS: &[Role] = &[Role::Client, Role::Admin, Role::Node];

/// What this node keeps for judging callers.
pub struct Auth {
    verifier: RwLock<Verifier>,
    sealer: Sealer,
    clock: clock::StateClock,
    limits: limits::Limits,
    /// Counts applied changes of users, tokens and secrets.
    changes: watch::Sender<u64>,
    /// When the leader was last confirmed.
    confirmed: Mutex<Option<Instant>>,
}

impl Auth {
    pub fn new(node_id: u64, sealing_key: Zeroizing<[u8; 32]>) -> Self {
        Auth {
            verifier: RwLock::new(Verifier::new()),
            sealer: Sealer::new(sealing_key),
            clock: clock::StateClock::default(),
            limits: limits::Limits::new(node_id),
            changes: watch::Sender::new(0),
            confirmed: Mutex::new(None),
        }
    }
}

/// What a method needs.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The service's name in rate limits.
    pub service: &'static str,
    pub method: &'static str,
    pub permission: Permission,
    pub class: Class,
    /// An infinitive, shown to those who may not.
    pub what: &'static str,
}

impl Access {
    const fn new(
        (service, method): (&'static str, &'static str),
        permission: Permission,
        class: Class,
        what: &'static str,
    ) -> Self {
        Access { service, method, permission, class, what }
    }

    /// Changes nothing.
    pub const fn read(service: &'static str, method: &'static str, what: &'static str) -> Self {
        Self::new((service, method), Permission::Read, Class::Read, what)
    }

    /// Changes something of the caller's own.
    pub const fn change(service: &'static str, method: &'static str, what: &'static str) -> Self {
        Self::new((service, method), Permission::Write, Class::Change, what)
    }

    /// Changes something that a winning or window PoSt depends on: never limited.
    pub const fn proof(service: &'static str, method: &'static str, what: &'static str) -> Self {
        Self::new((service, method), Permission::Write, Class::ProofCritical, what)
    }

    /// Asks for a signature.
    pub const fn sign(service: &'static str, method: &'static str, what: &'static str) -> Self {
        Self::new((service, method), Permission::Sign, Class::Change, what)
    }

    /// Changes what is not one user's own.
    pub const fn admin(service: &'static str, method: &'static str, what: &'static str) -> Self {
        Self::new((service, method), Permission::Admin, Class::Change, what)
    }

    /// Looks at what is not one user's own.
    pub const fn admin_read(
        service: &'static str,
        method: &'static str,
        what: &'static str,
    ) -> Self {
        Self::new((service, method), Permission::Admin, Class::Read, what)
    }
}

impl Node {
    /// Who calls, if it may do this, now.
    ///
    /// # Errors
    /// `Unauthenticated`, `PermissionDenied` with what is missing, `ResourceExhausted` with when to
    /// retry, or `Unavailable` for a change on a node that is cut off.
    pub(super) async fn admit<T: Sync>(
        &self,
        request: &Request<T>,
        access: &Access,
    ) -> Result<Caller, Status> {
        let caller = self.authenticate(request)?;
        self.allow(&caller, access, is_forwarded(request)).await?;
        Ok(caller)
    }

    /// As [`Node::admit`], for a caller that is known.
    pub(super) async fn allow(
        &self,
        caller: &Caller,
        access: &Access,
        is_charged: bool,
    ) -> Result<(), Status> {
        caller.require_role(USERS, access.what)?;
        caller.require(access.permission, access.what)?;
        match access.class {
            Class::Read => return Ok(()),
            Class::Change | Class::ProofCritical => self.require_fresh()?,
        }
        if is_charged {
            return Ok(());
        }
        self.charge(caller, access.service, access.method, access.class).await
    }

    /// Who calls, whether or not it may do anything.
    ///
    /// # Errors
    /// No credential, a wrong one, or one of a user that is disabled or deleted.
    pub(super) fn authenticate<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let shown = match request.extensions().get::<UdsConnectInfo>() {
            Some(socket) => Some(local_caller(socket)?),
            None => peer_if_any(request)?.map(Caller::of_certificate),
        };
        if shown.as_ref().is_some_and(|caller| caller.role == Role::Node)
            && let Some(caller) = forwarded(request.metadata())?
        {
            self.require_standing(&caller)?;
            return Ok(caller);
        }
        let caller = match (shown, bearer(request)?) {
            (Some(caller), None) => caller,
            (shown, Some(token)) => self.holder(shown, token)?,
            (None, None) => {
                return Err(Status::unauthenticated(
                    "this call needs a client certificate or a token, and neither was shown; name an \
                     identity with --identity or a token with --token-file",
                ));
            }
        };
        self.require_standing(&caller)?;
        Ok(caller)
    }

    /// Whoever shows a token, perhaps with a certificate.
    fn holder(&self, shown: Option<Caller>, token: &str) -> Result<Caller, Status> {
        let caller = self.verify(token)?;
        let Some(shown) = shown else { return Ok(caller) };
        let is_administrator = matches!(shown.role, Role::Admin | Role::Node);
        if !is_administrator && shown.user != caller.user {
            return Err(Status::permission_denied(format!(
                "the token is one of the user `{}`, the certificate one of `{}`; show a token of the \
                 same user",
                caller.user, shown.user
            )));
        }
        let role = if is_administrator { Role::Client } else { shown.role };
        Ok(Caller { role, ..caller })
    }

    /// Whom a token belongs to.
    ///
    /// # Errors
    /// Everything that can be wrong with a token, by name.
    pub(super) fn verify(&self, token: &str) -> Result<Caller, Status> {
        let (verified, now_ms, label) = self.read(|machine| {
            let now_ms = self.auth.clock.now_ms(machine.scheduler.now().0);
            let verified = self.auth.verifier.read().verify(&machine.auth, token, now_ms);
            let label = verified
                .as_ref()
                .ok()
                .and_then(|caller| machine.auth.token(caller.token?))
                .map(|row| row.name.clone());
            (verified, now_ms, label)
        });
        let verified = verified.map_err(|denied| denied_status(&denied))?;
        if let Some(token) = verified.token {
            self.auth.limits.used(token, now_ms);
        }
        let name = match label.filter(|label| !label.is_empty()) {
            // A label is free text; what goes into logs and metadata is not.
            Some(label) if label.chars().all(|c| c.is_ascii_graphic()) => {
                format!("{}/{label}", verified.user)
            }
            Some(_) | None => match verified.token {
                Some(token) => format!("{}/{token}", verified.user),
                None => verified.user.clone(),
            },
        };
        Ok(Caller {
            name,
            user: verified.user,
            role: Role::Client,
            permission: verified.permission,
            token: verified.token,
        })
    }

    /// Refuses callers whose user is disabled or deleted, and whose token is no longer good.
    pub(super) fn require_standing(&self, caller: &Caller) -> Result<(), Status> {
        // Nodes belong to the cluster, whoever set them up.
        if caller.user.is_empty() || caller.role == Role::Node && caller.token.is_none() {
            return Ok(());
        }
        let user = &caller.user;
        self.read(|machine| {
            match machine.auth.standing(user) {
                // An owner of certificates from before there were users is one without limits.
                Standing::Enabled | Standing::Unknown => {}
                Standing::Disabled => {
                    return Err(Status::permission_denied(format!(
                        "user `{user}` is disabled; an administrator enables it with `hesper auth user \
                         enable {user}`"
                    )));
                }
                Standing::Deleted => {
                    return Err(Status::permission_denied(format!(
                        "user `{user}` is deleted; an administrator brings it back with `hesper auth \
                         user recover {user}`"
                    )));
                }
            }
            let Some(token) = caller.token else { return Ok(()) };
            let now_ms = self.auth.clock.now_ms(machine.scheduler.now().0);
            let is_good = machine.auth.token(token).is_some_and(|row| {
                let secret = machine.auth.secrets().find(|(kid, _)| *kid == row.kid);
                row.revoked.is_none()
                    && !row.is_expired(now_ms)
                    && secret.is_some_and(|(_, secret)| {
                        secret.valid_until_ms.is_none_or(|until| now_ms < until)
                    })
            });
            if is_good {
                return Ok(());
            }
            Err(Status::unauthenticated(format!(
                "token {token} is expired or revoked; ask for another one"
            )))
        })
    }

    /// Resolves when the caller is no longer to be served: every long stream waits for it.
    pub(super) async fn until_refused(&self, caller: &Caller) -> Status {
        let mut changes = self.auth.changes.subscribe();
        loop {
            if let Err(status) = self.require_standing(caller) {
                return status;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = tokio::time::sleep(self.token_life(caller)) => {}
            }
        }
    }

    /// How long the caller's token is good at least.
    fn token_life(&self, caller: &Caller) -> Duration {
        const LONGEST: Duration = Duration::from_secs(3_600);
        let Some(token) = caller.token else { return LONGEST };
        let expires = self.read(|machine| {
            let row = machine.auth.token(token)?;
            let secret = machine.auth.secrets().find(|(kid, _)| *kid == row.kid)?.1;
            [row.expires_ms, secret.valid_until_ms].into_iter().flatten().min()
        });
        let left = expires.map(|expires| expires.saturating_sub(self.state_time_ms()));
        left.map_or(LONGEST, |left| Duration::from_millis(left.max(10)).min(LONGEST))
    }

    /// Refuses changes while this node is cut off.
    ///
    /// # Errors
    /// `Unavailable`: another node may do it.
    pub(super) fn require_fresh(&self) -> Result<(), Status> {
        let confirmed = *self.auth.confirmed.lock();
        if confirmed.is_some_and(|at| at.elapsed() <= FRESH_MAX) {
            return Ok(());
        }
        Err(Status::unavailable(format!(
            "this node has not heard of a leader for {} s, so it answers reads only; try another node",
            FRESH_MAX.as_secs()
        )))
    }

    /// This node's estimate of state time.
    pub(super) fn state_time_ms(&self) -> u64 {
        self.auth.clock.now_ms(self.read(|machine| machine.scheduler.now().0))
    }

    /// Has a command of auth applied on behalf of the caller.
    ///
    /// # Errors
    /// What the machine rejects, with its words.
    pub(super) async fn propose_auth(
        &self,
        caller: &Caller,
        id: Option<RequestId>,
        command: hesper_auth::Command,
    ) -> Result<hesper_auth::Reply, Status> {
        let command = machine::Command::Auth(command);
        match self.propose_any(&caller.proposer(), id, &command).await?.1 {
            machine::Reply::Auth(hesper_auth::Reply::Rejected(rejected)) => {
                Err(rejected_status(&rejected))
            }
            machine::Reply::Auth(reply) => Ok(reply),
            other => Err(unexpected(&other)),
        }
    }

    /// Records a privileged act that happened outside the machine of auth.
    pub(super) async fn audit(&self, caller: &Caller, action: &str, subject: &str, outcome: &str) {
        let command = machine::Command::Auth(hesper_auth::Command::Audit {
            who: caller.name.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
        });
        let proposer = Proposer::node(&self.settings.name);
        if let Err(status) = self.propose_any(&proposer, None, &command).await {
            tracing::warn!(
                who = caller.name,
                action,
                subject,
                error = status.message(),
                "a privileged act could not be audited"
            );
        }
    }

    /// Brings the verifier's keys in line with the applied state.
    fn refresh_keys(&self) {
        let refreshed = self.read(|machine| {
            self.auth.sealer.refresh(&mut self.auth.verifier.write(), &machine.auth)
        });
        if let Err(error) = refreshed {
            tracing::error!(%error, "tokens that were signed with this secret are refused here");
        }
    }
}

fn local_caller(socket: &UdsConnectInfo) -> Result<Caller, Status> {
    let uid = socket.peer_cred.map(|peer| peer.uid()).ok_or_else(|| {
        Status::unauthenticated("the system does not say who is at the other end of the socket")
    })?;
    if uid == 0 || uid == super::local::own_uid() {
        return Ok(Caller::local(uid));
    }
    Err(Status::permission_denied(format!(
        "the local socket serves root and the user that runs the node, not uid {uid}"
    )))
}

/// The token of `authorization: Bearer <token>`.
fn bearer<T>(request: &Request<T>) -> Result<Option<&str>, Status> {
    let Some(value) = request.metadata().get("authorization") else { return Ok(None) };
    let malformed =
        || Status::unauthenticated("`authorization` is not of the form `Bearer <token>`");
    let text = value.to_str().map_err(|_| malformed())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(malformed());
    }
    Ok(Some(token.trim()))
}

fn denied_status(denied: &Denied) -> Status {
    if denied.is_forbidden() {
        Status::permission_denied(denied.to_string())
    } else {
        Status::unauthenticated(denied.to_string())
    }
}

fn rejected_status(rejected: &hesper_auth::Rejected) -> Status {
    let message = rejected.to_string();
    match rejected.kind() {
        Kind::Denied => Status::permission_denied(message),
        Kind::NotFound => Status::not_found(message),
        Kind::Exists => Status::already_exists(message),
        Kind::Invalid => Status::invalid_argument(message),
        Kind::Full => Status::resource_exhausted(message),
        Kind::NotNow => Status::failed_precondition(message),
    }
}

/// Follows the applied changes: keys, open streams, and the first secret, until shutdown.
pub async fn watch(node: Shared, mut stop: Shutdown) {
    let mut published = node.consensus.subscribe();
    let mut leadership = node.consensus.leadership();
    // Nothing is announced when the cluster is founded, and a proposal may fail.
    let mut again = tokio::time::interval(SECRET_RETRY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    node.refresh_keys();
    loop {
        if leadership.borrow_and_update().established.is_some() {
            ensure_secret(&node).await;
        }
        tokio::select! {
            biased;
            () = shutdown::requested(&mut stop) => return,
            changed = leadership.changed() => if changed.is_err() { return },
            _ = again.tick() => {}
            event = published.recv() => {
                let concerns = match event {
                    Ok(published) => {
                        published.reloaded
                            || published
                                .events
                                .iter()
                                .any(|event| event.downcast_ref::<AuthChanged>().is_some())
                    }
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => true,
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                };
                if concerns {
                    node.refresh_keys();
                    node.auth.changes.send_modify(|count| *count = count.wrapping_add(1));
                }
            }
        }
    }
}

/// The leader makes the first secret of a cluster, and of one from before there were tokens.
async fn ensure_secret(node: &Node) {
    let is_missing = node.read(|machine| {
        machine.auth.current_kid().is_none() && !machine.enrolment.constants().cluster_id.is_empty()
    });
    if !is_missing {
        return;
    }
    let sealed = match node.auth.sealer.make() {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::error!(%error, "no secret for tokens can be made");
            return;
        }
    };
    let command = machine::Command::Auth(hesper_auth::Command::AddSecret { sealed, overlap_ms: 0 });
    let proposer = Proposer::node(&node.settings.name);
    if let Err(status) = node.propose_any(&proposer, None, &command).await {
        tracing::warn!(error = status.message(), "the first secret for tokens was not recorded");
    }
}

/// Asks the leader each second to confirm itself, until shutdown.
pub async fn confirm(node: Shared, mut stop: Shutdown) {
    let mut every = tokio::time::interval(CONFIRM_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown::requested(&mut stop) => return,
            _ = every.tick() => {}
        }
        let began = Instant::now();
        let barrier = tokio::time::timeout(CONFIRM_TIMEOUT, node.consensus.read_barrier());
        if let Ok(Ok(_)) = barrier.await {
            *node.auth.confirmed.lock() = Some(began);
        }
    }
}
