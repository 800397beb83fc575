//! Constants of filecoin-project/go-address, `address_test.go` (MIT / Apache-2.0), transcribed.

use hesper_chain::address::{AddressError, Cause};
use hesper_chain::json::LotusJson;
use hesper_chain::{Address, Network, Protocol, address, cbor};

const IDS: [(u64, &str); 9] = [
    (0, "t00"),
    (1, "t01"),
    (10, "t010"),
    (150, "t0150"),
    (499, "t0499"),
    (1024, "t01024"),
    (1729, "t01729"),
    (999_999, "t0999999"),
    (9_223_372_036_854_775_807, "t09223372036854775807"),
];

/// Uncompressed public keys in hexadecimal, and their addresses.
const SECP256K1: [(&str, &str); 6] = [
    (
        "049402fac37e6432a416a3a0ca5426b5185ab3b24f6134efa25ce487c82d2e4e13bf452511e0d2245421\
         f8613bc10d72fa216666a96c3bc13920d3ff233fd0bc05",
        "f15ihq5ibzwki2b4ep2f46avlkrqzhpqgtga7pdrq",
    ),
    (
        "047687b910379bf28cbe3aea674b12000c6b7dba46ffc05f6c94fe2a22bbcc2602ff7f5c76f21ca55d36\
         959152b0e1e887917c393576eef093f61ebd3ad06f7fda",
        "f12fiakbhe2gwd5cnmrenekasyn6v5tnaxaqizq6a",
    ),
    (
        "04defdd01001efb86e01ded5ce34f847a73a14819ee641bcb60bb92993596f05dc2d605f2985f8d12581\
         2dac4163a396349b23c11cc2ff359de54be287ea62319b",
        "f1wbxhu3ypkuo6eyp6hjx6davuelxaxrvwb2kuwva",
    ),
    (
        "0403ed12c814b6b10d2ee09d95b4688db2d180d0a9a37a6b6a7db63d29811ee9730479d8ef9139e91249\
         cabd393291cfe5d277ba76de45e3e085a37681bf3645d2",
        "f1xtwapqc6nh4si2hcwpr3656iotzmlwumogqbuaa",
    ),
    (
        "04f796819a8e271631af7c189797b545d60225936147e6010e6562b3ce9efe8b10144161a91ed0b4ec89\
         0800253fa6fc20ac90fbf1fbf27130a4ecc3e403b70576",
        "f1xcbgdhkgkwht3hrrnui3jdopeejsoatkzmoltqy",
    ),
    (
        "0442832bf87cce9ea345b90350de7d3495859ca449059c5e88dde74285dffb9ec01ebabc5fc86268cfea\
         eba7ae05bfb8d68eb75a5268782cf86fc8702bef8a1fe0",
        "f17uoq6tp427uzv7fztkbsnn64iwotfrristwpryy",
    ),
];

/// What the actor's address was made from, in hexadecimal.
const ACTORS: [(&str, &str); 5] = [
    ("76128190cdf068d1418044acc03e0b6781970d60", "f24vg6ut43yw2h2jqydgbg2xq7x6f4kub3bg6as6i"),
    ("2cafb8e2e06bba98ea657c5cf5f42023aa23e88e", "f25nml2cfbljvn4goqtclhifepvfnicv6g7mfmmvq"),
    ("022c9e0ea29d8f40c56abec35c8d587da0a64c18", "f2nuqrg7vuysaue2pistjjnt3fadsdzvyuatqtfei"),
    ("dfec030e204f0f59d80f1d5ee91dfd066d7f63bd", "f24dd4ox4c2vpf5vk5wkadgyyn6qtuvgcpxxon64a"),
    ("3d3a89e8ddab547832716c6d468c3560c9f47fd8", "f2gfvuyh7v2sx3patm5k23wdzmhyhtmqctasbr23y"),
];

const BLS: [(&str, &str); 5] = [
    (
        "ad58df696e2d4e91ea86c881e938ba4ea81b395e12797b84b9cf314b9546705e839c7a99d606b247ddb4\
         f9ac7a3414dd",
        "f3vvmn62lofvhjd2ugzca6sof2j2ubwok6cj4xxbfzz4yuxfkgobpihhd2thlanmsh3w2ptld2gqkn2jvlss4a",
    ),
    (
        "b3294f0a2e29e0c66ebc235d2fedca5697bf784af605c75af608e6a63d5cd38ea85ca8989e0efde9188b\
         382f9372460d",
        "f3wmuu6crofhqmm3v4enos73okk2l366ck6yc4owxwbdtkmpk42ohkqxfitcpa57pjdcftql4tojda2poeruwa",
    ),
    (
        "96a1a3e4ea7a14d49985e661b22401d44fed402d1d0925b243c923589c0fbc7e32cd04e29ed78d15d37d\
         3aaa3fe6da33",
        "f3s2q2hzhkpiknjgmf4zq3ejab2rh62qbndueslmsdzervrhapxr7dftie4kpnpdiv2n6tvkr743ndhrsw6d3a",
    ),
    (
        "86b454258c589475f7d16f5aac018a79f6c1169d20fc33921dd8b5ce1cac6c348f90a3603624f6aeb91b\
         64518c2e8095",
        "f3q22fijmmlckhl56rn5nkyamkph3mcfu5ed6dheq53c244hfmnq2i7efdma3cj5voxenwiummf2ajlsbxc65a",
    ),
    (
        "a7726b038022f75a384617585360cee629070a2d9d28712965e5f26ecc40858382803724ed34f2720336\
         f09db631f074",
        "f3u5zgwa4ael3vuocgc5mfgygo4yuqocrntuuhcklf4xzg5tcaqwbyfabxetwtj4tsam3pbhnwghyhijr5mixa",
    ),
];

const DELEGATED: [(u64, &[u8], &str); 3] = [
    (32, &[0xff; 5], "f432f77777777x32lpna"),
    (9_223_372_036_854_775_807, &[], "f49223372036854775807fiic6zsy"),
    (
        9_223_372_036_854_775_807,
        &[0; 54],
        "f49223372036854775807faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
         aaaaaaaaaaaaaaaaaaaaaaaahwgiuam",
    ),
];

/// Checks an address against its text for one network and gives back the text for the other.
fn check(made: Address, text: &str, protocol: Protocol) {
    let tail = &text[1..];
    for (network, prefix) in [(Network::Mainnet, "f"), (Network::Testnet, "t")] {
        let text = format!("{prefix}{tail}");
        assert_eq!(address::format(&made, network), text);
        assert_eq!(address::parse_with_network(&text).unwrap(), (made, network));
        assert_eq!(address::parse_on(network, &text).unwrap(), made);
        assert_eq!(Address::from_lotus_json(&made.to_lotus_json_on(network)).unwrap(), made);
    }
    assert_eq!(made.protocol(), protocol);
    assert_eq!(address::from_bytes(&made.to_bytes()).unwrap(), made);
    assert_eq!(cbor::decode_canonical::<Address>(&cbor::encode(&made).unwrap()).unwrap(), made);
}

#[test]
fn id_addresses_are_those_of_go_address() {
    for (id, text) in IDS {
        check(Address::new_id(id), text, Protocol::ID);
    }
}

#[test]
fn secp256k1_addresses_are_those_of_go_address() {
    for (key, text) in SECP256K1 {
        let made = Address::new_secp256k1(&hex::decode(key).unwrap()).unwrap();
        check(made, text, Protocol::Secp256k1);
    }
}

#[test]
fn actor_addresses_are_those_of_go_address() {
    for (bytes, text) in ACTORS {
        check(Address::new_actor(&hex::decode(bytes).unwrap()), text, Protocol::Actor);
    }
}

#[test]
fn bls_addresses_are_those_of_go_address() {
    for (key, text) in BLS {
        check(Address::new_bls(&hex::decode(key).unwrap()).unwrap(), text, Protocol::BLS);
    }
}

#[test]
fn delegated_addresses_are_those_of_go_address() {
    for (namespace, subaddress, text) in DELEGATED {
        let made = Address::new_delegated(namespace, subaddress).unwrap();
        check(made, text, Protocol::Delegated);
    }
}

#[test]
fn texts_that_go_address_refuses_are_refused() {
    let encoded = |length| data_encoding::BASE32_NOPAD.encode(&vec![b'a'; length]).to_lowercase();
    let cases = [
        ("Q2gfvuyh7v2sx3patm5k23wdzmhyhtmqctasbr23y".to_owned(), Some(Cause::Prefix)),
        ("t5gfvuyh7v2sx3patm5k23wdzmhyhtmqctasbr23y".to_owned(), Some(Cause::Protocol)),
        ("t2gfvuyh7v2sx3patm5k23wdzmhyhtmqctasbr24y".to_owned(), Some(Cause::Checksum)),
        ("t0banananananannnnnnnnn".to_owned(), Some(Cause::Length)),
        ("t0banananananannnnnnn".to_owned(), Some(Cause::Payload)),
        ("t2gfvuyh7v2sx3patm1k23wdzmhyhtmqctasbr24y".to_owned(), Some(Cause::Base32)),
        ("t2gfvuyh7v2sx3paTm1k23wdzmhyhtmqctasbr24y".to_owned(), Some(Cause::Base32)),
        ("t2".to_owned(), Some(Cause::Length)),
        ("t1234q".to_owned(), None),
        ("a".repeat(139), None),
        ("t".to_owned(), Some(Cause::Length)),
        ("t0".to_owned(), Some(Cause::Length)),
        (format!("t0{}", "a".repeat(19)), Some(Cause::Payload)),
        (format!("t0{}", "a".repeat(21)), Some(Cause::Length)),
        (format!("t1{}", encoded(24)), Some(Cause::Checksum)),
        (format!("t1{}", encoded(25)), None),
        (format!("t1{}", encoded(23)), None),
        (format!("t2{}", encoded(24)), Some(Cause::Checksum)),
        (format!("t2{}", encoded(25)), None),
        (format!("t2{}", encoded(23)), None),
        (format!("t3{}", encoded(52)), Some(Cause::Checksum)),
        (format!("t3{}", encoded(53)), None),
        (format!("t3{}", encoded(51)), None),
        // Trailing bits that are not zero.
        ("f1xpbyy4tkdx5si2bgo37dubc2xwv6fum5tk57mid".to_owned(), Some(Cause::Base32)),
        ("t09223372036854775808".to_owned(), Some(Cause::IdTooLarge(1 << 63))),
    ];
    for (text, wanted) in cases {
        match (address::parse(&text), wanted) {
            (Err(AddressError::Text { cause, .. }), Some(wanted)) => {
                assert_eq!(cause, wanted, "{text}");
            }
            (Err(_), None) => {}
            (found, wanted) => panic!("{text}: {found:?}, wanted {wanted:?}"),
        }
    }
    address::parse("f1xpbyy4tkdx5si2bgo37dubc2xwv6fum5tk57mia").unwrap();
}

#[test]
fn bytes_that_go_address_refuses_are_refused() {
    let long = |protocol: &[u8], length: usize| [protocol, &vec![0; length]].concat();
    let cases = [
        vec![5, 4, 4],
        vec![0],
        long(&[1], 19),
        long(&[1], 21),
        long(&[2], 19),
        long(&[2], 21),
        long(&[3], 47),
        long(&[3], 33),
        long(&[4, 0], 55),
        vec![4, 0xff],
        vec![0, 0x80],
        vec![0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ];
    for bytes in cases {
        assert!(address::from_bytes(&bytes).is_err(), "{bytes:?} was taken for an address");
    }
}
