//! **Purpose**: the wallet's own tokens: HS256 JSON web tokens as Lotus makes them.
//!
//! **Invariants**
//! - Only HS256 is taken; `none` and every other algorithm are refused before anything else.
//! - Signatures are compared in constant time.
//! - A claim that is not understood does not widen a token: groups that cannot be read refuse it.
//! - A token that was made with another allows and sees no more than that one, ends no later, and is
//!   revoked with it.
//! - The secret and the list of revoked tokens lie in files with the rights 0600, replaced as a
//!   whole.
//!
//! **Source**: RFC 7515, RFC 7519; filecoin-project/lotus `node/impl/common/common.go` for the
//! claim `Allow`.

use std::collections::BTreeSet;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use camino::{Utf8Path, Utf8PathBuf};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::keystore::durable;
use crate::{Caller, Permission, Scope};

const SECRET_FILE: &str = "jwt-secret";
const REVOKED_FILE: &str = "jwt-revoked";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
/// A token with many groups has some hundreds.
const TOKEN_BYTES_MAX: usize = 8192;
/// It stands in each record of what the token asks for.
const NAME_BYTES_MAX: usize = 256;
/// Tokens above a token.
const PARENTS_MAX: usize = 8;

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Permissions, as Lotus names them.
    #[serde(rename = "Allow")]
    pub allow: Vec<String>,
    /// Groups whose keys it sees; none: all keys.
    #[serde(rename = "Groups", default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// For the log.
    #[serde(rename = "Name", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// By which it is revoked.
    #[serde(rename = "jti", default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Ids of the tokens with which it was made, the first one first: it is revoked with any of them.
    #[serde(rename = "Parents", default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// Seconds since 1970.
    #[serde(rename = "exp", default, skip_serializing_if = "Option::is_none")]
    pub expires_at_s: Option<u64>,
}

/// Why a token is refused, or none could be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token is no JSON web token of this wallet: {0}")]
    Malformed(&'static str),
    #[error("the token uses another algorithm than HS256")]
    Algorithm,
    #[error("the token was not made by this wallet, or its secret was changed since")]
    Foreign,
    #[error("the token expired at {expires_at_s} seconds after 1970; ask for a new one")]
    Expired { expires_at_s: u64 },
    #[error("the token was revoked")]
    Revoked,
    #[error("the token was revoked, because `{parent}`, with which it was made, was")]
    ParentRevoked { parent: String },
    #[error("`{0}` is no permission; there are read, write, sign and admin")]
    NoPermission(String),
    #[error("a token needs at least one permission: read, write, sign or admin")]
    NoPermissions,
    #[error("a token without id cannot be revoked alone; change the secret instead")]
    NoId,
    #[error("a token without id makes no other, which could not be revoked with it")]
    NoIdOfParent,
    #[error(
        "the token has {PARENTS_MAX} tokens above it and makes no other; \
         use an earlier one, or `hesper wallet token create`"
    )]
    TooManyParents,
    #[error("a token that allows `{held}` makes none that allows `{asked}`")]
    Wider { held: &'static str, asked: &'static str },
    #[error("the name of a token has at most {NAME_BYTES_MAX} bytes and no control characters")]
    BadName,
    #[error(
        "the token would have more than {TOKEN_BYTES_MAX} bytes; give it fewer groups, or shorter \
         names"
    )]
    TooLong,
    #[error(
        "`{path}` may be read by others than its owner; set its rights to 0600 and, as it may be \
         known, rotate it"
    )]
    Open { path: Utf8PathBuf },
    #[error(
        "`{path}` does not hold 32 bytes as hex; remove it to make a new one, which ends all \
         tokens"
    )]
    BadSecret { path: Utf8PathBuf },
    #[error("could not read or write `{path}`: {source}")]
    Io { path: Utf8PathBuf, source: io::Error },
    #[error("the system gives no randomness for the token: {0}")]
    Randomness(getrandom::Error),
}

/// The secret, and which tokens were revoked.
pub struct Tokens {
    dir: Utf8PathBuf,
    kept: RwLock<Kept>,
}

struct Kept {
    secret: Zeroizing<[u8; 32]>,
    revoked: BTreeSet<String>,
}

impl Tokens {
    /// Reads the secret in the wallet's directory; makes it at the first start.
    ///
    /// # Errors
    /// When it cannot be read or made, or others may read it.
    pub fn open(dir: &Utf8Path) -> Result<Self, TokenError> {
        let secret = match read_private(&dir.join(SECRET_FILE))? {
            Some(text) => decode_secret(&dir.join(SECRET_FILE), &text)?,
            None => make_secret(dir)?,
        };
        let revoked = read_private(&dir.join(REVOKED_FILE))?.unwrap_or_default();
        let revoked = revoked.lines().map(str::to_owned).collect();
        Ok(Tokens { dir: dir.to_owned(), kept: RwLock::new(Kept { secret, revoked }) })
    }

    /// Makes a token.
    ///
    /// # Errors
    /// When `claims` name no or no known permission, texts are too long, or there is no randomness
    /// for an id.
    pub fn issue(&self, claims: Claims) -> Result<String, TokenError> {
        self.kept.read().issue(claims)
    }

    /// Makes a token with the token `parent`: it sees what that one sees, allows no more, ends no
    /// later, and is revoked with it.
    ///
    /// # Errors
    /// As for [`Tokens::issue`]; when `parent` is not good now, or has too many tokens above it.
    pub fn issue_with(
        &self,
        parent: &str,
        mut claims: Claims,
        now_ms: u64,
    ) -> Result<String, TokenError> {
        // One look: `parent` cannot be revoked, or its secret replaced, between check and issue.
        let kept = self.kept.read();
        let parent = kept.verify(parent, now_ms)?;
        let (held, asked) = (parent.permission()?, claims.permission()?);
        if asked > held {
            return Err(TokenError::Wider { held: held.word(), asked: asked.word() });
        }
        if parent.id.is_empty() {
            return Err(TokenError::NoIdOfParent);
        }
        if parent.parents.len() >= PARENTS_MAX {
            return Err(TokenError::TooManyParents);
        }
        let ends = parent.expires_at_s.into_iter().chain(claims.expires_at_s);
        claims.expires_at_s = ends.min();
        claims.groups = parent.groups;
        claims.parents = parent.parents;
        claims.parents.push(parent.id);
        kept.issue(claims)
    }

    /// Reads a token and says why, if it is not good now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        self.kept.read().verify(token, now_ms)
    }

    /// Refuses the token with this id from now on, and all that were made with it, also after a
    /// restart.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn revoke(&self, id: &str) -> Result<(), TokenError> {
        if id.is_empty() || id.chars().any(char::is_whitespace) {
            return Err(TokenError::NoId);
        }
        let mut kept = self.kept.write();
        let mut revoked = kept.revoked.clone();
        revoked.insert(id.to_owned());
        let text: String = revoked.iter().map(|id| format!("{id}\n")).collect();
        write(&self.dir, REVOKED_FILE, &text)?;
        kept.revoked = revoked;
        Ok(())
    }

    /// The id by which a token of this wallet is revoked, also when it is no longer good.
    ///
    /// # Errors
    /// When it is no token of this wallet.
    pub fn id_of(&self, token: &str) -> Result<String, TokenError> {
        match self.verify(token, 0) {
            Ok(claims) if claims.id.is_empty() => Err(TokenError::NoId),
            Ok(claims) => Ok(claims.id),
            Err(error) => Err(error),
        }
    }

    /// Makes a new secret: every token made so far is foreign from now on.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn rotate(&self) -> Result<(), TokenError> {
        let mut kept = self.kept.write();
        kept.secret = make_secret(&self.dir)?;
        Ok(())
    }
}

impl Kept {
    fn issue(&self, mut claims: Claims) -> Result<String, TokenError> {
        highest(&claims.allow)?;
        if claims.name.len() > NAME_BYTES_MAX || claims.name.chars().any(char::is_control) {
            return Err(TokenError::BadName);
        }
        if claims.id.is_empty() {
            let mut id = [0; 8];
            getrandom::fill(&mut id).map_err(TokenError::Randomness)?;
            claims.id = hex::encode(id);
        }
        let payload = serde_json::to_vec(&claims).expect("strings and numbers can be written");
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(payload));
        let tag = mac(&self.secret, &signed).finalize().into_bytes();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        // A longer one is not taken back.
        if token.len() > TOKEN_BYTES_MAX { Err(TokenError::TooLong) } else { Ok(token) }
    }

    fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed("it is too long"));
        }
        let (signed, tag) =
            token.rsplit_once('.').ok_or(TokenError::Malformed("it has no signature"))?;
        let (header, payload) =
            signed.split_once('.').ok_or(TokenError::Malformed("it has no payload"))?;
        let header: Header = decode_json(header)?;
        if header.alg != "HS256" {
            return Err(TokenError::Algorithm);
        }
        let tag = decode(tag)?;
        mac(&self.secret, signed).verify_slice(&tag).map_err(|_| TokenError::Foreign)?;
        let claims: Claims = decode_json(payload)?;
        highest(&claims.allow)?;
        if let Some(expires_at_s) = claims.expires_at_s
            && now_ms / 1000 >= expires_at_s
        {
            return Err(TokenError::Expired { expires_at_s });
        }
        if self.revoked.contains(&claims.id) {
            return Err(TokenError::Revoked);
        }
        match claims.parents.iter().find(|parent| self.revoked.contains(*parent)) {
            Some(parent) => Err(TokenError::ParentRevoked { parent: parent.clone() }),
            None => Ok(claims),
        }
    }
}

impl Claims {
    /// The greatest permission among them; they are nested.
    ///
    /// # Errors
    /// When there is none or an unknown one.
    pub fn permission(&self) -> Result<Permission, TokenError> {
        highest(&self.allow)
    }

    pub(super) fn caller(&self) -> Result<Caller, TokenError> {
        let mut name = if self.name.is_empty() { "token".to_owned() } else { self.name.clone() };
        if !self.id.is_empty() {
            name = format!("{name} ({})", self.id);
        }
        let scope = match self.groups.is_empty() {
            true => Scope::All,
            false => Scope::Groups(self.groups.clone()),
        };
        Ok(Caller { name, permission: self.permission()?, scope })
    }
}

/// A permission with all that it includes, least first.
pub(super) fn words(permission: Permission) -> Vec<&'static str> {
    let all = [Permission::Read, Permission::Write, Permission::Sign, Permission::Admin];
    all.into_iter().filter(|other| *other <= permission).map(Permission::word).collect()
}

fn highest(allow: &[String]) -> Result<Permission, TokenError> {
    let mut highest = None;
    for text in allow {
        let permission = match text.as_str() {
            "read" => Permission::Read,
            "write" => Permission::Write,
            "sign" => Permission::Sign,
            "admin" => Permission::Admin,
            other => return Err(TokenError::NoPermission(other.chars().take(40).collect())),
        };
        highest = highest.max(Some(permission));
    }
    highest.ok_or(TokenError::NoPermissions)
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed("a part is no base64"))
}

fn decode_json<T: for<'a> Deserialize<'a>>(part: &str) -> Result<T, TokenError> {
    serde_json::from_slice(&decode(part)?)
        .map_err(|_| TokenError::Malformed("a part does not hold what it should"))
}

fn mac(secret: &[u8; 32], signed: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(signed.as_bytes());
    mac
}

fn make_secret(dir: &Utf8Path) -> Result<Zeroizing<[u8; 32]>, TokenError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(TokenError::Randomness)?;
    let text = Zeroizing::new(hex::encode(*secret));
    write(dir, SECRET_FILE, &text)?;
    Ok(secret)
}

fn decode_secret(path: &Utf8Path, text: &str) -> Result<Zeroizing<[u8; 32]>, TokenError> {
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), secret.as_mut())
        .map_err(|_| TokenError::BadSecret { path: path.to_owned() })?;
    Ok(secret)
}

fn write(dir: &Utf8Path, name: &str, text: &str) -> Result<(), TokenError> {
    durable::replace(dir, name, text.as_bytes())
        .map_err(|source| TokenError::Io { path: dir.join(name), source })
}

/// The content of a file that only its owner may read; `None` when there is no such file.
fn read_private(path: &Utf8Path) -> Result<Option<Zeroizing<String>>, TokenError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| TokenError::Io { path: path.to_owned(), source };
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(failed)?,
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(TokenError::Open { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map(|text| Some(Zeroizing::new(text))).map_err(failed)
}
