//! **Purpose**: the text that an operator hands to whoever shall join: where the cluster is, how
//! to recognise it, and a secret that works once.
//!
//! **Invariants**
//! - It pins the cluster's authority, so that a joining machine sends its secret to no one else.
//! - The cluster stores the BLAKE3 digest of the secret, never the secret.
//! - Mistyped, cut or altered text is found by a check sum before anything is sent.
//!
//! **Format** `hesper1.` + base64url without padding of: role (1 byte), expiry in Unix
//! milliseconds (8, big-endian), secret (16), number of addresses (1), per address its length (1)
//! and text, length of the authority's certificate (2) and its DER; then the first 4 bytes of
//! BLAKE3 over all that.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::Role;

const PREFIX: &str = "hesper1.";
const ADDRESSES_MAX: usize = 16;
const CHECK_BYTES: usize = 4;

/// Why a text is no usable token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else was pasted.
    #[error(
        "this is not a join token: a token begins with `hesper1.`; make one with `hesper node token`"
    )]
    NotAToken,
    /// From a later version.
    #[error(
        "this join token begins with `{prefix}`, which this version of hesper does not know; install the version that made it"
    )]
    OtherVersion {
        /// Its first part.
        prefix: String,
    },
    /// Characters that no token has.
    #[error("the join token is mistyped near character {position}; copy it again, whole")]
    Mistyped {
        /// Counted from 1.
        position: usize,
    },
    /// Bytes are missing or altered.
    #[error("the join token is truncated or altered; copy it again, whole")]
    Damaged,
    /// A secret that is not 32 hexadecimal digits.
    #[error("the secret of a join token is 32 hexadecimal digits, not {found} characters")]
    BadSecret {
        /// Length of what was given.
        found: usize,
    },
    /// More than fits.
    #[error("a join token holds 1 to {ADDRESSES_MAX} node addresses of at most 255 bytes")]
    BadAddresses,
}

/// A one-time right to join, made by `hesper node token`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Addresses of nodes (`host:port`).
    pub nodes: Vec<String>,
    /// The authority's certificate.
    pub ca_der: Vec<u8>,
    /// Proves the right.
    pub secret: [u8; 16],
    /// What the holder will be.
    pub role: Role,
    /// By the cluster's clock.
    pub expires_at_ms: u64,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken")
            .field("nodes", &self.nodes)
            .field("role", &self.role)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

impl JoinToken {
    /// The text form.
    ///
    /// # Errors
    /// When there is no address, or more or longer ones than fit.
    pub fn encode(&self) -> Result<String, TokenError> {
        if self.nodes.is_empty() || self.nodes.len() > ADDRESSES_MAX {
            return Err(TokenError::BadAddresses);
        }
        let mut bytes = vec![role_number(self.role)];
        bytes.extend(self.expires_at_ms.to_be_bytes());
        bytes.extend(self.secret);
        bytes.push(u8::try_from(self.nodes.len()).map_err(|_| TokenError::BadAddresses)?);
        for node in &self.nodes {
            bytes.push(u8::try_from(node.len()).map_err(|_| TokenError::BadAddresses)?);
            bytes.extend(node.as_bytes());
        }
        let length = u16::try_from(self.ca_der.len()).map_err(|_| TokenError::Damaged)?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.ca_der);
        let check = blake3::hash(&bytes);
        bytes.extend(&check.as_bytes()[..CHECK_BYTES]);
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads the text form; white space around and inside it (from a broken line) is ignored.
    ///
    /// # Errors
    /// When it is something else, mistyped, truncated or altered.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let Some(body) = text.strip_prefix(PREFIX) else {
            return Err(match text.split_once('.') {
                Some((prefix, _)) if prefix.starts_with("hesper") && prefix.len() <= 12 => {
                    TokenError::OtherVersion { prefix: prefix.to_owned() }
                }
                _ => TokenError::NotAToken,
            });
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if let Some(at) = body.chars().position(|c| !fits(c)) {
            return Err(TokenError::Mistyped { position: PREFIX.len() + at + 1 });
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Damaged)?;
        let at = bytes.len().checked_sub(CHECK_BYTES).ok_or(TokenError::Damaged)?;
        let (bytes, check) = bytes.split_at(at);
        if blake3::hash(bytes).as_bytes()[..CHECK_BYTES] != *check {
            return Err(TokenError::Damaged);
        }
        decode(&mut Cursor(bytes)).ok_or(TokenError::Damaged)
    }

    /// The authority's certificate as PEM.
    pub fn ca_pem(&self) -> String {
        let text = STANDARD.encode(&self.ca_der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// The secret as it travels in an enrolment.
    pub fn secret_hex(&self) -> String {
        crate::values::to_hex(&self.secret)
    }

    /// What the cluster stores instead of the secret.
    pub fn secret_digest(&self) -> [u8; 32] {
        *blake3::hash(&self.secret).as_bytes()
    }

    /// The digest of a secret that arrived in an enrolment.
    ///
    /// # Errors
    /// When it is not 32 hexadecimal digits.
    pub fn digest_of(secret_hex: &str) -> Result<[u8; 32], TokenError> {
        let bad = || TokenError::BadSecret { found: secret_hex.len() };
        let secret = crate::values::from_hex(secret_hex).ok_or_else(bad)?;
        let secret: [u8; 16] = secret.try_into().map_err(|_| bad())?;
        Ok(*blake3::hash(&secret).as_bytes())
    }
}

fn role_number(role: Role) -> u8 {
    match role {
        Role::Node => 0,
        Role::Executor => 1,
        Role::Client => 2,
        Role::Admin => 3,
        Role::Wallet => 4,
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }
    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
}

fn decode(cursor: &mut Cursor<'_>) -> Option<JoinToken> {
    let number = cursor.byte()?;
    let role = Role::ALL.into_iter().find(|role| role_number(*role) == number)?;
    let expires_at_ms = u64::from_be_bytes(cursor.take(8)?.try_into().ok()?);
    let secret: [u8; 16] = cursor.take(16)?.try_into().ok()?;
    let count = usize::from(cursor.byte()?);
    if count == 0 || count > ADDRESSES_MAX {
        return None;
    }
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(cursor.byte()?);
        nodes.push(String::from_utf8(cursor.take(length)?.to_vec()).ok()?);
    }
    let length = usize::from(u16::from_be_bytes(cursor.take(2)?.try_into().ok()?));
    let ca_der = cursor.take(length)?.to_vec();
    cursor.0.is_empty().then_some(JoinToken { nodes, ca_der, secret, role, expires_at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            nodes: vec!["10.0.0.1:7100".into(), "[::1]:7100".into()],
            ca_der: (0..=200).collect(),
            secret: [7; 16],
            role: Role::Executor,
            expires_at_ms: 1_800_000_000_000,
        }
    }

    #[test]
    fn a_token_is_read_back_even_when_a_line_was_broken() {
        let text = token().encode().unwrap();
        assert_eq!(JoinToken::parse(&text).unwrap(), token());
        let (a, b) = text.split_at(40);
        assert_eq!(JoinToken::parse(&format!("  {a}\n {b}\n")).unwrap(), token());
        assert_eq!(JoinToken::digest_of(&token().secret_hex()).unwrap(), token().secret_digest());
    }

    #[test]
    fn every_truncation_and_every_changed_character_is_found() {
        let text = token().encode().unwrap();
        for cut in 0..text.len() {
            assert!(JoinToken::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..text.len() {
            for other in ["A", "b", "!", "_"] {
                let mut altered = text.clone();
                altered.replace_range(at..=at, other);
                if altered != text {
                    assert!(JoinToken::parse(&altered).is_err(), "{other} at {at}");
                }
            }
        }
        assert!(JoinToken::parse(&format!("{text}A")).is_err());
    }

    #[test]
    fn the_kinds_of_wrong_text_are_told_apart() {
        assert_eq!(JoinToken::parse(""), Err(TokenError::NotAToken));
        assert_eq!(JoinToken::parse("SGVsbG8="), Err(TokenError::NotAToken));
        assert_eq!(
            JoinToken::parse("hesper2.AAAA"),
            Err(TokenError::OtherVersion { prefix: "hesper2".into() })
        );
        assert_eq!(JoinToken::parse("hesper1.AA+A"), Err(TokenError::Mistyped { position: 11 }));
        assert_eq!(JoinToken::parse("hesper1.AAAA"), Err(TokenError::Damaged));
        assert_eq!(JoinToken::digest_of("12"), Err(TokenError::BadSecret { found: 2 }));
    }

    #[test]
    fn addresses_that_do_not_fit_are_refused() {
        let none = JoinToken { nodes: vec![], ..token() };
        let many = JoinToken { nodes: vec!["a:1".into(); 17], ..token() };
        let long = JoinToken { nodes: vec!["a".repeat(256)], ..token() };
        for token in [none, many, long] {
            assert_eq!(token.encode(), Err(TokenError::BadAddresses));
        }
    }

    #[test]
    fn the_pinned_authority_survives_as_pem() {
        let authority = super::super::Authority::create("t").unwrap();
        let ca_der = super::super::peer::der_of(authority.ca_pem()).unwrap();
        let token = JoinToken { ca_der: ca_der.clone(), ..token() };
        assert_eq!(super::super::peer::der_of(&token.ca_pem()).unwrap(), ca_der);
    }
}
