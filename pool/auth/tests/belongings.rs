//! Users, miners and signers: who may change them, and what goes with a user.

mod common;
use common::*;
use hesper_auth::*;

#[test]
fn a_user_is_disabled_deleted_and_recovered() {
    let mut machine = Machine::founded();
    let held = |applied: &Applied| {
        applied.effects.owner_limits.iter().map(|limits| limits.held).collect::<Vec<_>>()
    };
    let disabled = machine.done(enable("acme", false));
    assert_eq!(held(&disabled), [true]);
    assert_eq!(machine.state.standing("acme"), Standing::Disabled);
    let again = machine.done(enable("acme", false));
    assert!(again.effects.owner_limits.is_empty(), "nothing changed");
    let deleted = machine.done(delete_user("acme"));
    assert_eq!(held(&deleted), [true]);
    assert_eq!(machine.state.standing("acme"), Standing::Deleted);
    let recovered = machine.done(recover_user("acme"));
    assert_eq!(held(&recovered), [true], "it was disabled before, so it still is");
    assert_eq!(held(&machine.done(enable("acme", true))), [false]);
    assert_eq!(machine.state.standing("acme"), Standing::Enabled);
    assert_eq!(machine.state.standing("nobody"), Standing::Unknown);
}

#[test]
fn a_deleted_user_takes_tokens_miners_and_signers_along() {
    let mut machine = Machine::founded();
    machine.done(put_miner(1234, "acme"));
    machine.done(register("acme", &[F1, F410]));
    machine.done(register("rival", &[F1]));
    let token = machine.token("acme", Permission::Sign, None);
    let kept = machine.token("rival", Permission::Sign, None);
    let deleted = machine.done(delete_user("acme"));
    assert_eq!(deleted.reply, Reply::UserDeleted { tokens: 1, miners: 1, signers: 2 });
    assert_eq!(deleted.effects.revoked_tokens, [token.id]);
    assert!(machine.state.miner(1234).is_none());
    assert_eq!(machine.state.miners_of("acme").count(), 0);
    assert_eq!(machine.state.users_of_signer(F1).collect::<Vec<_>>(), ["rival"]);
    assert!(machine.state.token(kept.id).is_some_and(|row| row.revoked.is_none()));

    machine.done(recover_user("acme"));
    assert!(machine.state.miner(1234).is_none(), "only the user comes back");
    assert!(machine.state.token(token.id).is_some_and(|row| row.revoked.is_some()));
    machine.done(put_miner(1234, "acme"));
    machine.done(Command::RecoverToken { id: token.id });
    assert_eq!(machine.state.miners_of("acme").count(), 1);
}

#[test]
fn users_that_do_not_fit_are_refused() {
    let mut machine = Machine::founded();
    assert_eq!(machine.rejected(create_user("acme")).kind(), Kind::Exists);
    assert!(machine.rejected(create_user("a b")).to_string().contains("`a b` is no name"));
    assert_eq!(machine.rejected(create_user("")).kind(), Kind::Invalid);
    assert_eq!(machine.rejected(enable("nobody", true)).kind(), Kind::NotFound);
    assert_eq!(machine.rejected(recover_user("acme")).kind(), Kind::NotNow);
    assert_eq!(machine.rejected(recover_user("nobody")).kind(), Kind::NotFound);
    machine.done(delete_user("acme"));
    let refused = machine.rejected(create_user("acme"));
    assert!(refused.to_string().contains("recover it first"), "{refused}");
    assert_eq!(machine.rejected(delete_user("acme")).kind(), Kind::NotNow);
    assert_eq!(machine.rejected(put_miner(1, "acme")).kind(), Kind::NotNow);
    assert_eq!(machine.rejected(put_miner(1, "nobody")).kind(), Kind::NotFound);
    let long = "x".repeat(tables::TEXT_BYTES_MAX + 1);
    let wordy = Command::CreateUser { name: "b".into(), comment: long, enabled: true };
    assert_eq!(machine.rejected(wordy).kind(), Kind::Invalid);
}

#[test]
fn every_command_names_the_permission_that_is_missing() {
    let text = || "acme".to_owned();
    let commands = vec![
        create_user("new"),
        enable("acme", false),
        delete_user("acme"),
        recover_user("acme"),
        put_miner(1, "acme"),
        register("acme", &[F1]),
        create_token("acme", Permission::Read, None),
        add_secret(0),
        set_limit(None, "", 1, 1_000),
        Command::RemoveLimit { id: 1 },
        Command::SetQuota { user: text(), quota: Quota::default() },
    ];
    for command in commands {
        let mut machine = Machine::founded();
        let before = machine.state.clone();
        let actor = Actor::of("acme", Permission::Sign);
        let refused = machine.rejected_as(&actor, command.clone());
        assert_eq!(refused.kind(), Kind::Denied, "{command:?}");
        let message = refused.to_string();
        assert!(message.contains("permission `admin`, you have `sign`"), "{message}");
        assert!(machine.state.users().eq(before.users()), "{command:?}");
        assert_eq!(machine.state.current_kid(), before.current_kid());
    }
}

#[test]
fn a_held_user_does_nothing_even_as_administrator() {
    let mut machine = Machine::founded();
    let actor = Actor::of("acme", Permission::Admin);
    assert_eq!(machine.reply_as(&actor, create_user("new")), Reply::Done);
    for hold in [enable("acme", false), delete_user("acme")] {
        machine.done(hold);
        let refused = machine.rejected_as(&actor, delete_user("rival"));
        assert_eq!(refused, Rejected::ActorHeld { name: "acme".into() });
        assert_eq!(refused.kind(), Kind::Denied);
        assert_eq!(machine.state.standing("rival"), Standing::Enabled);
    }
}

#[test]
fn only_nodes_draw_record_and_audit() {
    let mut machine = Machine::founded();
    let limit = machine.limit(5, 1_000);
    let draw = Draw { node: 1, limit, window: 1_000, sequence: 1, keep: 0, used: 0, want: 1 };
    let commands = [
        Command::Draw(draw),
        Command::RecordUses { node: 1, uses: Vec::new() },
        Command::Audit {
            who: "x".into(),
            action: "a".into(),
            subject: String::new(),
            outcome: "done".into(),
        },
    ];
    for command in commands {
        let admin = Actor::admin("root");
        let refused = machine.rejected_as(&admin, command.clone());
        assert!(refused.to_string().contains("only pool nodes"), "{refused}");
        assert!(!matches!(machine.reply_as(&Actor::node("n"), command), Reply::Rejected(_)));
    }
}

#[test]
fn a_miner_belongs_to_one_user() {
    let mut machine = Machine::founded();
    assert_eq!(machine.reply(put_miner(7, "acme")), Reply::MinerPut { created: true });
    assert_eq!(machine.reply(put_miner(7, "rival")), Reply::MinerPut { created: false });
    assert_eq!(machine.state.miners_of("acme").count(), 0);
    assert_eq!(machine.state.miner(7).map(|row| row.user.as_str()), Some("rival"));
    let huge = machine.rejected(put_miner(1 << 63, "acme"));
    assert!(huge.to_string().contains("63 bits"), "{huge}");
}

#[test]
fn an_owner_deletes_only_own_miners_and_signers() {
    let mut machine = Machine::founded();
    machine.done(put_miner(7, "acme"));
    machine.done(register("acme", &[F1]));
    machine.done(register("rival", &[F1]));
    let (owner, rival) =
        (Actor::of("acme", Permission::Write), Actor::of("rival", Permission::Write));
    let reader = Actor::of("acme", Permission::Read);
    let delete = Command::DeleteMiner { miner: 7 };
    assert!(matches!(
        machine.rejected_as(&rival, delete.clone()),
        Rejected::NotYours { has: Permission::Write, .. }
    ));
    assert!(matches!(
        machine.rejected_as(&reader, delete.clone()),
        Rejected::MissingPermission { needed: Permission::Write, .. }
    ));
    // Whether a foreign miner exists is nobody's business.
    let unknown = machine.rejected_as(&rival, Command::DeleteMiner { miner: 8 });
    assert!(matches!(unknown, Rejected::NotYours { .. }));
    assert_eq!(machine.reply_as(&owner, delete.clone()), Reply::Deleted { existed: true });
    assert_eq!(machine.reply(delete), Reply::Deleted { existed: false });

    let signers = vec![F1.to_owned()];
    let foreign = Command::UnregisterSigners { user: "rival".into(), signers: signers.clone() };
    assert!(matches!(machine.rejected_as(&owner, foreign), Rejected::NotYours { .. }));
    let delete = Command::DeleteSigner { signer: F1.into() };
    assert_eq!(machine.reply_as(&owner, delete.clone()), Reply::Deleted { existed: true });
    assert_eq!(machine.state.users_of_signer(F1).collect::<Vec<_>>(), ["rival"]);
    let own = Command::UnregisterSigners { user: "acme".into(), signers };
    assert_eq!(machine.reply_as(&owner, own), Reply::Deleted { existed: false });
    machine.done(delete);
    assert_eq!(machine.state.users_of_signer(F1).count(), 0, "an administrator deletes all");
}

#[test]
fn signers_have_one_text_and_a_key() {
    let mut machine = Machine::founded();
    machine.done(register("acme", &[&F1.replacen('f', "t", 1), F1, F410]));
    let texts: Vec<_> = machine.state.signers_of("acme").map(|(text, _)| text).collect();
    assert_eq!(texts, [F1, F410]);
    assert!(machine.state.is_signer_of(F1, "acme"));
    assert!(!machine.state.is_signer_of(F1, "rival"));
    for bad in ["f01234", "f2m4f2dv7m35skytoqzsyrh5wqz3kxxfflxsha5za", "f5aa", "", "f1"] {
        let refused = machine.rejected(register("acme", &[F1_OTHER, bad]));
        assert_eq!(refused.kind(), Kind::Invalid, "{bad}");
        assert!(!machine.state.is_signer_of(F1_OTHER, "acme"), "all or nothing");
    }
    assert_eq!(machine.rejected(register("acme", &[])).kind(), Kind::Invalid);
}

#[test]
fn a_full_user_is_refused_and_deleted_miners_make_room() {
    let mut machine = Machine::founded();
    let max = u64::try_from(tables::MINERS_MAX_PER_USER).expect("small");
    for miner in 0..max {
        machine.done(put_miner(miner, "acme"));
    }
    assert_eq!(machine.rejected(put_miner(max, "acme")).kind(), Kind::Full);
    machine.done(put_miner(3, "acme"));
    machine.done(Command::DeleteMiner { miner: 5 });
    machine.done(put_miner(max, "acme"));
    assert_eq!(machine.state.miners_of("acme").count(), tables::MINERS_MAX_PER_USER);
}

#[test]
fn quotas_reach_the_scheduler_with_the_same_command() {
    let mut machine = Machine::founded();
    let quota = Quota { jobs: Some(3), gpus: Some(1), ..Quota::default() };
    let applied = machine.done(Command::SetQuota { user: "acme".into(), quota });
    let expected = OwnerLimits { user: "acme".into(), quota, held: false };
    assert_eq!(applied.effects.owner_limits, [expected]);
    assert_eq!(machine.state.user("acme").map(|user| user.quota), Some(quota));
    let unknown = Command::SetQuota { user: "nobody".into(), quota };
    assert_eq!(machine.rejected(unknown).kind(), Kind::NotFound);
}

#[test]
fn acts_are_audited_refused_ones_too_and_the_ring_is_bounded() {
    let mut machine = Machine::founded();
    let actor = Actor::of("rival", Permission::Read);
    for _ in 0..5 {
        machine.now_ms += 10;
        let _ = machine.rejected_as(&actor, delete_user("acme"));
    }
    let newest = machine.state.audit(None, 1);
    let (number, row) = newest[0];
    assert_eq!((row.who.as_str(), row.action.as_str()), ("rival", "user delete"));
    assert_eq!((row.subject.as_str(), row.count), ("acme", 5), "repeats share a row");
    assert_eq!(row.last_ms, row.at_ms + 40);
    // Stored text: nodes of two versions must write the same.
    assert_eq!(row.outcome, "refused: needs `admin`");
    assert!(machine.state.audit(Some(number), 100).iter().all(|(older, _)| *older < number));

    for number in 0..tables::AUDIT_MAX + 5 {
        let subject = number.to_string();
        let (who, action, outcome) = ("w".to_owned(), "unseal".to_owned(), "done".to_owned());
        let act = Command::Audit { who, action, subject, outcome };
        machine.index += 1;
        let actor = Actor::node("n");
        let context = Context { now_ms: machine.now_ms, index: machine.index, actor: &actor };
        let rows = &mut machine.rows;
        machine.state.apply(&context, act, &mut |table, key, row| {
            match row {
                Some(row) => rows.insert((table, key.to_vec()), row),
                None => rows.remove(&(table, key.to_vec())),
            };
        });
    }
    let all = machine.state.audit(None, usize::MAX);
    assert_eq!(u64::try_from(all.len()), Ok(tables::AUDIT_MAX));
    assert_eq!(all[0].1.subject, (tables::AUDIT_MAX + 4).to_string());
    assert_eq!(machine.state.validate(), Ok(()));
    assert!(machine.reloaded() == machine.state);
}

/// Somebody who may do little tries many different things.
#[test]
fn nobody_pushes_the_traces_of_others_out_of_the_audit() {
    let mut machine = Machine::founded();
    machine.token("acme", Permission::Admin, None);
    let rival = Actor::of("rival", Permission::Write);
    for id in 0..tables::AUDIT_MAX + 5 {
        machine.index += 1;
        let context = Context { now_ms: machine.now_ms, index: machine.index, actor: &rival };
        machine.state.apply(&context, Command::RevokeToken { id }, &mut |_, _, _| {});
    }
    let all = machine.state.audit(None, usize::MAX);
    assert_eq!(u64::try_from(all.len()), Ok(tables::AUDIT_MAX));
    assert!(all.iter().any(|(_, row)| row.who == "root" && row.action == "token create"));
    assert_eq!(machine.state.validate(), Ok(()));
}

#[test]
fn damaged_rows_are_refused_at_start() {
    let machine = Machine::founded();
    let mut state = State::default();
    assert!(matches!(state.load_row(65, b"", b""), Err(LoadError::Table { table: 65 })));
    assert!(matches!(state.load_row(tables::TOKENS, b"abc", b""), Err(LoadError::Key { .. })));
    assert!(matches!(state.load_row(tables::USERS, b"acme", b"\xff"), Err(LoadError::Row { .. })));
    let row = minicbor::to_vec(machine.clone().token("acme", Permission::Read, None)).unwrap();
    assert!(matches!(
        state.load_row(tables::TOKENS, &9u64.to_be_bytes(), &row),
        Err(LoadError::Key { .. })
    ));
    // A row that was lost leaves a contradiction behind.
    let mut machine = Machine { ..machine };
    machine.token("acme", Permission::Read, None);
    machine.rows.remove(&(tables::USERS, b"acme".to_vec()));
    let mut state = State::default();
    for ((table, key), row) in &machine.rows {
        state.load_row(*table, key, row).expect("readable");
    }
    assert!(matches!(state.loaded(), Err(BrokenInvariant::Token { .. })));
}
