//! **Purpose**: the TLS settings that every server and client of a cluster uses.
//!
//! **Invariants**
//! - Servers are verified against the cluster's own authority and a fixed name, never against the
//!   address that was dialled: addresses change, certificates need not.

use std::time::Duration;

use tonic::transport::{
    Certificate, ClientTlsConfig, Endpoint, Identity as TlsIdentity, ServerTlsConfig,
};

use super::{Identity, IdentityError};

/// Whom a client wants to find at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A pool node.
    Node,
    /// An executor.
    Executor,
    /// Either.
    Any,
}

impl Expect {
    /// The name that the server's certificate must carry.
    pub fn server_name(self) -> &'static str {
        match self {
            Expect::Node => "node.hesper",
            Expect::Executor => "executor.hesper",
            Expect::Any => "hesper",
        }
    }
}

/// A connection that has not finished its handshake by then is dropped.
const HANDSHAKE_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Settings of a server. A caller without a certificate gets through to the service, because
/// enrolment is reached that way; every other service asks [`super::peer()`] first.
pub fn server_tls(identity: &Identity) -> ServerTlsConfig {
    ServerTlsConfig::new()
        .identity(TlsIdentity::from_pem(&identity.cert_pem, &identity.key_pem))
        .client_ca_root(Certificate::from_pem(&identity.ca_pem))
        .client_auth_optional(true)
        .timeout(HANDSHAKE_MAX)
}

/// Settings of a client that shows its own certificate.
pub fn client_tls(identity: &Identity, expect: Expect) -> ClientTlsConfig {
    anonymous_tls(&identity.ca_pem, expect)
        .identity(TlsIdentity::from_pem(&identity.cert_pem, &identity.key_pem))
}

/// Settings of a client that has no certificate yet and trusts one authority.
pub(crate) fn anonymous_tls(ca_pem: &str, expect: Expect) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca_pem))
        .domain_name(expect.server_name())
}

/// A way to dial `address` (`host:port`): no delay for small messages, dead connections noticed
/// within seconds.
///
/// # Errors
/// When the address is malformed.
pub fn endpoint(address: &str, tls: &ClientTlsConfig) -> Result<Endpoint, IdentityError> {
    let bad = || IdentityError::BadAddress { address: address.to_owned() };
    if address.contains("://") || address.contains('/') {
        return Err(bad());
    }
    Endpoint::from_shared(format!("https://{address}"))
        .map_err(|_| bad())?
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(20)))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_timeout(Duration::from_secs(3))
        .tls_config(tls.clone())
        .map_err(|error| IdentityError::Unreadable {
            what: "the certificates of this identity",
            reason: crate::output::causes(&error),
        })
}
