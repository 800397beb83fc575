//! **Purpose**: identities on disc, and the directory layout that a new cluster begins with.

use camino::{Utf8Path, Utf8PathBuf};

use super::peer::subject_of;
use super::{Authority, CARD_FORMAT, CardError, IdentityError, NodeCard, Role, Subject};
use crate::files::{self, FileError};

const CA_FILE: &str = "ca.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// Where things lie below a data directory.
pub mod dirs {
    use camino::{Utf8Path, Utf8PathBuf};

    /// The process's own certificate and key.
    pub fn identity(data_dir: &Utf8Path) -> Utf8PathBuf {
        data_dir.join("identity")
    }
    /// The cluster's certificate authority (nodes only).
    pub fn authority(data_dir: &Utf8Path) -> Utf8PathBuf {
        data_dir.join("authority")
    }
    /// The first operator's identity and `client.toml`.
    pub fn client(data_dir: &Utf8Path) -> Utf8PathBuf {
        data_dir.join("client")
    }
}

/// A certificate, its key, and the authority that signed it, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The authority's certificate.
    pub ca_pem: String,
    /// The own certificate.
    pub cert_pem: String,
    /// The own private key.
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Identity").field("subject", &self.subject().ok()).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the three files from `directory`.
    ///
    /// # Errors
    /// When one is missing, or the certificate is no certificate of a cluster.
    pub fn load(directory: &Utf8Path) -> Result<Self, IdentityError> {
        let read = |name: &str| {
            files::read_text(&directory.join(name))
                .map_err(|source| IdentityError::Load { directory: directory.to_owned(), source })
        };
        let identity = Identity {
            ca_pem: read(CA_FILE)?,
            cert_pem: read(CERTIFICATE_FILE)?,
            key_pem: read(KEY_FILE)?,
        };
        identity.subject()?;
        Ok(identity)
    }

    /// Writes the three files into `directory`, which only its owner can read.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn store(&self, directory: &Utf8Path) -> Result<(), IdentityError> {
        files::make_private_dir(directory)?;
        files::write_private(&directory.join(CA_FILE), self.ca_pem.as_bytes())?;
        files::write_private(&directory.join(KEY_FILE), self.key_pem.as_bytes())?;
        files::write_private(&directory.join(CERTIFICATE_FILE), self.cert_pem.as_bytes())?;
        Ok(())
    }

    /// Whether `directory` holds an identity already.
    pub fn exists(directory: &Utf8Path) -> bool {
        directory.join(CERTIFICATE_FILE).exists()
    }

    /// Name, owner and role in the certificate.
    ///
    /// # Errors
    /// When the certificate is damaged or names no role.
    pub fn subject(&self) -> Result<Subject, IdentityError> {
        subject_of(&self.cert_pem)
    }
}

/// Why a cluster could not be founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// There is a node already.
    #[error(
        "`{data_dir}` already is the data directory of a node; start it with `hesper node run`, or choose another directory"
    )]
    Exists {
        /// The directory.
        data_dir: Utf8PathBuf,
    },
    /// A certificate or key could not be made or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The card could not be written.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Another file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What a new cluster begins with.
pub struct Founding<'a> {
    /// The first node's data directory.
    pub data_dir: &'a Utf8Path,
    /// Its name.
    pub name: &'a str,
    /// Who owns what the first operator submits.
    pub owner: &'a str,
    /// Where others reach the node (`host:port`).
    pub address: &'a str,
}

/// A founded cluster.
pub struct Founded {
    /// The first node's card.
    pub card: NodeCard,
    /// The operator's client configuration.
    pub client_config: Utf8PathBuf,
    /// The cluster's authority.
    pub authority: Authority,
}

/// Makes a certificate authority, the first node's identity, and an operator's identity with a
/// client configuration, all below the data directory. The card comes last: without it the
/// directory is not a node's, so that an interrupted founding can simply be repeated.
///
/// # Errors
/// When the directory is a node's already, or cannot be written to.
pub fn found_cluster(founding: &Founding<'_>) -> Result<Founded, FoundError> {
    let Founding { data_dir, name, owner, address } = *founding;
    if NodeCard::exists(data_dir) {
        return Err(FoundError::Exists { data_dir: data_dir.to_owned() });
    }
    let node = Subject::new(name, owner, Role::Node)?;
    let admin = Subject::new("admin", owner, Role::Admin)?;
    files::make_private_dir(data_dir)?;
    let authority = Authority::create(name)?;
    // The digest of the authority's certificate is unique to the cluster and known to every member.
    let digest = blake3::hash(&super::peer::der_of(authority.ca_pem())?);
    let cluster_id = digest.to_hex()[..16].to_owned();
    authority.store(&dirs::authority(data_dir))?;
    authority.issue(&node)?.store(&dirs::identity(data_dir))?;
    let client = dirs::client(data_dir);
    authority.issue(&admin)?.store(&client)?;
    let client_config = crate::config::write_client_file(&client, &[address.to_owned()])?;
    let card = NodeCard {
        format: CARD_FORMAT,
        cluster_id,
        node_id: 1,
        name: name.to_owned(),
        address: address.to_owned(),
        founder: true,
        nodes: Vec::new(),
    };
    card.store(data_dir)?;
    Ok(Founded { card, client_config, authority })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_founded_cluster_can_be_loaded_and_is_not_founded_twice() {
        let home = tempfile::tempdir().unwrap();
        let data_dir = Utf8Path::from_path(home.path()).unwrap().join("n1");
        let founding =
            Founding { data_dir: &data_dir, name: "n1", owner: "acme", address: "127.0.0.1:7100" };
        let founded = found_cluster(&founding).unwrap();
        assert_eq!(NodeCard::load(&data_dir).unwrap(), founded.card);
        let node = Identity::load(&dirs::identity(&data_dir)).unwrap();
        assert_eq!(node.subject().unwrap().role, Role::Node);
        let admin = Identity::load(&dirs::client(&data_dir)).unwrap();
        assert_eq!(admin.subject().unwrap(), Subject::new("admin", "acme", Role::Admin).unwrap());
        Authority::load(&dirs::authority(&data_dir)).unwrap();
        let config = crate::config::Client::load(Some(&founded.client_config), &[]).unwrap();
        assert_eq!(config.nodes, ["127.0.0.1:7100"]);
        assert!(matches!(found_cluster(&founding), Err(FoundError::Exists { .. })));
    }

    #[test]
    fn a_missing_identity_says_how_to_make_one() {
        let error = Identity::load(Utf8Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("hesper node init"), "{error}");
    }
}
