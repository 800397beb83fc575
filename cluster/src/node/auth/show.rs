//! **Purpose**: rows of auth as they go over the wire.

use hesper_auth as model;
use hesper_protos::auth as wire;

use crate::node::machine::ClusterMachine;

/// `enabled`, `disabled` or `deleted`.
pub fn user_state(user: &model::User) -> &'static str {
    match (user.deleted_ms, user.enabled) {
        (Some(_), _) => "deleted",
        (None, true) => "enabled",
        (None, false) => "disabled",
    }
}

pub fn user(name: &str, user: &model::User) -> wire::User {
    wire::User {
        name: name.to_owned(),
        comment: user.comment.clone(),
        state: user_state(user).to_owned(),
        created_at_ms: user.created_ms,
        updated_at_ms: user.updated_ms,
        deleted_at_ms: user.deleted_ms.unwrap_or(0),
    }
}

pub fn miner(id: u64, miner: &model::Miner) -> wire::Miner {
    wire::Miner {
        miner: id,
        user: miner.user.clone(),
        open_mining: miner.open_mining,
        created_at_ms: miner.created_ms,
        updated_at_ms: miner.updated_ms,
    }
}

pub fn signer(address: &str, user: &str, signer: &model::Signer) -> wire::Signer {
    wire::Signer {
        signer: address.to_owned(),
        user: user.to_owned(),
        created_at_ms: signer.created_ms,
    }
}

pub fn token(row: &model::TokenRow, now_ms: u64) -> wire::Token {
    let state = if row.revoked.is_some() {
        "revoked"
    } else if row.is_expired(now_ms) {
        "expired"
    } else {
        "valid"
    };
    wire::Token {
        token: row.id,
        name: row.name.clone(),
        user: row.user.clone(),
        permission: row.permission.word().to_owned(),
        created_at_ms: row.created_ms,
        expires_at_ms: row.expires_ms.unwrap_or(0),
        state: state.to_owned(),
        last_used_at_ms: row.last_used_ms.unwrap_or(0),
        secret: row.kid,
        revoked_by: row.revoked.as_ref().map(|revoked| revoked.by.clone()).unwrap_or_default(),
    }
}

pub fn limit(id: u64, limit: &model::Limit) -> wire::Limit {
    wire::Limit {
        limit: id,
        user: limit.user.clone(),
        service: limit.service.clone(),
        method: limit.method.clone(),
        cap: limit.cap,
        window_ms: limit.window_ms,
    }
}

/// The quota of a user beside what is in use.
pub fn quota(machine: &ClusterMachine, name: &str, user: &model::User) -> wire::UserQuota {
    let used = machine.scheduler.owner_usage(name);
    wire::UserQuota {
        user: name.to_owned(),
        quota: Some(wire::Quota {
            jobs: user.quota.jobs,
            cores: user.quota.cores,
            gpus: user.quota.gpus,
            storage_bytes: user.quota.storage_bytes,
        }),
        jobs: used.jobs,
        cores: used.cores,
        gpus: used.gpus,
        storage_bytes: used.storage_bytes(),
        held: user.is_held(),
    }
}

pub fn audit(number: u64, row: &model::AuditRow) -> wire::AuditRow {
    wire::AuditRow {
        number,
        at_ms: row.at_ms,
        who: row.who.clone(),
        user: row.user.clone(),
        action: row.action.clone(),
        subject: row.subject.clone(),
        outcome: row.outcome.clone(),
        count: row.count,
        last_ms: row.last_ms,
    }
}
