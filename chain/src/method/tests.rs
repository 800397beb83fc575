use super::*;

/// Hashed names that do not follow from the method's own name.
const HASHED_OTHERWISE: [(&str, &str); 2] =
    [("UniversalReceiverHook", "Receive"), ("InvokeContract", "InvokeEVM")];

#[test]
fn tables_are_sorted_and_names_are_distinct() {
    for kind in ActorKind::ALL {
        for table in [methods(kind), retired(kind)] {
            assert!(table.windows(2).all(|pair| pair[0].number < pair[1].number), "{kind:?}");
        }
        for method in methods(kind) {
            assert_eq!(number_of(kind, method.name), Some(method.number));
            assert!(find(retired(kind), method.number).is_none(), "{kind:?} {method:?}");
        }
    }
}

#[test]
fn hashed_numbers_are_those_of_their_names() {
    let mut hashed = 0;
    for method in ActorKind::ALL.into_iter().flat_map(methods) {
        let other = HASHED_OTHERWISE.iter().find(|(name, _)| *name == method.name);
        let name = other.map_or(base_name(method.name), |(_, name)| *name);
        let is_hashed = method.number >= FIRST_EXPORTED;
        assert_eq!(is_hashed, other.is_some() || method.name.ends_with("Exported"));
        if is_hashed {
            assert_eq!(frc42(name), Ok(method.number), "{name}");
            hashed += 1;
        }
    }
    assert!(hashed > 60);
}

#[test]
fn unknown_and_retired_numbers_are_refused() {
    assert_eq!(check(ActorKind::Miner, 16), Ok("WithdrawBalance"));
    assert_eq!(check(ActorKind::Miner, 0), Ok("Send"));
    assert_eq!(
        check(ActorKind::Miner, 99),
        Err(UnknownMethod::Never { actor: "storageminer", number: 99 })
    );
    assert_eq!(
        check(ActorKind::Miner, 6),
        Err(UnknownMethod::Retired { actor: "storageminer", number: 6, name: "PreCommitSector" })
    );
    assert_eq!(name_of(ActorKind::Miner, 6), None);
    assert_eq!(number_of(ActorKind::Miner, "PreCommitSector"), None);
    assert_eq!(number_of(ActorKind::Miner, "withdrawBalance"), None);
    assert_eq!(number_of(ActorKind::Evm, "InvokeEVM"), Some(3_844_450_837));
}

#[test]
fn names_outside_the_convention_have_no_number() {
    assert_eq!(frc42(""), Err(MethodNameError::Empty));
    for name in ["lower", "With Space", "Sign|", "1Digit", "Naïve"] {
        assert_eq!(frc42(name), Err(MethodNameError::Illegal(name.to_owned())));
    }
    assert_eq!(frc42("Constructor"), Ok(1));
}

#[test]
fn singletons_are_told_by_their_ids_and_kinds_by_their_names() {
    assert_eq!(ActorKind::of_singleton(&Address::new_id(5)), Some(ActorKind::Market));
    assert_eq!(ActorKind::of_singleton(&Address::new_id(10)), Some(ActorKind::Eam));
    assert_eq!(ActorKind::of_singleton(&Address::new_id(1000)), None);
    assert_eq!(ActorKind::of_singleton(&Address::new_actor(b"5")), None);
    for kind in ActorKind::ALL {
        assert_eq!(ActorKind::of_name(kind.name()), Some(kind));
    }
    assert_eq!(ActorKind::of_name("miner"), Some(ActorKind::Miner));
    assert_eq!(ActorKind::of_name("Miner"), None);
}
