//! **Purpose**: the rules by which a wallet signs or refuses, read from TOML, checked as a whole,
//! and explained.
//!
//! **Invariants**
//! - A key that has a rule signs only what a rule allows. A matching rule with `effect = "deny"`
//!   wins over every other.
//! - Dangerous methods, key export and the type `unknown` are allowed by nothing but a rule that
//!   names the key and them; a key without rules signs everything else, unless the policy says
//!   `keys_without_rules = "deny"`.
//! - Every call of a message, those inside multisig proposals too, must fit the rule that allows
//!   it, and its value counts.
//! - Deciding is a function of the rules, the facts and the counters: no clock, no files.
//!
//! **Source**: DESIGN section 9; Venus's former strategy templates for what operators ask for.

pub(crate) mod call;
mod decide;
mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_chain::{Address, Network, TokenAmount};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::object::ObjectType;

use call::{Actors, Pattern};
pub use decide::{Explanation, Facts, Usage};

/// A policy file is at most this long.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Object(ObjectType),
    /// Handing out the secret key.
    Export,
}

impl Subject {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Subject::Object(object_type) => object_type.word(),
            Subject::Export => "export",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// Limits of what a rule allows; absent ones do not bind.
#[derive(Debug, Clone, Default, PartialEq)]
struct Limits {
    value_max: Option<TokenAmount>,
    value_per_day_max: Option<TokenAmount>,
    fee_max: Option<TokenAmount>,
    per_minute_max: Option<u64>,
    per_hour_max: Option<u64>,
    per_day_max: Option<u64>,
}

/// One `[[rule]]`.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    id: String,
    effect: Effect,
    /// Its own keys and those of its groups.
    keys: Vec<Address>,
    subjects: Vec<Subject>,
    /// None: every method that is not dangerous.
    methods: Option<Vec<Pattern>>,
    /// None: every destination.
    to: Option<Vec<Address>>,
    is_for_danger: bool,
    limits: Limits,
}

/// A checked policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    actors: Actors,
    groups: BTreeMap<String, Vec<Address>>,
    rules: Vec<Rule>,
    denies_keys_without_rules: bool,
    /// Hex; empty for a policy that came from no text.
    text_sha256: String,
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// All that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the policy has {} problem(s); correct each of them", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Why a policy file could not be used.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("could not read the policy `{path}`; check that it is there and readable")]
    Read { path: Utf8PathBuf, source: std::io::Error },
    #[error("the policy `{path}` has more than {FILE_BYTES_MAX} bytes")]
    TooLong { path: Utf8PathBuf },
    #[error("could not use the policy `{path}`: {source}")]
    Problems { path: Utf8PathBuf, source: Problems },
}

impl Policy {
    /// No rules: keys sign all that needs no rule.
    #[must_use]
    pub fn empty() -> Policy {
        Policy::default()
    }

    /// # Errors
    /// All problems of the text, each with its line.
    pub fn parse(text: &str, network: Network) -> Result<Policy, Problems> {
        let (mut policy, problems) = read::read(text, network);
        policy.text_sha256 = hex::encode(Sha256::digest(text));
        match problems.is_empty() {
            true => Ok(policy),
            false => Err(Problems(problems)),
        }
    }

    /// # Errors
    /// An unreadable file, or all problems of its text.
    pub fn load(path: &Utf8Path, network: Network) -> Result<Policy, LoadError> {
        let failed = |source| LoadError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(LoadError::TooLong { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Policy::parse(&text, network)
            .map_err(|source| LoadError::Problems { path: path.to_owned(), source })
    }

    /// The keys of a group; none if there is no such group.
    #[must_use]
    pub fn group(&self, name: &str) -> &[Address] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a rule says for which destinations it is.
    pub(crate) fn names_destinations(&self, rule: &str) -> bool {
        self.rules.iter().any(|known| known.id == rule && known.to.is_some())
    }

    /// The groups and how many keys each has.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &[Address])> {
        self.groups.iter().map(|(name, keys)| (name.as_str(), keys.as_slice()))
    }

    /// SHA-256 of the text that it was read from, hex; empty when there was none.
    #[must_use]
    pub fn text_sha256(&self) -> &str {
        &self.text_sha256
    }

    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }
}

/// All that is wrong with the text; empty for a policy that can be used.
#[must_use]
pub fn check(text: &str, network: Network) -> Vec<Problem> {
    read::read(text, network).1
}
