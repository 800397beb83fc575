//! **Purpose**: users, miners, signers, tokens, limits and quotas, as commands print them.

use hesper_protos::auth as wire;
use serde::Serialize;

use super::{or_dash, pairs};
use crate::output::Align::{Left, Right};
use crate::output::{Show, Table};
use crate::values::{format_duration, format_miner, format_size, format_time};

fn time_or_dash(at_ms: u64) -> String {
    if at_ms == 0 { "-".to_owned() } else { format_time(at_ms) }
}

fn number_or_dash(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Who a command is run as.
#[derive(Clone, Debug, Serialize)]
pub struct Caller {
    /// For logs and audit.
    pub name: String,
    /// Whose things these are.
    pub user: String,
    /// Of the certificate.
    pub role: String,
    /// `read`, `write`, `sign` or `admin`.
    pub permission: String,
    /// Number of the token, or 0.
    pub token: u64,
}

impl From<wire::Caller> for Caller {
    fn from(wire: wire::Caller) -> Self {
        let wire::Caller { name, user, role, permission, token, extra: _ } = wire;
        Caller { name, user, role, permission, token }
    }
}

impl Show for Caller {
    fn text(&self) -> String {
        let token = if self.token == 0 { "none".to_owned() } else { self.token.to_string() };
        pairs(&[
            ("name", self.name.clone()),
            ("user", or_dash(&self.user)),
            ("role", self.role.clone()),
            ("permission", self.permission.clone()),
            ("token", token),
        ])
    }
}

/// Users.
#[derive(Clone, Debug, Serialize)]
pub struct Users {
    /// By name.
    pub users: Vec<User>,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// What somebody noted.
    pub comment: String,
    /// `enabled`, `disabled` or `deleted`.
    pub state: String,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it was last changed.
    pub updated_at_ms: u64,
    /// When it was deleted, or 0.
    pub deleted_at_ms: u64,
}

impl From<wire::User> for User {
    fn from(wire: wire::User) -> Self {
        let wire::User { name, comment, state, created_at_ms, updated_at_ms, deleted_at_ms } = wire;
        User { name, comment, state, created_at_ms, updated_at_ms, deleted_at_ms }
    }
}

impl Show for User {
    fn text(&self) -> String {
        pairs(&[
            ("user", self.name.clone()),
            ("state", self.state.clone()),
            ("comment", or_dash(&self.comment)),
            ("created", time_or_dash(self.created_at_ms)),
            ("updated", time_or_dash(self.updated_at_ms)),
        ])
    }
}

impl Show for Users {
    fn text(&self) -> String {
        let mut table =
            Table::new(&[("USER", Left), ("STATE", Left), ("CREATED", Left), ("COMMENT", Left)]);
        for user in &self.users {
            table.row([
                user.name.clone(),
                user.state.clone(),
                time_or_dash(user.created_at_ms),
                user.comment.clone(),
            ]);
        }
        table.render()
    }
}

/// What went with a deleted user.
#[derive(Clone, Debug, Serialize)]
pub struct UserDeleted {
    /// Its name.
    pub name: String,
    /// Tokens that were revoked.
    pub tokens: u32,
    /// Miners that were taken from it.
    pub miners: u32,
    /// Signers that were taken from it.
    pub signers: u32,
}

impl Show for UserDeleted {
    fn text(&self) -> String {
        format!(
            "user {} is deleted, with {} tokens, {} miners and {} signers\n",
            self.name, self.tokens, self.miners, self.signers
        )
    }
}

/// Miners.
#[derive(Clone, Debug, Serialize)]
pub struct Miners {
    /// By number.
    pub miners: Vec<Miner>,
}

/// A miner and its user.
#[derive(Clone, Debug, Serialize)]
pub struct Miner {
    /// `f0...`.
    pub miner: String,
    /// Whose it is.
    pub user: String,
    /// Whether blocks are produced for it.
    pub open_mining: bool,
    /// When it was given to a user first.
    pub created_at_ms: u64,
}

impl From<wire::Miner> for Miner {
    fn from(wire: wire::Miner) -> Self {
        Miner {
            miner: format_miner(wire.miner),
            user: wire.user,
            open_mining: wire.open_mining,
            created_at_ms: wire.created_at_ms,
        }
    }
}

impl Show for Miners {
    fn text(&self) -> String {
        let mut table =
            Table::new(&[("MINER", Left), ("USER", Left), ("BLOCKS", Left), ("ADDED", Left)]);
        for miner in &self.miners {
            table.row([
                miner.miner.clone(),
                miner.user.clone(),
                if miner.open_mining { "yes" } else { "no" }.to_owned(),
                time_or_dash(miner.created_at_ms),
            ]);
        }
        table.render()
    }
}

/// Signers.
#[derive(Clone, Debug, Serialize)]
pub struct Signers {
    /// By address.
    pub signers: Vec<Signer>,
}

/// That a user may have messages signed by an address.
#[derive(Clone, Debug, Serialize)]
pub struct Signer {
    /// The address.
    pub signer: String,
    /// The user.
    pub user: String,
    /// Since when.
    pub created_at_ms: u64,
}

impl From<wire::Signer> for Signer {
    fn from(wire: wire::Signer) -> Self {
        let wire::Signer { signer, user, created_at_ms } = wire;
        Signer { signer, user, created_at_ms }
    }
}

impl Show for Signers {
    fn text(&self) -> String {
        let mut table = Table::new(&[("SIGNER", Left), ("USER", Left), ("REGISTERED", Left)]);
        for signer in &self.signers {
            table.row([
                signer.signer.clone(),
                signer.user.clone(),
                time_or_dash(signer.created_at_ms),
            ]);
        }
        table.render()
    }
}

/// A token's text, printed once.
#[derive(Clone, Debug, Serialize)]
pub struct TokenText {
    /// Its number.
    pub id: u64,
    /// What goes into a header or a file.
    pub token: String,
    /// When it ends, or 0.
    pub expires_at_ms: u64,
}

impl Show for TokenText {
    fn text(&self) -> String {
        format!("{}\n", self.token)
    }
}

/// Tokens.
#[derive(Clone, Debug, Serialize)]
pub struct AuthTokens {
    /// By number.
    pub tokens: Vec<AuthToken>,
}

/// A token, without its text.
#[derive(Clone, Debug, Serialize)]
pub struct AuthToken {
    /// Its number.
    pub id: u64,
    /// A label.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// `read`, `write`, `sign` or `admin`.
    pub permission: String,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it ends, or 0.
    pub expires_at_ms: u64,
    /// When it was last used, some minutes late, or 0.
    pub last_used_at_ms: u64,
    /// The secret that signs it.
    pub secret: u64,
    /// Who revoked it.
    pub revoked_by: String,
}

impl From<wire::Token> for AuthToken {
    fn from(wire: wire::Token) -> Self {
        AuthToken {
            id: wire.token,
            name: wire.name,
            user: wire.user,
            permission: wire.permission,
            state: wire.state,
            created_at_ms: wire.created_at_ms,
            expires_at_ms: wire.expires_at_ms,
            last_used_at_ms: wire.last_used_at_ms,
            secret: wire.secret,
            revoked_by: wire.revoked_by,
        }
    }
}

impl Show for AuthTokens {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("TOKEN", Right),
            ("USER", Left),
            ("NAME", Left),
            ("PERMISSION", Left),
            ("STATE", Left),
            ("EXPIRES", Left),
            ("LAST USED", Left),
            ("SECRET", Right),
        ]);
        for token in &self.tokens {
            table.row([
                token.id.to_string(),
                token.user.clone(),
                or_dash(&token.name),
                token.permission.clone(),
                token.state.clone(),
                time_or_dash(token.expires_at_ms),
                time_or_dash(token.last_used_at_ms),
                token.secret.to_string(),
            ]);
        }
        table.render()
    }
}

/// Rate limits.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    /// By number.
    pub limits: Vec<Limit>,
}

/// At most `cap` changes in each window.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// Its number.
    pub id: u64,
    /// Whose calls.
    pub user: String,
    /// Of which service; empty: all.
    pub service: String,
    /// Which method; empty: all.
    pub method: String,
    /// How many.
    pub cap: u64,
    /// In which time.
    pub window_ms: u64,
}

impl From<wire::Limit> for Limit {
    fn from(wire: wire::Limit) -> Self {
        let wire::Limit { limit, user, service, method, cap, window_ms } = wire;
        Limit { id: limit, user, service, method, cap, window_ms }
    }
}

impl Show for Limits {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("LIMIT", Right),
            ("USER", Left),
            ("SERVICE", Left),
            ("METHOD", Left),
            ("CALLS", Right),
            ("IN", Left),
        ]);
        let or_all = |text: &str| if text.is_empty() { "all".to_owned() } else { text.to_owned() };
        for limit in &self.limits {
            table.row([
                limit.id.to_string(),
                limit.user.clone(),
                or_all(&limit.service),
                or_all(&limit.method),
                limit.cap.to_string(),
                format_duration(std::time::Duration::from_millis(limit.window_ms)),
            ]);
        }
        table.render()
    }
}

/// Quotas and what is in use.
#[derive(Clone, Debug, Serialize)]
pub struct Quotas {
    /// By user.
    pub quotas: Vec<UserQuota>,
}

/// The quota of a user; an absent number bounds nothing.
#[derive(Clone, Debug, Serialize)]
pub struct UserQuota {
    /// The user.
    pub user: String,
    /// Jobs that have not ended.
    pub jobs: u64,
    /// At most so many.
    pub jobs_max: Option<u64>,
    /// Cores of running leases.
    pub cores: u64,
    /// At most so many.
    pub cores_max: Option<u64>,
    /// GPUs of running leases.
    pub gpus: u64,
    /// At most so many.
    pub gpus_max: Option<u64>,
    /// Bytes of sectors and those reserved by running leases.
    pub storage_bytes: u64,
    /// At most so many.
    pub storage_bytes_max: Option<u64>,
    /// The user is disabled: nothing new starts.
    pub held: bool,
}

impl From<wire::UserQuota> for UserQuota {
    fn from(wire: wire::UserQuota) -> Self {
        let quota = wire.quota.unwrap_or_default();
        UserQuota {
            user: wire.user,
            jobs: wire.jobs,
            jobs_max: quota.jobs,
            cores: wire.cores,
            cores_max: quota.cores,
            gpus: wire.gpus,
            gpus_max: quota.gpus,
            storage_bytes: wire.storage_bytes,
            storage_bytes_max: quota.storage_bytes,
            held: wire.held,
        }
    }
}

impl Show for Quotas {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("USER", Left),
            ("JOBS", Right),
            ("CORES", Right),
            ("GPUS", Right),
            ("STORAGE", Right),
            ("NOTE", Left),
        ]);
        let of = |used: u64, max: Option<u64>| format!("{used}/{}", number_or_dash(max));
        for quota in &self.quotas {
            let storage_max = quota.storage_bytes_max.map_or_else(|| "-".to_owned(), format_size);
            table.row([
                quota.user.clone(),
                of(quota.jobs, quota.jobs_max),
                of(quota.cores, quota.cores_max),
                of(quota.gpus, quota.gpus_max),
                format!("{}/{storage_max}", format_size(quota.storage_bytes)),
                if quota.held { "disabled: nothing new starts" } else { "" }.to_owned(),
            ]);
        }
        table.render()
    }
}

/// Privileged acts.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// The newest first.
    pub rows: Vec<AuditRow>,
}

/// A privileged act.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRow {
    /// Its number.
    pub number: u64,
    /// When it happened first.
    pub at_ms: u64,
    /// Who did it.
    pub who: String,
    /// As which user.
    pub user: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// `done`, or why not.
    pub outcome: String,
    /// How often it happened in a row.
    pub count: u64,
    /// When it happened last.
    pub last_ms: u64,
}

impl From<wire::AuditRow> for AuditRow {
    fn from(wire: wire::AuditRow) -> Self {
        AuditRow {
            number: wire.number,
            at_ms: wire.at_ms,
            who: wire.who,
            user: wire.user,
            action: wire.action,
            subject: wire.subject,
            outcome: wire.outcome,
            count: wire.count,
            last_ms: wire.last_ms,
        }
    }
}

impl Show for Audit {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("NUMBER", Right),
            ("LAST", Left),
            ("TIMES", Right),
            ("WHO", Left),
            ("ACTION", Left),
            ("SUBJECT", Left),
            ("OUTCOME", Left),
        ]);
        for row in &self.rows {
            table.row([
                row.number.to_string(),
                time_or_dash(row.last_ms.max(row.at_ms)),
                row.count.to_string(),
                row.who.clone(),
                row.action.clone(),
                row.subject.clone(),
                row.outcome.clone(),
            ]);
        }
        table.render()
    }
}
