//! **Purpose**: who is asking: the holder of a certificate, of a bearer token, of the local socket, or
//! the one that another node names.
//!
//! **Invariants**
//! - A caller comes from credentials, never from the fields of a request.
//! - Only a peer whose certificate says `node` may speak for somebody else.
//! - A token never widens what its holder's certificate says about whose things these are.

use hesper_auth::Permission;
use hesper_scheduler::{Principal, Role as MachineRole};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

use super::machine::Proposer;
use crate::identity::{Peer, Role, peer_if_any};

const NAME: &str = "hesper-for-name";
const OWNER: &str = "hesper-for-owner";
const ROLE: &str = "hesper-for-role";
const PERMISSION: &str = "hesper-for-permission";
const TOKEN: &str = "hesper-for-token";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the certificate, `user/label` of a token, or `local:<uid>`: for logs and audit.
    pub name: String,
    /// Whose things these are; empty for local administration.
    pub user: String,
    /// Of the certificate; `Client` for whoever shows only a token, `Admin` on the local socket.
    pub role: Role,
    pub permission: Permission,
    /// Number of the bearer token.
    pub token: Option<u64>,
}

impl Caller {
    /// The holder of a certificate who shows no token.
    pub fn of_certificate(peer: Peer) -> Self {
        let permission = match peer.role {
            Role::Node | Role::Admin => Permission::Admin,
            // Its session is its only service.
            Role::Executor => Permission::Read,
            Role::Client | Role::Wallet => Permission::Write,
        };
        Caller { name: peer.name, user: peer.owner, role: peer.role, permission, token: None }
    }

    /// Whoever reaches the local socket.
    pub fn local(uid: u32) -> Self {
        Caller {
            name: format!("local:{uid}"),
            user: String::new(),
            role: Role::Admin,
            permission: Permission::Admin,
            token: None,
        }
    }

    pub fn is_admin(&self) -> bool {
        self.permission == Permission::Admin
    }

    /// Whether this caller may see what `owner` owns.
    pub fn may_touch(&self, owner: &str) -> bool {
        self.is_admin() || self.user == owner
    }

    /// Lets only callers with `needed` do `what` (an infinitive, shown to the caller).
    ///
    /// # Errors
    /// `PermissionDenied` that names the missing permission.
    pub fn require(&self, needed: Permission, what: &str) -> Result<(), Status> {
        if self.permission.allows(needed) {
            return Ok(());
        }
        Err(Status::permission_denied(format!(
            "to {what} the permission `{needed}` is missing: `{}` has `{}`; ask an administrator for \
             a token with it (`hesper auth token create`)",
            self.name, self.permission
        )))
    }

    /// Lets only the `allowed` roles do `what`.
    ///
    /// # Errors
    /// `PermissionDenied` that names the roles which may.
    pub fn require_role(&self, allowed: &[Role], what: &str) -> Result<(), Status> {
        let peer = Peer { name: self.name.clone(), owner: self.user.clone(), role: self.role };
        peer.require(allowed, what)
    }

    /// Lets only callers that can own something make something.
    ///
    /// # Errors
    /// Local administration is nobody's: what it made would belong to nobody.
    pub fn require_user(&self, what: &str) -> Result<(), Status> {
        if self.user.is_empty() {
            return Err(Status::failed_precondition(format!(
                "to {what} a user is needed whom it belongs to, and the local socket has none; use an \
                 identity or a token"
            )));
        }
        Ok(())
    }

    /// The caller as the scheduler knows it.
    pub fn principal(&self) -> Principal {
        let role = match (self.role, self.token) {
            (Role::Node, None) => MachineRole::Node,
            (Role::Executor, None) => MachineRole::Executor,
            (Role::Node | Role::Executor | Role::Client | Role::Admin | Role::Wallet, _) => {
                if self.is_admin() { MachineRole::Admin } else { MachineRole::Client }
            }
        };
        Principal { name: self.name.clone(), owner: self.user.clone(), role }
    }

    /// The caller as the log carries it.
    pub fn proposer(&self) -> Proposer {
        Proposer { principal: self.principal(), permission: self.permission }
    }
}

/// Whether a node forwarded this request, so that it is neither forwarded nor charged again.
pub fn is_forwarded<T>(request: &Request<T>) -> bool {
    // Anybody can write the header; it means something on a node's connection alone.
    request.metadata().contains_key(NAME)
        && matches!(peer_if_any(request), Ok(Some(Peer { role: Role::Node, .. })))
}

/// The caller that a node names. Only for requests of nodes.
pub(super) fn forwarded(metadata: &MetadataMap) -> Result<Option<Caller>, Status> {
    let Some(name) = metadata.get(NAME) else { return Ok(None) };
    let unreadable = || Status::invalid_argument("unreadable name of the caller that is forwarded");
    let text = |value: Option<&MetadataValue<Ascii>>| {
        value.and_then(|value| value.to_str().ok()).map(str::to_owned).ok_or_else(unreadable)
    };
    let role = text(metadata.get(ROLE))?.parse().map_err(|_| unreadable())?;
    let permission = Permission::parse(&text(metadata.get(PERMISSION))?).ok_or_else(unreadable)?;
    let token = match metadata.get(TOKEN) {
        Some(token) => Some(text(Some(token))?.parse().map_err(|_| unreadable())?),
        None => None,
    };
    let user = text(metadata.get(OWNER))?;
    Ok(Some(Caller { name: text(Some(name))?, user, role, permission, token }))
}

/// Names the caller on a request that goes on to another node.
pub fn forward<T>(caller: &Caller, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let value = |text: &str| {
        text.parse::<MetadataValue<Ascii>>()
            .map_err(|_| Status::invalid_argument("a caller's name must be printable ASCII"))
    };
    let role = caller.role.to_string();
    let metadata = request.metadata_mut();
    metadata.insert(NAME, value(&caller.name)?);
    metadata.insert(OWNER, value(&caller.user)?);
    metadata.insert(ROLE, value(&role)?);
    metadata.insert(PERMISSION, value(caller.permission.word())?);
    if let Some(token) = caller.token {
        metadata.insert(TOKEN, value(&token.to_string())?);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(role: Role) -> Caller {
        Caller::of_certificate(Peer { name: "x".into(), owner: "acme".into(), role })
    }

    #[test]
    fn certificates_have_the_permission_of_their_role() {
        assert!(peer(Role::Admin).is_admin());
        assert!(peer(Role::Node).is_admin());
        assert_eq!(peer(Role::Client).permission, Permission::Write);
        assert_eq!(peer(Role::Wallet).permission, Permission::Write);
        assert_eq!(peer(Role::Executor).permission, Permission::Read);
        assert!(!peer(Role::Client).may_touch("bob"));
        assert!(peer(Role::Client).may_touch("acme"));
    }

    #[test]
    fn a_denial_names_the_missing_permission() {
        let status = peer(Role::Client).require(Permission::Sign, "sign a message").unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert!(status.message().contains("permission `sign` is missing"), "{}", status.message());
        let status = peer(Role::Executor).require_role(&[Role::Client], "submit jobs").unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
    }

    #[test]
    fn a_token_of_an_administrators_certificate_does_not_make_an_administrator() {
        let token = Caller { permission: Permission::Read, token: Some(7), ..peer(Role::Admin) };
        assert_eq!(token.principal().role, MachineRole::Client);
        assert!(!token.principal().may_touch("bob"));
        let node = Caller { permission: Permission::Write, token: Some(7), ..peer(Role::Node) };
        assert_eq!(node.principal().role, MachineRole::Client);
    }

    #[test]
    fn a_forwarded_caller_is_read_back() {
        for caller in [peer(Role::Client), Caller { token: Some(9), ..peer(Role::Admin) }] {
            let request = forward(&caller, ()).unwrap();
            assert!(!is_forwarded(&request), "without a node's certificate the header is nothing");
            assert_eq!(forwarded(request.metadata()).unwrap(), Some(caller));
        }
        assert_eq!(forwarded(Request::new(()).metadata()).unwrap(), None);
        let mut request = forward(&peer(Role::Client), ()).unwrap();
        request.metadata_mut().insert(PERMISSION, "root".parse().unwrap());
        assert!(forwarded(request.metadata()).is_err());
    }

    #[test]
    fn local_administration_owns_nothing() {
        let local = Caller::local(0);
        assert!(local.is_admin());
        let status = local.require_user("submit a job").unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert_eq!(local.principal().role, MachineRole::Admin);
    }
}
