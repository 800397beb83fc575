//! **Purpose**: the text of a token: a JWT that Lotus and Venus clients take as theirs.
//!
//! **Invariants**
//! - One algorithm: HS256. The header names the secret by `kid`, the payload the token by `jti`.
//! - Reading is strict: three parts, unpadded base64url in its one form, no algorithm but HS256, a MAC
//!   compared in constant time before anything of the payload is believed.
//! - The text follows from row and secret alone, so it can be shown again and need not be stored.
//!
//! **Source**: RFC 7515 (JWS), RFC 7519 (JWT); `Allow` as Lotus has it, `name`, `perm` and `ext` as
//! Venus has them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::actor::Permission;

/// Bytes of a secret: as many as the MAC has.
pub const SECRET_BYTES: usize = 32;
/// A longer text is refused unread.
pub const TEXT_BYTES_MAX: usize = 16 * 1_024;

/// Key schedule of a secret, so that a verification does not repeat it.
pub(crate) type Key = Hmac<Sha256>;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub id: u64,
    pub user: String,
    pub permission: Permission,
    pub extra: String,
    /// Seconds since 1970.
    pub expires_s: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<&'a str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

/// The payload as it is written and read. Unknown fields are left alone, as RFC 7519 wants it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Payload<'a> {
    #[serde(rename = "Allow", borrow, default)]
    pub allow: Vec<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub perm: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
}

/// Why a text is no token, or not one that may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Malformed(&'static str),
    Algorithm(String),
    Signature,
}

/// A text cut into its parts; nothing of it is to be believed yet.
pub(crate) struct Parts<'a> {
    /// Header and payload with the dot between them: what is signed.
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
    pub kid: Option<u64>,
}

/// The text of a token.
pub fn mint(kid: u64, secret: &[u8], claims: &Claims) -> String {
    mint_with(kid, &key(secret), claims)
}

pub(crate) fn key(secret: &[u8]) -> Key {
    Key::new_from_slice(secret).expect("HMAC takes keys of any length")
}

pub(crate) fn mint_with(kid: u64, key: &Key, claims: &Claims) -> String {
    let (kid, id) = (kid.to_string(), claims.id.to_string());
    let header = Header { alg: "HS256", typ: Some("JWT"), kid: Some(&kid) };
    let allow = claims.permission.prefix().iter().map(|word| Cow::Borrowed(word.word()));
    let payload = Payload {
        allow: allow.collect(),
        name: Some(Cow::Borrowed(&claims.user)),
        perm: Some(Cow::Borrowed(claims.permission.word())),
        ext: Some(Cow::Borrowed(&claims.extra)),
        jti: Some(Cow::Borrowed(&id)),
        exp: claims.expires_s,
        nbf: None,
    };
    let mut text = base64_json(&header);
    text.push('.');
    text.push_str(&base64_json(&payload));
    let mut mac = key.clone();
    mac.update(text.as_bytes());
    let signature = mac.finalize().into_bytes();
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    text
}

fn base64_json<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_vec(value).expect("strings and numbers always have a JSON form");
    URL_SAFE_NO_PAD.encode(json)
}

/// Cuts a text and reads its header.
pub(crate) fn parse(text: &str) -> Result<Parts<'_>, Unreadable> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unreadable::Malformed("it is longer than any token"));
    }
    let parts = text.rsplit_once('.').and_then(|(signed, signature)| {
        let (header, payload) = signed.split_once('.')?;
        Some((signed, header, payload, signature))
    });
    let Some((signed, header, payload, signature)) = parts else {
        return Err(Unreadable::Malformed("it has not three parts"));
    };
    if payload.contains('.') {
        return Err(Unreadable::Malformed("it has more than three parts"));
    }
    let header = decode(header, "its header is not base64url without padding")?;
    let header: Header<'_> = serde_json::from_slice(&header)
        .map_err(|_| Unreadable::Malformed("its header is not the JSON of a token"))?;
    if header.alg != "HS256" {
        return Err(Unreadable::Algorithm(crate::names::shortened(header.alg)));
    }
    if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(Unreadable::Malformed("its header names another type than JWT"));
    }
    let kid = match header.kid {
        None => None,
        Some(kid) => Some(number(kid).ok_or(Unreadable::Malformed("its `kid` is no number"))?),
    };
    Ok(Parts { signed, payload, signature, kid })
}

impl Parts<'_> {
    /// The payload's JSON, if the MAC holds.
    pub(crate) fn verified(&self, key: &Key) -> Result<Vec<u8>, Unreadable> {
        let mut signature = [0; SECRET_BYTES];
        let count = URL_SAFE_NO_PAD.decode_slice(self.signature, &mut signature);
        if count != Ok(SECRET_BYTES) {
            return Err(Unreadable::Malformed("its signature is not 32 bytes of base64url"));
        }
        let mut mac = key.clone();
        mac.update(self.signed.as_bytes());
        mac.verify_slice(&signature).map_err(|_| Unreadable::Signature)?;
        decode(self.payload, "its payload is not base64url without padding")
    }
}

/// Reads a verified payload.
pub(crate) fn payload(json: &[u8]) -> Result<Payload<'_>, Unreadable> {
    serde_json::from_slice(json)
        .map_err(|_| Unreadable::Malformed("its payload is not the JSON of a token"))
}

impl Payload<'_> {
    /// The permission that the list grants: the highest whose whole prefix is in it.
    pub(crate) fn allowed(&self) -> Option<Permission> {
        let has = |permission: Permission| self.allow.iter().any(|word| word == permission.word());
        Permission::ALL.into_iter().take_while(|permission| has(*permission)).last()
    }
}

fn decode(part: &str, problem: &'static str) -> Result<Vec<u8>, Unreadable> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Unreadable::Malformed(problem))
}

/// A number in its one decimal form.
pub(crate) fn number(text: &str) -> Option<u64> {
    let is_canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_canonical { text.parse().ok() } else { None }
}
