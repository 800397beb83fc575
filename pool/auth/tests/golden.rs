//! The bytes of version 1, kept for ever: every command, reply and row encodes to the recorded bytes and
//! the recorded bytes decode to it. A new field or variant adds lines; a changed line means that stored
//! logs can no longer be read.

mod common;
use std::fmt::Debug;

use common::*;
use hesper_auth::*;

const RECORDED: &str = include_str!("golden/v1.txt");

#[derive(Default)]
struct Golden {
    lines: Vec<String>,
}

impl Golden {
    fn bytes<T: PartialEq + Debug>(
        &mut self,
        name: &str,
        value: &T,
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> T,
    ) {
        assert_eq!(&decode(bytes), value, "{name}");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.lines.push(format!("{name} {hex}"));
    }

    fn command(&mut self, name: &str, command: Command) {
        let decode = |bytes: &[u8]| Command::decode(bytes).expect("decodes");
        self.bytes(&format!("command.{name}"), &command, &command.encode(), decode);
    }

    fn reply(&mut self, name: &str, reply: Reply) {
        let decode = |bytes: &[u8]| Reply::decode(bytes).expect("decodes");
        self.bytes(&format!("reply.{name}"), &reply, &reply.encode(), decode);
    }

    fn row<T>(&mut self, name: &str, row: T)
    where
        T: PartialEq + Debug + minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let bytes = minicbor::to_vec(&row).expect("encodes");
        let decode = |bytes: &[u8]| minicbor::decode(bytes).expect("decodes");
        self.bytes(&format!("row.{name}"), &row, &bytes, decode);
    }
}

fn quota() -> Quota {
    Quota { jobs: Some(1), cores: Some(2), gpus: None, storage_bytes: Some(1 << 40) }
}

fn token() -> TokenRow {
    TokenRow {
        id: 5,
        name: "n".into(),
        user: "u".into(),
        permission: Permission::Sign,
        extra: "e".into(),
        kid: 2,
        created_ms: 3,
        expires_ms: Some(4_000),
        revoked: Some(Revoked { at_ms: 6, by: "b".into(), by_admin: true }),
        last_used_ms: Some(7),
    }
}

fn commands(golden: &mut Golden) {
    let (name, user) = (|| "n".to_owned(), || "u".to_owned());
    let signers = || vec![F1.to_owned()];
    golden.command("create_user", create_user("n"));
    let (comment, enabled) = (Some("c".to_owned()), Some(false));
    golden.command("update_user", Command::UpdateUser { name: name(), comment, enabled });
    golden.command("delete_user", delete_user("n"));
    golden.command("recover_user", recover_user("n"));
    golden.command("put_miner", put_miner(1_000, "u"));
    golden.command("delete_miner", Command::DeleteMiner { miner: 1_000 });
    let (register, unregister) = (signers(), signers());
    golden.command("register", Command::RegisterSigners { user: user(), signers: register });
    golden.command("unregister", Command::UnregisterSigners { user: user(), signers: unregister });
    golden.command("delete_signer", Command::DeleteSigner { signer: F410.into() });
    golden.command("create_token", create_token("u", Permission::Write, Some(9)));
    golden.command("revoke_token", Command::RevokeToken { id: 1 });
    golden.command("recover_token", Command::RecoverToken { id: 2 });
    golden.command("renew_token", Command::RenewToken { id: 3 });
    golden.command("add_secret", add_secret(4));
    golden.command("set_limit", set_limit(Some(5), "m", 6, 7));
    golden.command("remove_limit", Command::RemoveLimit { id: 8 });
    golden.command("set_quota", Command::SetQuota { user: user(), quota: quota() });
    let draw = Draw { node: 1, limit: 2, window: 3, sequence: 4, keep: 5, used: 4, want: 6 };
    golden.command("draw", Command::Draw(draw));
    let uses = vec![Use { token: 1, last_ms: 2 }];
    golden.command("record_uses", Command::RecordUses { node: 3, uses });
    let (who, action, subject, outcome) = ("w".into(), "a".into(), "s".into(), "o".into());
    golden.command("audit", Command::Audit { who, action, subject, outcome });
}

fn replies(golden: &mut Golden) {
    let share = Share { limit: 1, window: 2, sequence: 3, granted: 4, spare_elsewhere: 5 };
    golden.reply("done", Reply::Done);
    golden.reply("user_deleted", Reply::UserDeleted { tokens: 1, miners: 2, signers: 3 });
    golden.reply("miner_put", Reply::MinerPut { created: true });
    golden.reply("deleted", Reply::Deleted { existed: false });
    golden.reply("token", Reply::Token { token: token() });
    golden.reply("secret_added", Reply::SecretAdded { kid: 1 });
    golden.reply("limit_set", Reply::LimitSet { id: 2 });
    golden.reply("share", Reply::Share(share));
    golden.reply("uses_recorded", Reply::UsesRecorded { count: 3 });
    let (action, name) = (|| "a".to_owned(), || "n".to_owned());
    let (needed, has) = (Permission::Admin, Permission::Read);
    let refusals = [
        Rejected::MissingPermission { action: action(), needed, has },
        Rejected::NotYours { action: action(), has },
        Rejected::NotANode { action: action() },
        Rejected::NoSuchUser { name: name() },
        Rejected::UserExists { name: name() },
        Rejected::UserDeleted { name: name() },
        Rejected::UserNotDeleted { name: name() },
        Rejected::Invalid { message: "m".into() },
        Rejected::NoSuchToken { id: 1 },
        Rejected::TokenRevoked { id: 2 },
        Rejected::TokenNotRevoked { id: 3 },
        Rejected::TokenExpired { id: 4 },
        Rejected::NoSecret,
        Rejected::NoSuchLimit { id: 5 },
        Rejected::LimitExists { id: 6 },
        Rejected::Full { what: "w".into(), max: 7 },
        Rejected::StaleShare(share),
        Rejected::OtherWindow { limit: 8, window: 9 },
        Rejected::UsesTooOften { retry_at_ms: 10 },
        Rejected::ActorHeld { name: name() },
    ];
    for (number, rejected) in refusals.into_iter().enumerate() {
        assert!(!rejected.to_string().is_empty());
        golden.reply(&format!("rejected.{number}"), Reply::Rejected(rejected));
    }
}

fn rows(golden: &mut Golden) {
    let (comment, user) = ("c".to_owned(), || "u".to_owned());
    let deleted_ms = Some(3);
    let (created_ms, updated_ms) = (1, 2);
    let enabled = true;
    golden
        .row("user", User { comment, enabled, created_ms, updated_ms, deleted_ms, quota: quota() });
    let open_mining = true;
    golden.row("miner", Miner { user: user(), open_mining, created_ms, updated_ms, deleted_ms });
    golden.row("signer", Signer { created_ms, updated_ms, deleted_ms });
    golden.row("token", token());
    golden.row("secret", Secret { sealed: vec![1, 2], created_ms, valid_until_ms: Some(9) });
    let limit = Limit {
        user: user(),
        service: "s".into(),
        method: "m".into(),
        cap: 1,
        window_ms: 2,
        updated_ms: 3,
        changed_window: 4,
        changed_from: 5,
    };
    golden.row("limit", limit);
    golden.row("share", ShareRow { window: 1, sequence: 2, granted: 4, used: 3 });
    golden.row("node", NodeRow { uses_recorded_ms: 1 });
    let audit = AuditRow {
        at_ms: 1,
        who: "w".into(),
        user: user(),
        action: "a".into(),
        subject: "s".into(),
        outcome: "o".into(),
        count: 2,
        last_ms: 3,
    };
    golden.row("audit", audit);
    golden.row("meta", Meta { next_token: 1, next_kid: 2, next_limit: 3, next_audit: 4 });
}

#[test]
fn stored_bytes_never_change() {
    let mut golden = Golden::default();
    commands(&mut golden);
    replies(&mut golden);
    rows(&mut golden);
    let made = golden.lines.join("\n");
    assert!(made == RECORDED.trim_end(), "recorded bytes differ; made now:\n{made}");
}
