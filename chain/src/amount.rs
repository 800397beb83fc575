//! **Purpose**: amounts of FIL: read from what people type and from JSON, shown, and bounded.
//!
//! **Invariants**: no floats; nothing is rounded: an amount with more than 18 decimals is refused.
//!
//! **Source**: Lotus `chain/types/fil.go` (units), go-state-types `big` (128 bytes).

use fvm_shared::econ::TokenAmount;
use num_bigint::{BigInt, Sign};
use num_traits::Signed;
use thiserror::Error;

use crate::limits::{AMOUNT_BYTES_MAX, TOTAL_FIL};

/// The longest decimal text of a number of 127 bytes, with its sign.
const DIGITS_MAX: usize = 307;

/// The longest amount with a point and a unit.
const TEXT_MAX: usize = DIGITS_MAX + 20;

/// Why an amount was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AmountError {
    #[error(
        "could not read {text:?} as an amount; write digits and a unit, such as \"1.5 FIL\" or \
         \"10 attoFIL\""
    )]
    Text { text: String },
    #[error("{unit:?} is not a unit of FIL; use FIL, nanoFIL, attoFIL, ...")]
    Unit { unit: String },
    #[error("{text:?} has more decimals than an attoFIL, the smallest unit, can show")]
    TooFine { text: String },
    #[error("the amount takes {bytes} bytes; at most {AMOUNT_BYTES_MAX} are allowed")]
    TooLarge { bytes: usize },
    #[error("the amount {0} is negative")]
    Negative(String),
    #[error("the amount {0} exceeds the {TOTAL_FIL} FIL that exist")]
    MoreThanExists(String),
}

/// Reads an amount as people write it: `1.5 FIL`, `10 attoFIL`; a bare integer counts attoFIL.
///
/// # Errors
/// Anything else, negative amounts, and amounts that no attoFIL can show.
pub fn parse(text: &str) -> Result<TokenAmount, AmountError> {
    let shown = || text.chars().take(80).collect::<String>();
    let trimmed = text.trim();
    if trimmed.len() > TEXT_MAX {
        return Err(AmountError::Text { text: shown() });
    }
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim_start();
    let decimals = if unit.is_empty() {
        0
    } else {
        decimals_of(unit)
            .ok_or_else(|| AmountError::Unit { unit: unit.chars().take(20).collect() })?
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits_only = |s: &str| s.bytes().all(|byte| byte.is_ascii_digit());
    let point_without_digits = number.contains('.') && fraction.is_empty();
    if whole.is_empty() || point_without_digits || !digits_only(whole) || !digits_only(fraction) {
        return Err(AmountError::Text { text: shown() });
    }
    if fraction.len() > decimals {
        return Err(AmountError::TooFine { text: shown() });
    }
    let padding = "0".repeat(decimals - fraction.len());
    parse_atto(&format!("{whole}{fraction}{padding}"))
}

/// Reads a decimal count of attoFIL, the form of JSON; it may be negative.
///
/// # Errors
/// What is not an integer in plain decimal digits, or is too large.
pub fn parse_atto(text: &str) -> Result<TokenAmount, AmountError> {
    parse_integer(text).map(TokenAmount::from_atto)
}

/// Reads a big integer from decimal digits with an optional minus sign.
pub(crate) fn parse_integer(text: &str) -> Result<BigInt, AmountError> {
    let refuse = || AmountError::Text { text: text.chars().take(80).collect() };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || text.len() > 2 * DIGITS_MAX {
        return Err(refuse());
    }
    let integer = BigInt::parse_bytes(text.as_bytes(), 10).ok_or_else(refuse)?;
    check_integer_size(&integer)?;
    Ok(integer)
}

/// The amount in FIL, exact: `1.5 FIL`.
#[must_use]
pub fn format_fil(amount: &TokenAmount) -> String {
    let digits = amount.atto().abs().to_string();
    let padded = format!("{digits:0>19}");
    let (whole, fraction) = padded.split_at(padded.len() - 18);
    let fraction = fraction.trim_end_matches('0');
    let sign = if amount.is_negative() { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction} FIL")
}

/// The amount in attoFIL, digits only: the form of JSON.
#[must_use]
pub fn format_atto(amount: &TokenAmount) -> String {
    amount.atto().to_string()
}

/// Checks that the amount has an encoding.
///
/// # Errors
/// More than 128 bytes.
pub fn check_size(amount: &TokenAmount) -> Result<(), AmountError> {
    check_integer_size(amount.atto())
}

/// Checks that the amount can be a message's value.
///
/// # Errors
/// Negative amounts and amounts beyond all FIL that exist.
pub fn check_range(amount: &TokenAmount) -> Result<(), AmountError> {
    if amount.is_negative() {
        return Err(AmountError::Negative(cut(amount)));
    }
    if *amount > TokenAmount::from_whole(TOTAL_FIL) {
        return Err(AmountError::MoreThanExists(cut(amount)));
    }
    Ok(())
}

fn check_integer_size(integer: &BigInt) -> Result<(), AmountError> {
    let magnitude = usize::try_from(integer.bits().div_ceil(8)).unwrap_or(usize::MAX);
    let sign = usize::from(integer.sign() != Sign::NoSign);
    match magnitude.saturating_add(sign) {
        bytes if bytes > AMOUNT_BYTES_MAX => Err(AmountError::TooLarge { bytes }),
        _ => Ok(()),
    }
}

fn cut(amount: &TokenAmount) -> String {
    format_fil(amount).chars().take(80).collect()
}

/// How many decimals of the unit make one attoFIL. Letter case does not matter, except that a
/// one-letter prefix is lower case: a capital one would read as mega or peta.
fn decimals_of(unit: &str) -> Option<usize> {
    let has_letter_prefix = unit.chars().count() == 4;
    if has_letter_prefix && unit.starts_with(|first: char| first.is_uppercase()) {
        return None;
    }
    let decimals = match unit.to_ascii_lowercase().as_str() {
        "fil" => 18,
        "millifil" | "mfil" => 15,
        "microfil" | "ufil" | "µfil" => 12,
        "nanofil" | "nfil" => 9,
        "picofil" | "pfil" => 6,
        "femtofil" | "ffil" => 3,
        "attofil" | "afil" => 0,
        _ => return None,
    };
    Some(decimals)
}

#[cfg(test)]
mod tests;
