//! **Purpose**: the accepted forms of user names and of addresses.
//!
//! **Invariants**
//! - One signer has one text here: prefix `f`, lower case; one miner has one number.
//! - Only the form is checked: prefix, protocol, alphabet, length. Checksums are checked at the edge,
//!   where the address library is.
//!
//! **Source**: Filecoin specification, appendix Address.

use thiserror::Error;

pub const USER_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{name}` is no name of a user; use 1 to 64 of the characters a-z, A-Z, 0-9, `.`, `_`, `-` and \
     `@`, beginning with a letter or digit"
)]
pub struct BadName {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no {wanted}; give it as in {example}")]
pub struct BadAddress {
    pub text: String,
    pub wanted: &'static str,
    pub example: &'static str,
}

/// # Errors
/// The name is empty, too long, or has characters that are not allowed.
pub fn check_user(name: &str) -> Result<(), BadName> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && name.len() <= USER_BYTES_MAX && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(BadName { name: shortened(name) })
}

/// The one text of a signer: `f1`, `f3` or `f4` address; the prefix `t` is read as `f`.
///
/// # Errors
/// The text has not the form of such an address.
pub fn signer(text: &str) -> Result<String, BadAddress> {
    let refused = || BadAddress {
        text: shortened(text),
        wanted: "address of a key",
        example: "f1..., f3... or f410f...",
    };
    let rest = text.strip_prefix(['f', 't']).ok_or_else(refused)?;
    let is_signer = match rest.as_bytes().first() {
        // 20 bytes of hash and 4 of checksum.
        Some(b'1') => rest.len() == 1 + 39 && is_base32(&rest[1..]),
        // 48 bytes of key and 4 of checksum.
        Some(b'3') => rest.len() == 1 + 84 && is_base32(&rest[1..]),
        Some(b'4') => is_delegated(&rest[1..]),
        _ => false,
    };
    if is_signer { Ok(format!("f{rest}")) } else { Err(refused()) }
}

/// Number of a miner actor from `f01234`, `t01234` or `1234`.
///
/// # Errors
/// The text is no id address, or the id has leading zeros or exceeds 63 bits.
pub fn miner(text: &str) -> Result<u64, BadAddress> {
    let refused =
        || BadAddress { text: shortened(text), wanted: "address of a miner", example: "f01234" };
    let digits = text.strip_prefix("f0").or_else(|| text.strip_prefix("t0")).unwrap_or(text);
    number(digits).ok_or_else(refused)
}

/// `<namespace>f<subaddress>`: 4 bytes of checksum after 0 to 54 bytes.
fn is_delegated(rest: &str) -> bool {
    let Some((namespace, subaddress)) = rest.split_once('f') else { return false };
    number(namespace).is_some() && (7..=93).contains(&subaddress.len()) && is_base32(subaddress)
}

/// A number of at most 63 bits, in its one decimal form.
fn number(digits: &str) -> Option<u64> {
    let canonical = digits == "0" || !digits.starts_with('0');
    if !canonical || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok().filter(|number| *number < 1 << 63)
}

fn is_base32(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

/// At most 100 bytes of a foreign text, for messages.
pub(crate) fn shortened(text: &str) -> String {
    let end = (0..=text.len().min(100)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const F1: &str = "f17uoq6tp427uzv7fztkbsnn64iwotfrristwpryy";
    const F410: &str = "f410feswkuvbmtmtm2cmd2qpnlkvpoeuzidz4ssiuyna";

    #[test]
    fn names_of_users() {
        for good in ["a", "acme-1", "Alice.B@pool_2", &"x".repeat(64)] {
            assert_eq!(check_user(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\u{1f}b", &"x".repeat(65)] {
            assert!(check_user(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn signers_have_one_text() {
        let f3 = format!("f3{}", "a".repeat(84));
        for good in [F1, f3.as_str(), F410] {
            assert_eq!(signer(good).as_deref(), Ok(good));
            assert_eq!(signer(&good.replacen('f', "t", 1)).as_deref(), Ok(good));
        }
        let upper = F1.to_uppercase();
        let long = format!("{F1}a");
        for bad in ["", "f", "f01234", "f2abc", "f5abc", "1234", "f4f", &upper, &long, &F1[..40]] {
            assert!(signer(bad).is_err(), "{bad:?}");
        }
        assert!(signer("f401faaaaaaaaaa").is_err(), "a leading zero is not canonical");
    }

    #[test]
    fn miners_are_id_addresses() {
        assert_eq!(miner("f01234"), Ok(1234));
        assert_eq!(miner("t01234"), Ok(1234));
        assert_eq!(miner("1234"), Ok(1234));
        assert_eq!(miner("f09223372036854775807"), Ok((1 << 63) - 1));
        for bad in ["", "f0", "f", F1, "f001", "01", "-1", "f09223372036854775808", "f0 1", "+1"] {
            assert!(miner(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_in_messages() {
        assert!(shortened(&"ä".repeat(1_000)).len() <= 100);
    }
}
