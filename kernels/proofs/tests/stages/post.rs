//! Winning and window PoSt over sectors sealed here and over one sealed by another implementation.

use std::fs;
use std::path::PathBuf;

use hesper_proofs::params::ParamSet;
use hesper_proofs::stage::{Input, Order, PostSector, Stage};
use hesper_proofs::verify::{merge_window_proofs, verify_window_post, verify_winning_post};
use hesper_proofs::{SealProof, SectorIdentity, files};

use crate::harness::{self, Sector, need_params, sample, vectors};

const PROOF: SealProof = SealProof::Stacked2KiBV1_1;
const RANDOMNESS: [u8; 32] = [0xff; 32];

/// A sector with the files that a PoSt reads.
struct Stored {
    sector: PostSector,
    files: Vec<(String, PathBuf)>,
}

impl Stored {
    fn own(sector: &Sector) -> Self {
        let mut files = Vec::new();
        for name in ["sealed", "p_aux", "sc-02-data-tree-r-last.dat"] {
            files.push((name.to_owned(), sector.files[name].path.clone()));
        }
        let comm_r = sector.values["comm_r"].clone();
        Self { sector: PostSector { number: sector.identity.number, comm_r }, files }
    }

    fn inputs(&self) -> Vec<Input> {
        let input = |(name, path): &(String, PathBuf)| {
            let (len, blake3) = files::digest(path).unwrap();
            let name = format!("{}/{name}", self.sector.number);
            Input { name, path: path.clone(), len: Some(len), blake3: Some(blake3) }
        };
        self.files.iter().map(input).collect()
    }
}

fn order(stage: Stage, miner: u64, dir: &std::path::Path, stored: &[&Stored]) -> Order {
    let identity = SectorIdentity { miner, number: 0 };
    Order {
        randomness: Some(hex::encode(RANDOMNESS)),
        sectors: stored.iter().map(|stored| stored.sector.clone()).collect(),
        inputs: stored.iter().flat_map(|stored| stored.inputs()).collect(),
        ..Order::new(stage, PROOF, identity, dir)
    }
}

fn proof_of(order: &Order) -> Vec<u8> {
    let outcome = harness::run(order).result.unwrap();
    let proof = hex::decode(&outcome.values["proof"]).unwrap();
    assert_eq!(fs::read(order.out_dir.join("proof")).unwrap(), proof);
    proof
}

/// Proves and verifies one sector both ways.
fn prove_both(miner: u64, stored: &Stored) {
    let dir = tempfile::tempdir().unwrap();
    let params = need_params(ParamSet::WinningPost);
    need_params(ParamSet::WindowPost);

    let winning = proof_of(&order(Stage::WinningPost, miner, &dir.path().join("w"), &[stored]));
    let verify = |miner, randomness, sector: &PostSector, bytes: &[u8]| {
        verify_winning_post(&params, PROOF, miner, randomness, sector, bytes).unwrap()
    };
    let sector = &stored.sector;
    assert!(verify(miner, RANDOMNESS, sector, &winning));
    assert!(!verify(miner, [1; 32], sector, &winning), "other randomness");
    let other = PostSector { number: sector.number + 1, ..sector.clone() };
    assert!(!verify(miner, RANDOMNESS, &other, &winning), "other sector");
    assert!(!verify(miner, RANDOMNESS, sector, &winning[..191]), "truncated proof");
    let mut flipped = winning.clone();
    flipped[100] ^= 1;
    assert!(!verify(miner, RANDOMNESS, sector, &flipped), "flipped bit");

    let window = window_proof(miner, dir.path(), &[&[stored]]);
    let sectors = [stored.sector.clone()];
    assert!(verify_window_post(&params, PROOF, miner, RANDOMNESS, &sectors, &window).unwrap());
    assert!(!verify_window_post(&params, PROOF, miner, [2; 32], &sectors, &window).unwrap());
}

/// A window PoSt: vanilla per store, then one proof per partition, merged. `stores` are groups of
/// sectors in the order in which they are proved.
fn window_proof(miner: u64, dir: &std::path::Path, stores: &[&[&Stored]]) -> Vec<u8> {
    let size = PROOF.window_partition_sectors();
    let all: Vec<&Stored> = stores.iter().flat_map(|store| store.iter().copied()).collect();
    let mut proofs = Vec::new();
    for (partition, members) in (0_u32..).zip(all.chunks(size)) {
        let mut inputs = Vec::new();
        for (number, store) in stores.iter().enumerate() {
            let here: Vec<&Stored> = members
                .iter()
                .copied()
                .filter(|member| store.iter().any(|s| std::ptr::eq(*s, *member)))
                .collect();
            if here.is_empty() {
                continue;
            }
            let out = dir.join(format!("vanilla-{partition}-{number}"));
            let stage = Stage::WindowPostVanilla { partition };
            let order = order(stage, miner, &out, &here);
            harness::run(&order).result.unwrap();
            let (len, blake3) = files::digest(&out.join("vanilla.json")).unwrap();
            inputs.push(Input {
                name: format!("vanilla-{number}"),
                path: out.join("vanilla.json"),
                len: Some(len),
                blake3: Some(blake3),
            });
        }
        let out = dir.join(format!("prove-{partition}"));
        let mut order = order(Stage::WindowPostProve { partition }, miner, &out, members);
        order.inputs = inputs;
        proofs.push(proof_of(&order));
    }
    merge_window_proofs(proofs.iter().map(Vec::as_slice))
}

#[test]
fn post_over_a_sector_sealed_here() {
    let sector = Sector::pre_committed(PROOF, 40, &sample(2032));
    prove_both(sector.identity.miner, &Stored::own(&sector));
    sector.check_inputs();
}

#[test]
fn post_over_a_sector_sealed_by_another_implementation() {
    let Some(vectors) = vectors() else { return };
    let dir = vectors.join("venus/genesis-sectors");
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("pre-seal-t0106.json")).unwrap()).unwrap();
    let comm_r = json["t0106"]["Sectors"][0]["CommR"]["/"].as_str().unwrap();
    let file = |name: &str| (name.to_owned(), dir.join("cache/s-t0106-0").join(name));
    let stored = Stored {
        sector: PostSector { number: 0, comm_r: hex::encode(commitment_of_cid(comm_r)) },
        files: vec![
            ("sealed".to_owned(), dir.join("sealed/s-t0106-0")),
            file("p_aux"),
            file("sc-02-data-tree-r-last.dat"),
        ],
    };
    prove_both(106, &stored);
}

/// The digest in a base32 CID: the last 32 bytes.
fn commitment_of_cid(cid: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for letter in cid.bytes().skip(1) {
        let value = ALPHABET.iter().position(|known| *known == letter).unwrap();
        buffer = buffer << 5 | u32::try_from(value).unwrap();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xff) as u8);
        }
    }
    bytes.split_off(bytes.len() - 32)
}

#[test]
fn a_window_post_is_split_over_stores_and_partitions_and_merged() {
    let params = need_params(ParamSet::WindowPost);
    let sectors: Vec<Sector> =
        [50, 51, 52].map(|number| Sector::pre_committed(PROOF, number, &sample(1000))).into();
    let stored: Vec<Stored> = sectors.iter().map(Stored::own).collect();
    let dir = tempfile::tempdir().unwrap();
    // Partition 0 spans both stores.
    let stores: [&[&Stored]; 2] = [&[&stored[0]], &[&stored[1], &stored[2]]];
    let proof = window_proof(1000, dir.path(), &stores);
    assert_eq!(proof.len(), 2 * 192);
    let mut listed: Vec<PostSector> = stored.iter().map(|one| one.sector.clone()).collect();
    let verify = |sectors: &[PostSector], bytes: &[u8]| {
        verify_window_post(&params, PROOF, 1000, RANDOMNESS, sectors, bytes).unwrap()
    };
    assert!(verify(&listed, &proof));
    assert!(!verify(&listed[..2], &proof), "fewer sectors");
    listed.swap(0, 2);
    assert!(!verify(&listed, &proof), "another order");
}

#[test]
fn damaged_sectors_are_all_named() {
    need_params(ParamSet::WindowPost);
    let sectors: Vec<Sector> =
        [60, 61].map(|number| Sector::pre_committed(PROOF, number, &sample(1000))).into();
    let stored: Vec<Stored> = sectors.iter().map(Stored::own).collect();
    for one in &stored {
        fs::write(&one.files[0].1, [0; 2048]).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::WindowPostVanilla { partition: 0 };
    let order = order(stage, 1000, dir.path(), &[&stored[0], &stored[1]]);
    let error = harness::run(&order).result.unwrap_err();
    assert_eq!(error.code, "faulty_sectors");
    assert!(error.message.contains("60") && error.message.contains("61"), "{error:?}");
}
