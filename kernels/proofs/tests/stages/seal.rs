//! Sealing at 2 KiB, byte by byte where the definition is at hand, and opening again.

use hesper_proofs::SealProof;
use hesper_proofs::stage::{PIECE, Piece, SEALED, Stage, TREE_D, UNSEALED, layer_name};
use sha2::{Digest, Sha256};

use crate::harness::{Sector, sample};
use crate::labels_reference::Graph;

const PROOF: SealProof = SealProof::Stacked2KiBV1_1;

/// The next node of a binary tree: SHA-256 with the two top bits cleared.
fn parent(pair: &[u8]) -> [u8; 32] {
    let mut node: [u8; 32] = Sha256::digest(pair).into();
    node[31] &= 0x3f;
    node
}

/// 254 bits of data in each 256.
fn bit_padded(data: &[u8]) -> Vec<u8> {
    let bit = |i: usize| data.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1);
    let bits = data.len() * 8;
    let mut out = vec![0; bits.div_ceil(254) * 32];
    for i in (0..bits).filter(|i| bit(*i)) {
        let at = i / 254 * 256 + i % 254;
        out[at / 8] |= 1 << (at % 8);
    }
    out
}

#[test]
fn every_stage_from_piece_to_c1_gives_the_bytes_of_its_definition() {
    let piece = sample(1500);
    let mut sector = Sector::new(PROOF, 7, &piece);

    sector.stage(Stage::AddPiece);
    let mut padded = bit_padded(&piece);
    padded.resize(2048, 0);
    assert_eq!(sector.read(UNSEALED), padded);
    assert_eq!(sector.values["piece_len"], "1500");
    assert_eq!(sector.values["piece_bytes"], "2032");

    sector.stage(Stage::TreeD);
    let mut tree: Vec<u8> = padded;
    let mut row = 0;
    while tree.len() - row > 32 {
        let next = tree.len();
        let nodes: Vec<u8> = tree[row..].chunks(64).flat_map(parent).collect();
        tree.extend(nodes);
        row = next;
    }
    assert_eq!(sector.read(TREE_D), tree);
    assert_eq!(sector.value("comm_d"), tree[row..]);
    assert_eq!(sector.values["comm_p"], sector.values["comm_d"], "one piece fills the sector");

    sector.stage(Stage::Pc1);
    let mut replica_id: [u8; 32] = Sha256::new()
        .chain_update(sector.identity.prover_id())
        .chain_update(sector.identity.number.to_be_bytes())
        .chain_update(Sector::TICKET)
        .chain_update(sector.value("comm_d"))
        .chain_update(PROOF.porep_id())
        .finalize()
        .into();
    replica_id[31] &= 0x3f;
    assert_eq!(sector.value("replica_id"), replica_id);
    let layers = Graph::new(64, PROOF.porep_id()).layers(&replica_id, 2);
    assert_eq!(sector.read(&layer_name(1)), layers[0].concat());
    assert_eq!(sector.read(&layer_name(2)), layers[1].concat());

    sector.stage(Stage::Pc2);
    let sealed = sector.read(SEALED);
    assert_eq!(sealed.len(), 2048);
    assert_ne!(sealed, sector.read(UNSEALED));
    let aux = sector.read("p_aux");
    assert_eq!(aux, [sector.value("comm_c"), sector.value("comm_r_last")].concat());
    assert_eq!(sector.read("sc-02-data-tree-c.dat").len(), 73 * 32);
    assert_eq!(sector.read("sc-02-data-tree-r-last.dat").len(), 32);

    sector.stage(Stage::C1);
    let c1: serde_json::Value = serde_json::from_slice(&sector.read("c1.json")).unwrap();
    assert_eq!(c1["vanilla_proofs"].as_array().unwrap().len(), 1, "one partition");
    assert_eq!(c1["vanilla_proofs"][0].as_array().unwrap().len(), 2, "two challenges");
}

#[test]
fn a_sealed_sector_opens_to_the_original_bytes() {
    for len in [1, 127, 508, 509, 2031, 2032] {
        let piece = sample(len);
        let mut sector = Sector::pre_committed(PROOF, 8, &piece);
        sector.stage(Stage::Unseal);
        assert_eq!(sector.read(PIECE), piece, "{len} bytes");
    }
}

#[test]
fn an_empty_file_is_a_piece_of_zeros() {
    let mut sector = Sector::pre_committed(PROOF, 9, b"");
    assert_eq!(sector.read(UNSEALED), vec![0; 2048]);
    assert_eq!(sector.values["piece_bytes"], "127");
    sector.stage(Stage::Unseal);
    assert_eq!(sector.read(PIECE), b"");
}

#[test]
fn a_small_piece_has_its_own_commitment_and_zeros_fill_the_sector() {
    let mut sector = Sector::new(PROOF, 10, &sample(300));
    sector.stage(Stage::AddPiece);
    let pieces: Vec<Piece> = serde_json::from_str(&sector.values["pieces"]).unwrap();
    let sizes: Vec<u64> = pieces.iter().map(|piece| piece.bytes).collect();
    assert_eq!(sizes, [508, 508, 1016]);

    // CommP of the real piece: the root over its own 512 padded bytes.
    let mut row = bit_padded(&sample(300));
    row.resize(512, 0);
    while row.len() > 32 {
        row = row.chunks(64).flat_map(parent).collect();
    }
    assert_eq!(pieces[0].comm_p, hex::encode(&row));
    assert_eq!(sector.values["comm_p"], hex::encode(&row));
    sector.stage(Stage::TreeD);
    assert_ne!(sector.values["comm_d"], sector.values["comm_p"]);
}

/// The same order gives the same bytes, also after files have moved.
#[test]
fn stages_are_deterministic_and_t_aux_names_its_own_directory() {
    let piece = sample(2000);
    let (mut one, mut two) =
        (Sector::pre_committed(PROOF, 11, &piece), Sector::pre_committed(PROOF, 11, &piece));
    for name in [SEALED, TREE_D, "p_aux", "sc-02-data-tree-c.dat", "sc-02-data-tree-r-last.dat"] {
        assert_eq!(one.read(name), two.read(name), "{name}");
    }
    assert_eq!(one.values, two.values);

    let dir = one.stage(Stage::Pc2);
    let aux = std::fs::read(dir.join("t_aux")).unwrap();
    let path = dir.to_str().unwrap().as_bytes();
    assert_eq!(aux.windows(path.len()).filter(|window| *window == path).count(), 5);
    two.stage(Stage::C1);
}
