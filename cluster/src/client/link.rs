//! **Purpose**: how a client reaches a node: over the network with a certificate, or over the socket of
//! a node on this machine; with a bearer token, if it has one.
//!
//! **Invariants**
//! - A token appears in no log and in no error.

use camino::Utf8Path;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::Error;
use crate::identity::IdentityError;

/// A connection whose requests carry the client's token.
pub type Link = InterceptedService<Channel, Bearer>;

/// Puts a token on each request; without one it does nothing.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Bearer(..)" } else { "Bearer(none)" })
    }
}

impl Bearer {
    /// A token as it was printed when it was created.
    ///
    /// # Errors
    /// When it holds what no token does.
    pub fn new(token: &str) -> Result<Self, Error> {
        let token = token.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let mut value = match format!("Bearer {token}").parse::<MetadataValue<Ascii>>() {
            Ok(value) if !token.is_empty() && token.chars().all(fits) => value,
            Ok(_) | Err(_) => return Err(Error::BadToken),
        };
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A way to the administration socket of a node on this machine.
///
/// # Errors
/// When the path is none that a socket can have.
pub(super) fn socket_endpoint(path: &Utf8Path) -> Result<Endpoint, Error> {
    Endpoint::from_shared(format!("unix://{path}"))
        .map_err(|_| IdentityError::BadAddress { address: path.to_string() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_into_the_header_and_into_no_text() {
        let mut bearer = Bearer::new(" aaa.bbb-c.d_d\n").unwrap();
        let request = bearer.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer aaa.bbb-c.d_d");
        assert!(!format!("{bearer:?} {request:?}").contains("aaa"));
        let request = Bearer::default().call(Request::new(())).unwrap();
        assert!(request.metadata().get("authorization").is_none());
    }

    #[test]
    fn what_no_token_holds_is_refused_before_it_is_sent() {
        for bad in ["", "  ", "a b", "a\nb", "a;b", "\u{e4}"] {
            assert!(matches!(Bearer::new(bad), Err(Error::BadToken)), "{bad:?}");
        }
    }
}
