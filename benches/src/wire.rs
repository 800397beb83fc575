//! **Purpose**: channels to our nodes and to peers, all with the same gRPC stack and settings.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// Every node's certificate names this domain beside its own.
const DOMAIN: &str = "hesper";

/// The client side of mutual TLS from the three files of an identity directory.
pub fn client_tls(identity: &Path) -> Result<ClientTlsConfig> {
    let read = |name: &str| {
        let path = identity.join(name);
        fs::read_to_string(&path)
            .with_context(|| format!("could not read the identity file `{}`", path.display()))
    };
    Ok(ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("ca.pem")?))
        .identity(Identity::from_pem(read("cert.pem")?, read("key.pem")?))
        .domain_name(DOMAIN))
}

/// A connection of its own to `address` (host:port), opened when it is first used.
pub fn channel(address: &str, tls: Option<&ClientTlsConfig>) -> Result<Channel> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .with_context(|| format!("`{address}` is not an address"))?
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30));
    let endpoint = match tls {
        Some(tls) => {
            endpoint.tls_config(tls.clone()).context("could not use the identity for TLS")?
        }
        None => endpoint,
    };
    Ok(endpoint.connect_lazy())
}

/// One connection for each client, up to the number that a run may have; clients share them in turn.
pub fn channels(
    address: &str,
    tls: Option<&ClientTlsConfig>,
    clients: usize,
) -> Result<Vec<Channel>> {
    let shared: Vec<Channel> = (0..clients.min(crate::load::CONNECTIONS_MAX))
        .map(|_| channel(address, tls))
        .collect::<Result<_>>()?;
    Ok(shared.iter().cycle().take(clients).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_share_at_most_four_connections() {
        assert_eq!(channels("127.0.0.1:1", None, 1).expect("one").len(), 1);
        assert_eq!(channels("127.0.0.1:1", None, 64).expect("many").len(), 64);
        assert!(channels("127.0.0.1:1", None, 0).expect("none").is_empty());
    }

    #[test]
    fn a_missing_identity_is_named() {
        let dir = tempfile::tempdir().expect("dir");
        let error = client_tls(dir.path()).expect_err("empty").to_string();
        assert!(error.contains("ca.pem"));
    }
}
