//! **Purpose**: reads from a verified certificate who calls.

use tonic::{Request, Status};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{IdentityError, Role, Subject};

/// Who calls, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name in the certificate.
    pub name: String,
    /// Owner in the certificate.
    pub owner: String,
    /// Role in the certificate.
    pub role: Role,
}

impl Peer {
    /// Lets only the `allowed` roles do `what` (an infinitive, shown to the caller).
    ///
    /// # Errors
    /// `PermissionDenied` that names the roles which may.
    pub fn require(&self, allowed: &[Role], what: &str) -> Result<(), Status> {
        if allowed.contains(&self.role) {
            return Ok(());
        }
        let roles: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
        Err(Status::permission_denied(format!(
            "the certificate of {} `{}` does not allow to {what}; use one with the role {}",
            self.role,
            self.name,
            roles.join(" or ")
        )))
    }
}

/// The caller's name, owner and role, from the certificate that the TLS layer has verified.
///
/// # Errors
/// `Unauthenticated` when the caller showed no certificate, or one without a known role.
pub fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    peer_if_any(request)?.ok_or_else(|| {
        Status::unauthenticated(
            "this call needs a client certificate, and none was shown; \
             name the directory of an identity with --identity, or join the cluster with a token",
        )
    })
}

/// As [`peer`]; `None` when the caller showed no certificate.
///
/// # Errors
/// `Unauthenticated` when the caller showed one without a known role.
pub fn peer_if_any<T>(request: &Request<T>) -> Result<Option<Peer>, Status> {
    let Some(certificates) = request.peer_certs() else { return Ok(None) };
    let leaf = certificates
        .first()
        .ok_or_else(|| Status::unauthenticated("the list of client certificates is empty"))?;
    let subject = subject_of_der(leaf.as_ref())
        .map_err(|error| Status::unauthenticated(format!("wrong certificate: {error}")))?;
    Ok(Some(Peer { name: subject.name, owner: subject.owner, role: subject.role }))
}

/// The subject of a certificate in PEM.
pub(crate) fn subject_of(cert_pem: &str) -> Result<Subject, IdentityError> {
    subject_of_der(&der_of(cert_pem)?)
}

/// The bytes of a certificate in PEM.
pub(crate) fn der_of(cert_pem: &str) -> Result<Vec<u8>, IdentityError> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(cert_pem.as_bytes())
        .map_err(|error| unreadable(&error.to_string()))?;
    if pem.label != "CERTIFICATE" {
        return Err(unreadable(&format!("found a {} instead", pem.label.to_lowercase())));
    }
    Ok(pem.contents)
}

/// The raw public key of a certificate in PEM.
pub(crate) fn public_key_of(cert_pem: &str) -> Result<Vec<u8>, IdentityError> {
    let der = der_of(cert_pem)?;
    let certificate = parse(&der)?;
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}

fn subject_of_der(der: &[u8]) -> Result<Subject, IdentityError> {
    let certificate = parse(der)?;
    let subject = certificate.subject();
    let only = |what: &'static str,
                found: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
        found
            .and_then(|attribute| attribute.as_str().ok())
            .map(str::to_owned)
            .ok_or_else(|| unreadable(&format!("its subject has no {what}")))
    };
    let name = only("name", subject.iter_common_name().next())?;
    let owner = only("owner", subject.iter_organization().next())?;
    let role: Role = only("role", subject.iter_organizational_unit().next())?.parse()?;
    Subject::new(&name, &owner, role)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| unreadable(&error.to_string()))?;
    if rest.is_empty() { Ok(certificate) } else { Err(unreadable("bytes follow its end")) }
}

fn unreadable(reason: &str) -> IdentityError {
    IdentityError::Unreadable { what: "the certificate", reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::Authority;
    use super::*;

    #[test]
    fn a_role_that_may_not_is_told_who_may() {
        let peer = Peer { name: "w".into(), owner: "o".into(), role: Role::Executor };
        assert!(peer.require(&[Role::Executor], "open a session").is_ok());
        let status = peer.require(&[Role::Client, Role::Admin], "submit a job").unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert!(status.message().contains("client or admin"), "{}", status.message());
    }

    #[test]
    fn a_call_without_certificate_is_unauthenticated() {
        let status = peer(&Request::new(())).unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
    }

    #[test]
    fn the_authoritys_own_certificate_names_no_role() {
        let authority = Authority::create("test").unwrap();
        assert!(subject_of(authority.ca_pem()).is_err());
        assert!(subject_of(authority.key_pem()).is_err());
    }
}
