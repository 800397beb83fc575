//! **Purpose**: the three facts that a certificate states about its holder.

use std::fmt;
use std::str::FromStr;

use super::IdentityError;

/// What the holder of a certificate may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A pool node: takes part in replication, signs certificates.
    Node,
    /// A worker: opens a session and runs attempts.
    Executor,
    /// A user: submits jobs, sees its own.
    Client,
    /// An operator: sees and changes everything.
    Admin,
    /// A wallet: opens sessions in which it is asked for signatures.
    Wallet,
}

impl Role {
    /// All roles, in the order of their number on the wire.
    pub const ALL: [Role; 5] =
        [Role::Node, Role::Executor, Role::Client, Role::Admin, Role::Wallet];

    /// The word used on the wire, in certificates and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::Executor => "executor",
            Role::Client => "client",
            Role::Admin => "admin",
            Role::Wallet => "wallet",
        }
    }

    /// Whether it answers calls, and so needs a server's certificate.
    pub fn is_server(self) -> bool {
        matches!(self, Role::Node | Role::Executor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            IdentityError::BadName {
                what: "the role",
                value: text.to_owned(),
                rule: "it is one of node, executor, client, admin, wallet",
            }
        })
    }
}

/// Name, owner and role of a certificate's holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Unique in the cluster among holders of the role (CN).
    pub name: String,
    /// Whose jobs, sectors and executors these are (O).
    pub owner: String,
    /// What it may do (OU).
    pub role: Role,
}

impl Subject {
    /// A subject whose name and owner are fit for logs, file names and metrics.
    ///
    /// # Errors
    /// When either holds other characters than letters, digits, `.`, `_` and `-`, does not begin
    /// with a letter or digit, or is longer than 63.
    pub fn new(name: &str, owner: &str, role: Role) -> Result<Self, IdentityError> {
        check_name("the name", name)?;
        check_name("the owner", owner)?;
        Ok(Subject { name: name.to_owned(), owner: owner.to_owned(), role })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` of `{}`", self.role, self.name, self.owner)
    }
}

/// The rule that names and owners follow.
pub(crate) fn check_name(what: &'static str, value: &str) -> Result<(), IdentityError> {
    let first_fits = value.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest_fits =
        value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if first_fits && rest_fits && value.len() <= 63 {
        return Ok(());
    }
    Err(IdentityError::BadName {
        what,
        value: value.to_owned(),
        rule: "use 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_logs_or_paths_are_refused() {
        for good in ["a", "node-1", "A.b_c-9", &"x".repeat(63)] {
            assert!(Subject::new(good, "me", Role::Client).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a/b", "a b", "ä", "a\n", &"x".repeat(64)] {
            assert!(Subject::new(bad, "me", Role::Client).is_err(), "{bad:?}");
            assert!(Subject::new("me", bad, Role::Client).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn roles_are_read_back_from_their_words() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!(
            "root"
                .parse::<Role>()
                .unwrap_err()
                .to_string()
                .contains("node, executor, client, admin")
        );
    }
}
