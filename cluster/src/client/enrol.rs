//! **Purpose**: joins a cluster with a one-time token.
//!
//! **Invariants**
//! - The secret is sent only to a server that the token's pinned authority vouches for.
//! - The token is used at most once from here: a request whose answer was lost is not repeated on
//!   another node.

use hesper_protos::cluster::EnrolRequest;
use hesper_protos::cluster::enrolment_client::EnrolmentClient;

use crate::identity::{
    Authority, Expect, Identity, IdentityError, JoinToken, KeyRequest, Role, endpoint,
};
use crate::output::causes;

/// Why joining did not work.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// For something else.
    #[error(
        "this token is for the role {found}, not {wanted}; make another with `hesper node token --role {wanted}`"
    )]
    OtherRole {
        /// The token's.
        found: Role,
        /// The command's.
        wanted: Role,
    },
    /// Keys or certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Nobody answered.
    #[error("cannot reach any node that the token names; tried {}; check the network, or make a token with other addresses", tried.join("; "))]
    Unreachable {
        /// Address and cause of each.
        tried: Vec<String>,
    },
    /// The cluster said no.
    #[error("node {node} refused to enrol `{name}`: {message}{hint}")]
    Refused {
        /// Which node.
        node: String,
        /// Who wanted to join.
        name: String,
        /// The node's words.
        message: String,
        /// What the local clock says about the token.
        hint: &'static str,
    },
    /// The answer is not what was agreed.
    #[error("node {node} answered with {what}; nothing was written, do not trust it")]
    WrongAnswer {
        /// Which node.
        node: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// What a cluster gives to a new member.
#[derive(Debug)]
pub struct Enrolled {
    /// Certificate and key.
    pub identity: Identity,
    /// The cluster's replicated identity.
    pub cluster_id: String,
    /// Nodes: the own number.
    pub node_id: u64,
    /// Nodes: the cluster's authority, so that they can enrol others.
    pub authority: Option<Authority>,
    /// Addresses of all nodes.
    pub nodes: Vec<String>,
}

/// Joins as `name`; nodes also say at which `address` others reach them.
///
/// # Errors
/// When no node of the token answers, or the cluster refuses.
pub async fn enrol(
    token: &JoinToken,
    role: Role,
    name: &str,
    address: &str,
) -> Result<Enrolled, EnrolError> {
    // An operator may hand out an admin token for the place where a client is expected.
    if token.role != role && !(role == Role::Client && token.role == Role::Admin) {
        return Err(EnrolError::OtherRole { found: token.role, wanted: role });
    }
    let key = KeyRequest::create()?;
    let request = EnrolRequest {
        token: token.secret_hex(),
        csr_pem: key.csr_pem.clone(),
        role: token.role.to_string(),
        name: name.to_owned(),
        address: address.to_owned(),
    };
    let tls = crate::identity::anonymous_tls(&token.ca_pem(), Expect::Node);
    let mut tried = Vec::new();
    for node in &token.nodes {
        let channel = match endpoint(node, &tls)?.connect().await {
            Ok(channel) => channel,
            Err(error) => {
                tried.push(format!("{node}: {}", causes(&error)));
                continue;
            }
        };
        let reply = match EnrolmentClient::new(channel).enrol(request.clone()).await {
            Ok(reply) => reply.into_inner(),
            // It has no leader to ask: nothing was used up.
            Err(status) if status.code() == tonic::Code::Unavailable => {
                tried.push(format!("{node}: {}", status.message()));
                continue;
            }
            Err(status) => {
                return Err(EnrolError::Refused {
                    node: node.clone(),
                    name: name.to_owned(),
                    message: status.message().to_owned(),
                    hint: expiry_hint(token),
                });
            }
        };
        let wrong = |what| EnrolError::WrongAnswer { node: node.clone(), what };
        let identity = Identity {
            ca_pem: reply.ca_pem,
            cert_pem: reply.certificate_pem,
            key_pem: key.key_pem,
        };
        if crate::identity::certificate_der(&identity.ca_pem)? != token.ca_der {
            return Err(wrong("another authority than the token's"));
        }
        let subject = identity.subject()?;
        if subject.name != name || subject.role != token.role {
            return Err(wrong("a certificate for another name or role"));
        }
        let authority = match reply.ca_key_pem.as_str() {
            "" => None,
            key_pem => Some(Authority::from_pem(&identity.ca_pem, key_pem)?),
        };
        return Ok(Enrolled {
            identity,
            cluster_id: reply.cluster_id,
            node_id: reply.node_id,
            authority,
            nodes: reply.node_addresses,
        });
    }
    Err(EnrolError::Unreachable { tried })
}

fn expiry_hint(token: &JoinToken) -> &'static str {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    if now > u128::from(token.expires_at_ms) {
        " (by the clock of this machine the token has expired)"
    } else {
        ""
    }
}
