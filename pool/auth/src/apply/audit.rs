//! **Purpose**: who did what, when, with which outcome.
//!
//! **Invariants**
//! - Every command but draws and uses leaves a trace, refused ones too.
//! - The ring is bounded; equal acts in a row are counted in one row, and a full ring gives up the oldest
//!   row of whoever caused most of them, so that nobody pushes the traces of others out.

use super::Step;
use crate::command::Command;
use crate::model::AuditRow;
use crate::names::shortened;
use crate::reply::{Rejected, Reply};
use crate::tables;

/// What the audit says of a command.
pub(super) struct Entry {
    action: &'static str,
    subject: String,
}

pub(super) fn entry(command: &Command) -> Option<Entry> {
    let (action, subject) = match command {
        Command::CreateUser { name, .. } => ("user create", shortened(name)),
        Command::UpdateUser { name, enabled: Some(true), .. } => ("user enable", shortened(name)),
        Command::UpdateUser { name, enabled: Some(false), .. } => ("user disable", shortened(name)),
        Command::UpdateUser { name, enabled: None, .. } => ("user update", shortened(name)),
        Command::DeleteUser { name } => ("user delete", shortened(name)),
        Command::RecoverUser { name } => ("user recover", shortened(name)),
        Command::PutMiner { miner, user, .. } => {
            ("miner add", format!("f0{miner} to {}", shortened(user)))
        }
        Command::DeleteMiner { miner } => ("miner delete", format!("f0{miner}")),
        Command::RegisterSigners { user, signers } => {
            ("signer register", listed(signers, &format!("to {}", shortened(user))))
        }
        Command::UnregisterSigners { user, signers } => {
            ("signer unregister", listed(signers, &format!("from {}", shortened(user))))
        }
        Command::DeleteSigner { signer } => ("signer delete", shortened(signer)),
        Command::CreateToken { user, permission, .. } => {
            ("token create", format!("{permission} for {}", shortened(user)))
        }
        Command::RevokeToken { id } => ("token revoke", id.to_string()),
        Command::RecoverToken { id } => ("token recover", id.to_string()),
        Command::RenewToken { id } => ("token renew", id.to_string()),
        Command::AddSecret { .. } => ("secret rotate", String::new()),
        Command::SetLimit { user, cap, window_ms, .. } => {
            ("limit set", format!("{cap} in {window_ms} ms for {}", shortened(user)))
        }
        Command::RemoveLimit { id } => ("limit remove", id.to_string()),
        Command::SetQuota { user, .. } => ("quota set", shortened(user)),
        Command::Draw(_) | Command::RecordUses { .. } | Command::Audit { .. } => return None,
    };
    Some(Entry { action, subject })
}

fn listed(signers: &[String], where_to: &str) -> String {
    match signers {
        [one] => format!("{} {where_to}", shortened(one)),
        _ => format!("{} addresses {where_to}", signers.len()),
    }
}

impl Step<'_, '_> {
    pub(super) fn record(&mut self, entry: Entry, result: &Result<Reply, Rejected>) {
        let outcome = match result {
            Ok(Reply::Token { token }) => format!("done: token {}", token.id),
            Ok(Reply::SecretAdded { kid }) => format!("done: secret {kid}"),
            Ok(Reply::LimitSet { id }) => format!("done: limit {id}"),
            Ok(_) => "done".to_owned(),
            Err(rejected) => format!("refused: {}", rejected.stored()),
        };
        let actor = self.context.actor;
        self.write(AuditRow {
            at_ms: self.context.now_ms,
            who: bounded(&actor.name),
            user: bounded(&actor.user),
            action: entry.action.to_owned(),
            subject: entry.subject,
            outcome: bounded(&outcome),
            count: 1,
            last_ms: self.context.now_ms,
        });
    }

    pub(super) fn record_foreign(&mut self, who: &str, action: &str, subject: &str, outcome: &str) {
        self.write(AuditRow {
            at_ms: self.context.now_ms,
            who: bounded(who),
            user: String::new(),
            action: bounded(action),
            subject: bounded(subject),
            outcome: bounded(outcome),
            count: 1,
            last_ms: self.context.now_ms,
        });
    }

    fn write(&mut self, row: AuditRow) {
        if let Some((&number, last)) = self.state.audit.last_key_value()
            && is_repeat(last, &row)
        {
            let again = AuditRow { count: last.count + 1, last_ms: row.at_ms, ..last.clone() };
            return self.state.put_audit(number, again, self.put);
        }
        let number = self.state.meta.next_audit;
        self.state.meta.next_audit += 1;
        self.state.put_audit(number, row, self.put);
        let rows = u64::try_from(self.state.audit.len()).unwrap_or(u64::MAX);
        if rows > tables::AUDIT_MAX
            && let Some(spare) = self.state.index.spare_audit()
        {
            self.state.drop_audit(spare, self.put);
        }
    }
}

fn is_repeat(last: &AuditRow, row: &AuditRow) -> bool {
    (&last.who, &last.user, &last.action, &last.subject, &last.outcome)
        == (&row.who, &row.user, &row.action, &row.subject, &row.outcome)
}

fn bounded(text: &str) -> String {
    let max = text.len().min(tables::TEXT_BYTES_MAX);
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}
