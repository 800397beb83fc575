use super::*;

const MINER: &str = "f01234";

fn cause(text: &str) -> Cause {
    match parse(text) {
        Err(AddressError::Text { cause, .. }) => cause,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_other_networks_prefix_is_refused_where_one_network_is_wanted() {
    assert!(parse_on(Network::Mainnet, MINER).is_ok());
    assert!(matches!(
        parse_on(Network::Testnet, MINER),
        Err(AddressError::ForeignNetwork { wanted: 't', .. })
    ));
    assert!(parse_on(Network::Mainnet, "t01234").is_err());
    assert_eq!(parse("t01234"), parse(MINER));
}

#[test]
fn ids_that_are_not_canonical_are_refused() {
    assert_eq!(cause("f0007"), Cause::NotCanonical("f07".to_owned()));
    assert_eq!(cause("f0+7"), Cause::NotCanonical("f07".to_owned()));
}

#[test]
fn ids_and_namespaces_of_64_bits_are_refused() {
    let id = 1 << 63;
    assert_eq!(cause("f09223372036854775808"), Cause::IdTooLarge(id));
    let namespace = Address::new_delegated(id, &[1]).unwrap();
    assert!(check(&namespace).is_err());
    assert!(from_bytes(&namespace.to_bytes()).is_err());
    assert!(parse(&format(&namespace, Network::Mainnet)).is_err());
    assert!(check(&Address::new_id(id)).is_err());
    assert!(check(&Address::new_id(id - 1)).is_ok());
}

#[test]
fn varints_that_are_not_shortest_are_refused() {
    assert!(from_bytes(&[0, 0x07]).is_ok());
    assert!(from_bytes(&[0, 0x87, 0x00]).is_err());
    assert!(from_bytes(&[4, 0x8a, 0x00, 1, 2]).is_err());
}

/// Found by the fuzz target `address`: the bits beyond 64 were dropped, so that one address had
/// several encodings.
#[test]
fn varints_of_more_than_64_bits_are_refused() {
    for protocol in [0, 4] {
        for tenth in [0x02, 0x08, 0x7e] {
            let bytes = [&[protocol][..], &[0xff; 9], &[tenth]].concat();
            assert!(from_bytes(&bytes).is_err(), "protocol {protocol}, tenth byte {tenth}");
        }
    }
}

#[test]
fn undefined_protocols_are_refused() {
    for protocol in [5, 6, 255] {
        let bytes = [&[protocol][..], &[0; 20]].concat();
        assert!(from_bytes(&bytes).is_err(), "protocol {protocol}");
    }
    assert_eq!(cause("f5aaaaaaaa"), Cause::Protocol);
    assert!(from_bytes(&[]).is_err());
}

#[test]
fn one_changed_character_is_refused() {
    let text = "f1xpbyy4tkdx5si2bgo37dubc2xwv6fum5tk57mia";
    assert!(parse(text).is_ok());
    for at in 2..text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
        assert!(parse(std::str::from_utf8(&changed).unwrap()).is_err(), "character {at}");
    }
}

#[test]
fn a_long_text_is_refused_without_being_repeated() {
    let error = parse(&"f".repeat(1 << 20)).unwrap_err();
    assert!(error.to_string().len() < 400);
    assert!(parse("f").is_err() && parse("").is_err() && parse("ff€").is_err());
}

#[test]
fn ethereum_addresses_are_f410() {
    let bytes = [0xd3; 20];
    let address = from_ethereum(&bytes);
    assert!(format(&address, Network::Mainnet).starts_with("f410f"));
    assert_eq!(ethereum(&address), Some(bytes));
    assert!(is_key(&address));
    let short = Address::new_delegated(EAM_NAMESPACE, &[1; 19]).unwrap();
    let foreign = Address::new_delegated(32, &bytes).unwrap();
    assert!(!is_key(&short) && !is_key(&foreign) && !is_key(&Address::new_id(10)));
}
