//! The beacon: rounds of the League of Entropy as transcribed in the tests of the crate
//! `drand-verify` 0.6.2 (Apache-2.0) and of Forest `src/beacon/tests/drand.rs` (MIT / Apache-2.0),
//! and `drand-verify` itself as a second opinion on entries made here.

use drand_verify::{G1Pubkey, G2PubkeyRfc, Pubkey};
use hesper_chain::block::BeaconEntry;
use hesper_chain::bls::{BlsError, Secret};
use hesper_chain::drand::{ChainInfo, DrandError, EpochClock, GroupKey, Schedule, verify};
use hesper_chain::hash::sha_256;
use hesper_chain::network::NetworkParams;

const MAINNET_72784: &str = "a609e19a03c2fcc559e8dae14900aaefe517cb55c840f6e69bc8e4f66c8d18e8a609685d9917efbfb0c37f058c2de88f13d297c7e19e0ab24813079efe57a182554ff054c7638153f9b26a60e7111f71a0ff63d9571704905d3ca6df0b031747";
const MAINNET_72785: &str = "82f5d3d2de4db19d40a6980e8aa37842a0e55d1df06bd68bddc8d60002e8e959eb9cfa368b3c1b77d18f02a54fe047b80f0989315f83b12a74fd8679c4f12aae86eaf6ab5690b34f1fddd50ee3cc6f6cdf59e95526d5a5d82aaa84fa6f181e42";
const MAINNET_1: &str = "8d61d9100567de44682506aea1a7a6fa6e5491cd27a0a0ed349ef6910ac5ac20ff7bc3e09d7c046566c9f7f3c6f3b10104990e7cb424998203d8f7de586fb7fa5f60045417a432684f85093b06ca91c769f0e7ca19268375e659c2a2352b4655";
/// Forest, rounds 3907446 and 3907447 of mainnet.
const MAINNET_3907446: &str = "934d1eb250fec0e5234c11a7e30a8c428a975b500df0deb91a6f6ca57dace8d90705812673e517ad163731f7a2861d1d18cfd60dcca4c93bf01f8ad38279e09cf991d7babe0bd81329daec2702bfb8c6b870fb381e35216528e2e2c0b742c2ba";
const MAINNET_3907447: &str = "ac7ad5153605b6a3ec082640989b49e34f554ada33a9d944268213fb2a030cbaf0262c916cfaad866bde80682edeb223129465ae9540cdffd7d85b0180eeba125b16fd1b938c2bbc9bf2597fe20be688b58a615a209f2c6701363228c0682755";
const QUICKNET_123: &str = "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";
/// A group key with RFC 9380 hashing in G1 and its rounds 3, 4 and 6.
const RFC_KEY: &str = "a1ee12542360bf75742bcade13d6134e7d5283d9eb782887c47d3d9725f05805d37b0106b7f744395bf82c175dd7434a169e998f188a657a030d588892c0cd2c01f996aaf331c4d8bc5b9734bbe261d09e7d2d39ef88b635077f262bd7bbb30f";
const RFC_ROUNDS: [(u64, &str); 3] = [
    (
        3,
        "b98dae74f6a9d2ec79d75ba273dcfda86a45d589412860eb4c0fd056b00654dbf667c1b6884987c9aee0d43f8ba9db52",
    ),
    (
        4,
        "962c2b2969e8f3351cf5cc457b04ecbf0c65bd79f4c1ee3bd0205f581368aaaa0cdeb1531a0709d39ef06a8ba1e1bb93",
    ),
    (
        6,
        "a054dafb27a4a4fb9e06b17b30da3e0c7b13b4ca8e1dec3c6775f81758587029aa358523f2e7e62204018347db7cbd1c",
    ),
];
/// The retired fastnet, which hashed into G1 with the tag of G2.
const FASTNET_KEY: &str = "a0b862a7527fee3a731bcb59280ab6abd62d5c0b6ea03dc4ddf6612fdfc9d01f01c31542541771903475eb1ec6615f8d0df0b8b6dce385811d6dcf8cbefb8759e5e616a3dfd054c928940766d9a5b9db91e3b697e5d70a975181e007f87fca5e";
const FASTNET_1: &str = "9544ddce2fdbe8688d6f5b4f98eed5d63eee3902e7e162050ac0f45905a55657714880adabe3c3096b92767d886567d0";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn entry(round: u64, text: &str) -> BeaconEntry {
    BeaconEntry { round, data: bytes(text) }
}

fn unchained(key: &str) -> ChainInfo {
    let key = GroupKey::Unchained(bytes(key).try_into().unwrap());
    ChainInfo { key, ..ChainInfo::quicknet() }
}

fn mismatch(round: u64) -> Result<(), DrandError> {
    Err(DrandError::Signature { round, source: BlsError::Mismatch })
}

#[test]
fn chained_rounds_of_mainnet_are_genuine() {
    let info = ChainInfo::mainnet();
    verify(&info, &bytes(MAINNET_72784), &entry(72785, MAINNET_72785)).unwrap();
    verify(&info, &bytes(MAINNET_3907446), &entry(3907447, MAINNET_3907447)).unwrap();
    let wrong_round = verify(&info, &bytes(MAINNET_72784), &entry(321, MAINNET_72785));
    assert_eq!(wrong_round, mismatch(321));
    let wrong_previous = verify(&info, &bytes(MAINNET_1), &entry(72785, MAINNET_72785));
    assert_eq!(wrong_previous, mismatch(72785));
    let wrong_signature = verify(&info, &bytes(MAINNET_72784), &entry(72785, MAINNET_1));
    assert_eq!(wrong_signature, mismatch(72785));
    let other =
        verify(&ChainInfo::incentinet(), &bytes(MAINNET_72784), &entry(72785, MAINNET_72785));
    assert_eq!(other, mismatch(72785));
}

#[test]
fn unchained_rounds_are_genuine_whatever_came_before() {
    let quicknet = ChainInfo::quicknet();
    for previous in [&[][..], &[1], &[7; 96]] {
        verify(&quicknet, previous, &entry(123, QUICKNET_123)).unwrap();
    }
    assert_eq!(verify(&quicknet, &[], &entry(124, QUICKNET_123)), mismatch(124));
    let info = unchained(RFC_KEY);
    for (round, signature) in RFC_ROUNDS {
        verify(&info, &[], &entry(round, signature)).unwrap();
        assert_eq!(verify(&info, &[], &entry(round + 10, signature)), mismatch(round + 10));
        assert_eq!(verify(&quicknet, &[], &entry(round, signature)), mismatch(round));
    }
    // Genuine for its own network, but hashed with another tag.
    assert_eq!(verify(&unchained(FASTNET_KEY), &[], &entry(1, FASTNET_1)), mismatch(1));
}

#[test]
fn malformed_entries_and_keys_are_refused() {
    let mainnet = ChainInfo::mainnet();
    let previous = bytes(MAINNET_72784);
    let good = entry(72785, MAINNET_72785);
    for length in [0, 48, 95, 97] {
        let mut cut = good.clone();
        cut.data.resize(length, 0);
        let refused = verify(&mainnet, &previous, &cut);
        assert_eq!(refused, Err(DrandError::Length { round: 72785, found: length, expected: 96 }));
        let refused = verify(&mainnet, &vec![0; length], &good);
        assert_eq!(refused, Err(DrandError::Previous { round: 72785, found: length }));
    }
    for length in [0, 47, 49, 96] {
        let entry = BeaconEntry { round: 9, data: vec![0; length] };
        let refused = verify(&ChainInfo::quicknet(), &[], &entry);
        assert_eq!(refused, Err(DrandError::Length { round: 9, found: length, expected: 48 }));
    }
    for position in 0..48 {
        let mut flipped = entry(123, QUICKNET_123);
        flipped.data[position] ^= 1;
        assert!(verify(&ChainInfo::quicknet(), &[], &flipped).is_err());
    }
    let identity = |length: usize| [&[0xc0][..], &vec![0; length - 1]].concat();
    let keyless = ChainInfo { key: GroupKey::Chained(identity(48).try_into().unwrap()), ..mainnet };
    assert_eq!(verify(&keyless, &previous, &good), Err(DrandError::Key));
    let keyless = GroupKey::Unchained(identity(96).try_into().unwrap());
    let keyless = ChainInfo { key: keyless, ..ChainInfo::quicknet() };
    assert_eq!(verify(&keyless, &[], &entry(123, QUICKNET_123)), Err(DrandError::Key));
    let nothing = BeaconEntry { round: 1, data: identity(48) };
    assert!(verify(&ChainInfo::quicknet(), &[], &nothing).is_err());
}

/// Entries made with keys of ours, checked by both implementations.
#[test]
fn another_implementation_agrees_on_entries_made_here() {
    let secret = Secret::from_le_bytes(&[3; 32]).unwrap();
    let chained = ChainInfo { key: GroupKey::Chained(secret.public_key()), ..ChainInfo::mainnet() };
    let theirs = G1Pubkey::from_fixed(secret.public_key()).unwrap();
    let mut previous = vec![9; 96];
    for round in 1..8u64 {
        let data = secret.sign(&sha_256(&[&previous[..], &round.to_be_bytes()].concat()));
        let made = BeaconEntry { round, data: data.to_vec() };
        verify(&chained, &previous, &made).unwrap();
        assert!(theirs.verify(round, &previous, &made.data).unwrap());
        let skipped = BeaconEntry { round: round + 1, ..made.clone() };
        assert!(verify(&chained, &previous, &skipped).is_err());
        assert!(!theirs.verify(round + 1, &previous, &made.data).unwrap());
        previous = made.data;
    }

    let secret = blst::min_sig::SecretKey::key_gen(&[5; 32], &[]).unwrap();
    let key = secret.sk_to_pk().compress();
    let info = ChainInfo { key: GroupKey::Unchained(key), ..ChainInfo::quicknet() };
    let theirs = G2PubkeyRfc::from_fixed(key).unwrap();
    const TAG: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    for round in [1, 2, 1 << 40, u64::MAX] {
        let data = secret.sign(&sha_256(&round.to_be_bytes()), TAG, &[]).compress();
        let made = BeaconEntry { round, data: data.to_vec() };
        verify(&info, &[], &made).unwrap();
        assert!(theirs.verify(round, b"", &made.data).unwrap());
        let other = BeaconEntry { round: round ^ 1, data: made.data };
        assert!(verify(&info, &[], &other).is_err());
        assert!(!theirs.verify(other.round, b"", &other.data).unwrap());
    }
}

/// A beacon's name is the digest of its parameters, so it vouches for key, period and start. The
/// group hashes are those of Lotus `build/buildconstants/drand.go`.
#[test]
fn the_names_of_the_beacons_fit_their_parameters() {
    for (info, group, id) in [
        (
            ChainInfo::mainnet(),
            "176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a",
            "",
        ),
        (
            ChainInfo::incentinet(),
            "d9406aaed487f7af71851b4399448e311f2328923d454e971536c05398ce2d9b",
            "",
        ),
        (
            ChainInfo::quicknet(),
            "f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e",
            "quicknet",
        ),
    ] {
        let key = match &info.key {
            GroupKey::Chained(key) => key.to_vec(),
            GroupKey::Unchained(key) => key.to_vec(),
        };
        let period = u32::try_from(info.period_s).unwrap().to_be_bytes();
        let parts =
            [&period[..], &info.genesis_s.to_be_bytes(), &key, &bytes(group), id.as_bytes()];
        assert_eq!(sha_256(&parts.concat()), info.hash, "{info:?}");
    }
}

#[test]
fn a_servers_description_is_read_and_checked() {
    let text = r#"{"public_key":"83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a","period":3,"genesis_time":1692803367,"hash":"52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971","groupHash":"f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e","schemeID":"bls-unchained-g1-rfc9380","metadata":{"beaconID":"quicknet"}}"#;
    assert_eq!(ChainInfo::from_json(text).unwrap(), ChainInfo::quicknet());
    let refused = |from: &str, to: &str| ChainInfo::from_json(&text.replace(from, to)).unwrap_err();
    let scheme = refused("bls-unchained-g1-rfc9380", "bls-unchained-on-g1");
    assert_eq!(scheme, DrandError::Scheme("bls-unchained-on-g1".into()));
    // A chained scheme has a key of another length.
    let chained = refused("bls-unchained-g1-rfc9380", "pedersen-bls-chained");
    assert_eq!(chained, DrandError::Field("public_key"));
    assert_eq!(refused("\"period\":3", "\"period\":0"), DrandError::Field("period"));
    assert_eq!(refused("52db9b", "52db9"), DrandError::Field("hash"));
    assert!(matches!(refused("\"period\":3,", ""), DrandError::Json(_)));
}

/// Forest `src/beacon/tests/drand.rs`: epochs of mainnet and their rounds.
#[test]
fn epochs_have_the_rounds_of_the_network() {
    let clock = NetworkParams::mainnet().clock;
    let mainnet = ChainInfo::mainnet();
    for (epoch, before, after) in [(0, 95844, 95845), (1, 95845, 95846), (100, 95944, 95945)] {
        assert_eq!(mainnet.round_at(clock, epoch, false), Ok(before));
        assert_eq!(mainnet.round_at(clock, epoch, true), Ok(after));
    }
    let quicknet = ChainInfo::quicknet();
    for (epoch, round) in [
        (0, 1),
        (3_149_899, 1),
        (3_149_900, 2),
        (3_149_901, 12),
        (3_547_000, 3_971_002),
        (6_216_200, 30_663_002),
    ] {
        assert_eq!(quicknet.round_at(clock, epoch, true), Ok(round), "epoch {epoch}");
    }
    for epoch in [i64::MIN, -1_000_000_000, i64::MAX] {
        assert_eq!(quicknet.round_at(clock, epoch, true), Err(DrandError::Epoch(epoch)));
    }
    assert_eq!(quicknet.round_at(clock, 0, false), Err(DrandError::Epoch(0)));
}

#[test]
fn the_networks_change_their_beacon_at_their_heights() {
    let mainnet = NetworkParams::mainnet();
    for (epoch, info) in [
        (0, ChainInfo::incentinet()),
        (50_999, ChainInfo::incentinet()),
        (51_000, ChainInfo::mainnet()),
        (3_855_479, ChainInfo::mainnet()),
        (3_855_480, ChainInfo::quicknet()),
    ] {
        assert_eq!(*mainnet.drand.at(epoch).unwrap().1, info, "{epoch}");
    }
    assert_eq!(mainnet.drand.at(-1), Err(DrandError::Schedule(-1)));
    // Forest `src/networks/mod.rs`: the version changes after the upgrade's own epoch.
    let calibration = NetworkParams::calibration();
    assert_eq!(calibration.version_at(1_013_134), 20);
    assert_eq!(calibration.version_at(1_013_135), 21);
    assert_eq!(mainnet.beacon_round(6_216_200), Ok(30_663_002));
    assert_eq!(mainnet.beacon_round(100 + 51_000), Ok(95944 + 51_000));
    assert_eq!(NetworkParams::devnet_2k(1_700_000_000).version_at(0), 28);
}

/// A local quicknet whose epochs of 30 s take every tenth round.
struct Local {
    secret: blst::min_sig::SecretKey,
    schedule: Schedule,
    clock: EpochClock,
}

impl Local {
    fn new() -> Self {
        let secret = blst::min_sig::SecretKey::key_gen(&[8; 32], &[]).unwrap();
        let key = GroupKey::Unchained(secret.sk_to_pk().compress());
        let info = ChainInfo { key, period_s: 3, genesis_s: 1000, hash: [0; 32] };
        let clock = EpochClock { genesis_s: 4000, block_delay_s: 30 };
        Self { secret, schedule: Schedule(vec![(0, info)]), clock }
    }

    fn at(&self, epoch: i64) -> BeaconEntry {
        let round = self.schedule.0[0].1.round_at(self.clock, epoch, true).unwrap();
        const TAG: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
        let signature = self.secret.sign(&sha_256(&round.to_be_bytes()), TAG, &[]);
        BeaconEntry { round, data: signature.compress().to_vec() }
    }

    fn check(&self, height: i64, parent: i64, entries: &[BeaconEntry]) -> Result<(), DrandError> {
        let previous = self.at(parent);
        self.schedule.verify_block_entries(self.clock, true, height, parent, &previous, entries)
    }
}

#[test]
fn a_block_carries_one_genuine_entry_per_epoch_since_its_parent() {
    let local = Local::new();
    let at = |epoch| local.at(epoch);
    local.check(11, 10, &[at(11)]).unwrap();
    local.check(13, 10, &[at(11), at(12), at(13)]).unwrap();
    let count = |found, expected| Err(DrandError::Count { found, expected });
    assert_eq!(local.check(11, 10, &[]), count(0, 1));
    assert_eq!(local.check(13, 10, &[at(13)]), count(1, 3));
    assert_eq!(local.check(11, 10, &[at(10), at(11)]), count(2, 1));
    let wrong = local.check(13, 10, &[at(12), at(11), at(13)]);
    assert!(matches!(wrong, Err(DrandError::Round { position: 0, .. })), "{wrong:?}");
    let stale = local.check(11, 10, &[at(10)]);
    assert!(matches!(stale, Err(DrandError::Round { position: 0, .. })), "{stale:?}");
    let forged = BeaconEntry { data: at(12).data, ..at(11) };
    assert_eq!(local.check(11, 10, std::slice::from_ref(&forged)), mismatch(forged.round));
    // A parent at or above the block leaves no epoch in between.
    assert_eq!(local.check(11, 11, &[at(11)]), count(1, 0));
    assert_eq!(local.check(11, 12, &[at(11)]), count(1, 0));
    let before_all =
        local.schedule.verify_block_entries(local.clock, true, -5, -6, &at(1), &[at(1)]);
    assert_eq!(before_all, Err(DrandError::Schedule(-5)));
}
