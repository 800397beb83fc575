//! **Purpose**: who is asking: the certificate's subject, or the one that another node names.
//!
//! **Invariants**
//! - Only a peer whose certificate says `node` may speak for somebody else.

use hesper_scheduler::{Principal, Role as MachineRole};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

use crate::identity::{Peer, Role, peer};

const NAME: &str = "hesper-for-name";
const OWNER: &str = "hesper-for-owner";
const ROLE: &str = "hesper-for-role";

/// The peer, or the caller that a node forwards for.
pub fn caller<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = peer(request)?;
    if peer.role != Role::Node {
        return Ok(peer);
    }
    Ok(forwarded(request.metadata())?.unwrap_or(peer))
}

/// Whether a node forwarded this request, so that it is not forwarded again.
pub fn is_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(NAME)
}

fn forwarded(metadata: &MetadataMap) -> Result<Option<Peer>, Status> {
    let Some(name) = metadata.get(NAME) else { return Ok(None) };
    let unreadable = || Status::invalid_argument("unreadable name of the caller that is forwarded");
    let text = |value: Option<&MetadataValue<Ascii>>| {
        value.and_then(|value| value.to_str().ok()).map(str::to_owned).ok_or_else(unreadable)
    };
    let role = text(metadata.get(ROLE))?.parse().map_err(|_| unreadable())?;
    Ok(Some(Peer { name: text(Some(name))?, owner: text(metadata.get(OWNER))?, role }))
}

/// Names the caller on a request that goes on to another node.
pub fn forward<T>(caller: &Peer, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let value = |text: &str| {
        text.parse::<MetadataValue<Ascii>>()
            .map_err(|_| Status::invalid_argument("a caller's name must be printable ASCII"))
    };
    let role = caller.role.to_string();
    let metadata = request.metadata_mut();
    metadata.insert(NAME, value(&caller.name)?);
    metadata.insert(OWNER, value(&caller.owner)?);
    metadata.insert(ROLE, value(&role)?);
    Ok(request)
}

/// The caller as the replicated machines know it.
pub fn principal(peer: &Peer) -> Principal {
    let role = match peer.role {
        Role::Node => MachineRole::Node,
        Role::Executor => MachineRole::Executor,
        Role::Client => MachineRole::Client,
        Role::Admin => MachineRole::Admin,
    };
    Principal { name: peer.name.clone(), owner: peer.owner.clone(), role }
}
