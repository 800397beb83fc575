//! **Purpose**: the cluster's certificate authority, and the keys that it certifies.
//!
//! **Invariants**
//! - Of a certificate request only the public key is used: names, alternative names and key usages
//!   come from the [`Subject`] that the cluster decided on.

use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use zeroize::Zeroizing;

use super::{Identity, IdentityError, Role, Subject};
use crate::files;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of machines that join may be behind by this much.
const CLOCK_SKEW: Duration = DAY;
const AUTHORITY_VALID: Duration = Duration::from_secs(24 * 60 * 60 * 365 * 20);
const LEAF_VALID: Duration = Duration::from_secs(24 * 60 * 60 * 365 * 5);

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca-key.pem";

/// The certificate authority of one cluster (ECDSA P-256).
#[derive(Clone)]
pub struct Authority {
    ca_pem: String,
    key_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the authority of a new cluster; `cluster` goes into its certificate's name.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create(cluster: &str) -> Result<Self, IdentityError> {
        let key = make_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("hesper cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, AUTHORITY_VALID);
        let certificate = params.self_signed(&key).map_err(failed("the certificate authority"))?;
        Ok(Authority { ca_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Takes an authority from its two texts, as a joining node receives them.
    ///
    /// # Errors
    /// When either text is not what it should be, or they do not belong together.
    pub fn from_pem(ca_pem: &str, key_pem: &str) -> Result<Self, IdentityError> {
        let authority = Authority { ca_pem: ca_pem.to_owned(), key_pem: key_pem.to_owned() };
        let key = authority.key()?;
        let held = super::peer::public_key_of(ca_pem)?;
        if held != key.public_key_raw() {
            return Err(IdentityError::Unreadable {
                what: "the certificate authority",
                reason: "its key belongs to another certificate".into(),
            });
        }
        Ok(authority)
    }

    /// Reads the authority from a directory.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn load(directory: &Utf8Path) -> Result<Self, IdentityError> {
        let read = |name: &str| {
            files::read_text(&directory.join(name))
                .map_err(|source| IdentityError::Load { directory: directory.to_owned(), source })
        };
        Authority::from_pem(&read(CERTIFICATE_FILE)?, &read(KEY_FILE)?)
    }

    /// Writes the authority into a directory that only its owner can read.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn store(&self, directory: &Utf8Path) -> Result<(), IdentityError> {
        files::make_private_dir(directory)?;
        files::write_private(&directory.join(KEY_FILE), self.key_pem.as_bytes())?;
        files::write_private(&directory.join(CERTIFICATE_FILE), self.ca_pem.as_bytes())?;
        Ok(())
    }

    /// The authority's own certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The authority's private key; handed to enrolled nodes only, so that each can enrol others.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Signs the public key of a certificate request for `subject`; everything else that the
    /// request asks for is ignored.
    ///
    /// # Errors
    /// When the request is unreadable or its own signature is wrong.
    pub fn sign(&self, csr_pem: &str, subject: &Subject) -> Result<String, IdentityError> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(|error| {
            IdentityError::Unreadable { what: "the certificate request", reason: error.to_string() }
        })?;
        let issuer =
            Issuer::from_ca_cert_pem(&self.ca_pem, self.key()?).map_err(failed("a certificate"))?;
        let certificate = CertificateSigningRequestParams {
            params: leaf_params(subject)?,
            public_key: request.public_key,
        }
        .signed_by(&issuer)
        .map_err(failed("a certificate"))?;
        Ok(certificate.pem())
    }

    /// Makes a key here and signs it: for the identities that a new cluster begins with.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn issue(&self, subject: &Subject) -> Result<Identity, IdentityError> {
        let request = KeyRequest::create()?;
        let cert_pem = self.sign(&request.csr_pem, subject)?;
        Ok(Identity { ca_pem: self.ca_pem.clone(), cert_pem, key_pem: request.key_pem })
    }

    /// A key for encrypting replicated secrets, the same on every node because every node holds the
    /// authority's key. `purpose` keeps keys for different uses apart.
    ///
    /// # Errors
    /// When the authority's own key is unreadable.
    pub fn sealing_key(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
        let der = Zeroizing::new(self.key()?.serialize_der());
        Ok(Zeroizing::new(blake3::derive_key(purpose, &der)))
    }

    fn key(&self) -> Result<KeyPair, IdentityError> {
        KeyPair::from_pem(&self.key_pem).map_err(|error| IdentityError::Unreadable {
            what: "the key of the certificate authority",
            reason: error.to_string(),
        })
    }
}

/// A new private key and the request to certify it.
pub struct KeyRequest {
    /// Stays on this machine.
    pub key_pem: String,
    /// Travels to a node.
    pub csr_pem: String,
}

impl KeyRequest {
    /// Makes a key (ECDSA P-256) and its request.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create() -> Result<Self, IdentityError> {
        let key = make_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "hesper");
        let request = params.serialize_request(&key).map_err(failed("a certificate request"))?;
        Ok(KeyRequest {
            key_pem: key.serialize_pem(),
            csr_pem: request.pem().map_err(failed("a certificate request"))?,
        })
    }
}

fn make_key() -> Result<KeyPair, IdentityError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed("a key"))
}

fn leaf_params(subject: &Subject) -> Result<CertificateParams, IdentityError> {
    let names: Vec<String> = match subject.role {
        Role::Node | Role::Executor => {
            vec!["hesper".to_owned(), format!("{}.hesper", subject.role), "localhost".to_owned()]
        }
        Role::Client | Role::Admin | Role::Wallet => Vec::new(),
    };
    let mut params = CertificateParams::new(names).map_err(failed("a certificate"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.name.as_str());
    params.distinguished_name.push(DnType::OrganizationName, subject.owner.as_str());
    params.distinguished_name.push(DnType::OrganizationalUnitName, subject.role.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if subject.role.is_server() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, LEAF_VALID);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, valid: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + valid).into();
}

fn failed(what: &'static str) -> impl Fn(rcgen::Error) -> IdentityError {
    move |error| IdentityError::Make { what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::peer::subject_of;
    use super::*;

    #[test]
    fn a_signed_request_states_the_subject_that_the_cluster_decided_on() {
        let authority = Authority::create("test").unwrap();
        let request = KeyRequest::create().unwrap();
        for role in Role::ALL {
            let subject = Subject::new("worker-1", "acme", role).unwrap();
            let certificate = authority.sign(&request.csr_pem, &subject).unwrap();
            assert_eq!(subject_of(&certificate).unwrap(), subject);
        }
    }

    #[test]
    fn a_damaged_request_is_refused() {
        let authority = Authority::create("test").unwrap();
        let subject = Subject::new("a", "b", Role::Client).unwrap();
        let request = KeyRequest::create().unwrap().csr_pem;
        assert!(authority.sign("no request", &subject).is_err());
        assert!(authority.sign(&request[..request.len() / 2], &subject).is_err());
        // One changed letter breaks the request's own signature, or its encoding.
        let middle = request.len() / 2;
        let mut altered = request.clone().into_bytes();
        altered[middle] = if altered[middle] == b'A' { b'B' } else { b'A' };
        assert!(authority.sign(&String::from_utf8(altered).unwrap(), &subject).is_err());
    }

    #[test]
    fn an_authority_with_the_key_of_another_is_refused() {
        let one = Authority::create("one").unwrap();
        let two = Authority::create("two").unwrap();
        assert!(Authority::from_pem(one.ca_pem(), one.key_pem()).is_ok());
        assert!(Authority::from_pem(one.ca_pem(), two.key_pem()).is_err());
    }
}
