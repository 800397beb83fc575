//! Proofs of sectors whose trees a slow builder made; damage of every kind.

use std::fs;
use std::path::Path;

use hesper_poseidon::{Arity, hash_rows};
use serde_json::{Value, json};

use super::*;
use crate::rows::{build_up, hash_two, top_root};
use crate::shape::{NODE_BYTES, P_AUX_NAME};

fn random_nodes(count: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; count * NODE_BYTES];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    for node in bytes.chunks_exact_mut(NODE_BYTES) {
        node[31] &= 0x3f;
    }
    bytes
}

/// A sealed sector with its tree: the files that a proof of spacetime reads.
fn seal(dir: &Path, sector_bytes: u64, id: u64) -> Sector {
    let shape = Shape::of_sector_bytes(sector_bytes).expect("a known size");
    let cache = dir.join(format!("cache-{id}"));
    fs::create_dir(&cache).expect("create");
    let leaves = random_nodes(shape.nodes() as usize, id);
    let base_bytes = shape.base_nodes() as usize * NODE_BYTES;
    let mut roots = Vec::new();
    for (name, base) in shape.tree_r_last_names().iter().zip(leaves.chunks_exact(base_bytes)) {
        let mut tree = base.to_vec();
        build_up(Backend::detect(), Arity::Eight, &mut tree);
        roots.extend_from_slice(&tree[tree.len() - NODE_BYTES..]);
        let kept = shape.tree_r_len() as usize * NODE_BYTES;
        fs::write(cache.join(name), &tree[tree.len() - kept..]).expect("write");
    }
    let sealed = dir.join(format!("sealed-{id}"));
    fs::write(&sealed, &leaves).expect("write");
    let comm_r_last = top_root(Backend::detect(), shape, &roots);
    let comm_c: [u8; 32] = random_nodes(1, id + 1000).try_into().expect("a node");
    fs::write(cache.join(P_AUX_NAME), [comm_c, comm_r_last].concat()).expect("write");
    let comm_r = hash_two(Backend::detect(), &comm_c, &comm_r_last);
    let challenges = challenges(&[7; 32], id, shape.nodes(), 0..10).expect("a field element");
    Sector { id, comm_r, sealed, cache, challenges }
}

fn prove(
    sector_bytes: u64,
    sectors: &[Sector],
    backend: Backend,
    threads: usize,
) -> Vec<Result<SectorProof, Fault>> {
    let threads = NonZeroUsize::new(threads).expect("not zero");
    let request = Request { sector_bytes, sectors, threads, readers_per_device: threads, backend };
    vanilla(&request).expect("a good request")
}

/// The node above, from a node and its siblings, without batches.
fn climb(node: [u8; 32], element: &PathElement) -> [u8; 32] {
    let mut children = element.hashes.clone();
    children.insert(element.index, node);
    let arity = Arity::of(children.len()).expect("an arity");
    let mut above = [0; 32];
    hash_rows(Backend::Portable, arity, &children.concat(), &mut above);
    above
}

fn check_sector(sector_bytes: u64, sector: &Sector, proof: &SectorProof) {
    let shape = Shape::of_sector_bytes(sector_bytes).expect("a known size");
    let sealed = fs::read(&sector.sealed).expect("read");
    assert_eq!((proof.sector_id, proof.comm_r), (sector.id, sector.comm_r));
    assert_eq!(proof.inclusion.len(), sector.challenges.len());
    for (leaf, one) in sector.challenges.iter().zip(&proof.inclusion) {
        assert_eq!(one.leaf[..], sealed[*leaf as usize * 32..][..32], "leaf {leaf}");
        assert_eq!(one.base.len(), shape.base_rows() as usize);
        let mut node = one.leaf;
        let (mut index, mut width) = (0, 1);
        let arities = std::iter::repeat_n(8, one.base.len())
            .chain([shape.sub_arity(), shape.top_arity()])
            .filter(|arity| *arity > 0);
        let path: Vec<_> = one.base.iter().chain(&one.sub).chain(&one.top).collect();
        for (element, arity) in path.iter().zip(arities.clone()) {
            assert_eq!(element.hashes.len(), arity - 1, "leaf {leaf}");
            node = climb(node, element);
            index += element.index * width;
            width *= arity;
        }
        assert_eq!(path.len(), arities.count());
        assert_eq!(node, proof.comm_r_last, "leaf {leaf}");
        assert_eq!(one.root, proof.comm_r_last);
        assert_eq!(index as u64, *leaf);
    }
    assert_eq!(hash_two(Backend::Portable, &proof.comm_c, &proof.comm_r_last), sector.comm_r);
}

#[test]
fn every_path_leads_to_the_root_in_all_small_shapes_small() {
    for sector_bytes in [2048, 4096, 16384, 32768] {
        let dir = tempfile::tempdir().expect("directory");
        let sectors: Vec<_> = (0..5).map(|id| seal(dir.path(), sector_bytes, id)).collect();
        for backend in Backend::available() {
            let proofs = prove(sector_bytes, &sectors, backend, 2);
            for (sector, proof) in sectors.iter().zip(&proofs) {
                let proof = proof.as_ref().expect("a good sector");
                check_sector(sector_bytes, sector, proof);
            }
        }
    }
}

#[test]
fn paths_of_trees_with_kept_rows_lead_to_the_root() {
    let dir = tempfile::tempdir().expect("directory");
    let sector_bytes = 8 << 20;
    let mut sectors: Vec<_> = (0..2).map(|id| seal(dir.path(), sector_bytes, id)).collect();
    // First, last and neighbouring leaves, and a winning proof's number of challenges.
    sectors[0].challenges = vec![0, (1 << 18) - 1, 511, 512, 0];
    sectors[1].challenges = challenges(&[9; 32], 1, 1 << 18, 0..66).expect("a field element");
    for (sector, proof) in sectors.iter().zip(prove(sector_bytes, &sectors, Backend::detect(), 2)) {
        check_sector(sector_bytes, sector, &proof.expect("a good sector"));
    }
}

/// The library's structure, written by an independent serialiser.
fn library_json(proof: &SectorProof) -> Value {
    let path = |elements: &[&PathElement]| {
        let elements: Vec<_> =
            elements.iter().map(|one| json!({"hashes": one.hashes, "index": one.index})).collect();
        json!({ "path": elements })
    };
    let inclusion: Vec<_> = proof
        .inclusion
        .iter()
        .map(|one| {
            let base = path(&one.base.iter().collect::<Vec<_>>());
            let data = match (&one.sub, &one.top) {
                (None, _) => json!({"Single": {"root": one.root, "leaf": one.leaf, "path": base}}),
                (Some(sub), None) => json!({"Sub": {"base_proof": base, "sub_proof": path(&[sub]),
                    "root": one.root, "leaf": one.leaf}}),
                (Some(sub), Some(top)) => json!({"Top": {"base_proof": base,
                    "sub_proof": path(&[sub]), "top_proof": path(&[top]),
                    "root": one.root, "leaf": one.leaf}}),
            };
            json!({ "data": data })
        })
        .collect();
    json!({"sector_id": proof.sector_id, "comm_r": proof.comm_r, "vanilla_proof": {"sectors": [
        {"inclusion_proofs": inclusion, "comm_c": proof.comm_c, "comm_r_last": proof.comm_r_last}
    ]}})
}

#[test]
fn the_json_has_the_structure_of_the_library_in_all_shapes_small() {
    for sector_bytes in [2048, 4096, 32768] {
        let dir = tempfile::tempdir().expect("directory");
        let sectors: Vec<_> = (3..5).map(|id| seal(dir.path(), sector_bytes, id)).collect();
        let proofs: Vec<_> = prove(sector_bytes, &sectors, Backend::detect(), 1)
            .into_iter()
            .map(|proof| proof.expect("a good sector"))
            .collect();
        let expected: Vec<_> = proofs.iter().map(library_json).collect();
        let found: Value = serde_json::from_slice(&json_array(&proofs)).expect("JSON");
        assert_eq!(found, Value::Array(expected.clone()));
        let one: Value = serde_json::from_slice(&proofs[0].to_json()).expect("JSON");
        assert_eq!(one, expected[0]);
        let text = proofs[0].to_json();
        assert!(!text.iter().any(u8::is_ascii_whitespace), "serde_json writes no spaces");
    }
}

/// BLAKE3 of the JSON that filecoin-proofs 19.1 wrote for sector 5 and these files.
#[test]
fn the_json_is_that_of_the_library_small() {
    for (sector_bytes, expected) in [
        (2048, "192bcf6f216199f97f7984acf21f1f050db98c977134777414c705df6ccb7885"),
        (4096, "fb12471b3b901243e1c45ca68824302d5c209980deb97ef3ca137e73ef50d59e"),
        (32768, "181372b8e931fe80bc413b123e0bb290e7bb4c19115b42950d37bda507c5b768"),
    ] {
        let dir = tempfile::tempdir().expect("directory");
        let sector = seal(dir.path(), sector_bytes, 5);
        let proofs = prove(sector_bytes, &[sector], Backend::detect(), 1);
        let text = json_array(proofs.iter().map(|proof| proof.as_ref().expect("a good sector")));
        assert_eq!(blake3::hash(&text).to_hex().as_str(), expected, "{sector_bytes}");
    }
}

/// Damage one sector of three; it alone must be faulty, in the way that `expected` accepts.
fn faulty(damage: impl Fn(&mut Sector), expected: impl Fn(&Fault) -> bool) {
    let dir = tempfile::tempdir().expect("directory");
    let mut sectors: Vec<_> = (0..3).map(|id| seal(dir.path(), 2048, id)).collect();
    damage(&mut sectors[1]);
    let proofs = prove(2048, &sectors, Backend::detect(), 2);
    assert!(proofs[0].is_ok() && proofs[2].is_ok(), "the other sectors are good");
    let fault = proofs[1].as_ref().expect_err("the damaged sector is faulty");
    assert!(expected(fault), "{fault}");
}

fn change(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("write");
}

#[test]
fn an_absent_sealed_file_is_a_fault_of_its_sector_small() {
    faulty(
        |sector| fs::remove_file(&sector.sealed).expect("remove"),
        |fault| matches!(fault, Fault::Read { .. }),
    );
}

#[test]
fn an_absent_tree_and_an_absent_p_aux_are_faults_small() {
    let tree = "sc-02-data-tree-r-last.dat";
    for name in [tree, P_AUX_NAME] {
        faulty(
            |sector| fs::remove_file(sector.cache.join(name)).expect("remove"),
            |fault| matches!(fault, Fault::Read { path, .. } if path.ends_with(name)),
        );
    }
}

#[test]
fn truncated_files_are_faults_small() {
    let tree = "sc-02-data-tree-r-last.dat";
    for (name, bytes) in [("", 2047), (tree, 31), (P_AUX_NAME, 63)] {
        faulty(
            |sector| {
                let path = match name {
                    "" => sector.sealed.clone(),
                    name => sector.cache.join(name),
                };
                fs::File::options()
                    .write(true)
                    .open(path)
                    .expect("open")
                    .set_len(bytes)
                    .expect("cut");
            },
            |fault| matches!(fault, Fault::Length { found, .. } if *found == bytes),
        );
    }
}

#[test]
fn a_changed_leaf_is_a_fault_small() {
    faulty(|sector| change(&sector.sealed, 77), |fault| matches!(fault, Fault::Leaves { .. }));
}

#[test]
fn a_leaf_that_is_no_field_element_is_a_fault_small() {
    faulty(
        |sector| {
            let mut bytes = fs::read(&sector.sealed).expect("read");
            bytes[64..96].fill(0xff);
            fs::write(&sector.sealed, bytes).expect("write");
        },
        |fault| matches!(fault, Fault::Node { leaf: 2, .. }),
    );
}

#[test]
fn a_changed_root_and_p_aux_of_another_sector_are_faults_small() {
    faulty(
        |sector| change(&sector.cache.join("sc-02-data-tree-r-last.dat"), 3),
        |fault| matches!(fault, Fault::CommRLast { .. }),
    );
    for at in [0, 40] {
        faulty(
            |sector| change(&sector.cache.join(P_AUX_NAME), at),
            |fault| matches!(fault, Fault::CommR { .. }),
        );
    }
    faulty(|sector| sector.comm_r[0] ^= 1, |fault| matches!(fault, Fault::CommR { .. }));
}

/// The node at `at` with the field's order added: its hash is the same.
fn leave_field(path: &Path, at: usize) {
    const ORDER: [u64; 4] = [
        0xffff_ffff_0000_0001,
        0x53bd_a402_fffe_5bfe,
        0x3339_d808_09a1_d805,
        0x73ed_a753_299d_7d48,
    ];
    let mut bytes = fs::read(path).expect("read");
    let mut carry = 0;
    for (word, order) in bytes[at..at + 32].as_chunks_mut::<8>().0.iter_mut().zip(ORDER) {
        let sum = u128::from(u64::from_le_bytes(*word)) + u128::from(order) + carry;
        *word = (sum as u64).to_le_bytes();
        carry = sum >> 64;
    }
    assert_eq!(carry, 0, "twice the order is below 2^256");
    fs::write(path, bytes).expect("write");
}

#[test]
fn roots_out_of_the_field_are_faults_though_their_hashes_agree_small() {
    for (name, at) in [(P_AUX_NAME, 0), (P_AUX_NAME, 32), ("sc-02-data-tree-r-last-1.dat", 0)] {
        let dir = tempfile::tempdir().expect("directory");
        let sector = seal(dir.path(), 4096, 5);
        leave_field(&sector.cache.join(name), at);
        let found = prove(4096, &[sector], Backend::detect(), 1);
        let fault = found[0].as_ref().expect_err("faulty");
        match name {
            P_AUX_NAME => assert!(matches!(fault, Fault::CommR { .. }), "{fault}"),
            _ => assert!(matches!(fault, Fault::CommRLast { .. }), "{fault}"),
        }
    }
}

#[test]
fn changed_kept_rows_are_faults() {
    let dir = tempfile::tempdir().expect("directory");
    let sector_bytes = 8 << 20;
    let mut sector = seal(dir.path(), sector_bytes, 1);
    sector.challenges = vec![5];
    let tree = sector.cache.join("sc-02-data-tree-r-last.dat");
    // Beside the segment's node, beside its parent, and the segment's node itself.
    for (at, row) in [(32, 3), (512 * 32 + 32, 4), (0, 3)] {
        change(&tree, at);
        let found = prove(sector_bytes, std::slice::from_ref(&sector), Backend::detect(), 1);
        let fault = found[0].as_ref().expect_err("faulty");
        assert!(matches!(fault, Fault::Tree { row: found, .. } if *found == row), "{fault}");
        change(&tree, at);
    }
    // A leaf outside the challenged segment is not seen; one inside is.
    change(&sector.sealed, 600 * 32);
    let found = prove(sector_bytes, std::slice::from_ref(&sector), Backend::detect(), 1);
    assert!(found[0].is_ok());
    change(&sector.sealed, 511 * 32);
    let found = prove(sector_bytes, std::slice::from_ref(&sector), Backend::detect(), 1);
    assert!(matches!(found[0], Err(Fault::Leaves { leaf: 0, .. })));
}

#[test]
fn requests_that_are_wrong_as_a_whole_are_refused_small() {
    let sector = |challenges: &[u64]| Sector {
        id: 9,
        comm_r: [0; 32],
        sealed: PathBuf::from("absent"),
        cache: PathBuf::from("absent"),
        challenges: challenges.to_vec(),
    };
    let refused = |sector_bytes, challenges: &[u64]| {
        let one = NonZeroUsize::MIN;
        let sectors = [sector(challenges)];
        let request = Request {
            sector_bytes,
            sectors: &sectors,
            threads: one,
            readers_per_device: one,
            backend: Backend::Portable,
        };
        vanilla(&request).expect_err("refused")
    };
    assert!(matches!(refused(2049, &[0]), Error::Shape(_)));
    assert_eq!(refused(2048, &[64]), Error::Challenge { sector: 9, leaf: 64, nodes: 64 });
    assert_eq!(refused(2048, &[]), Error::NoChallenges { sector: 9 });
    assert_eq!(challenges(&[0xff; 32], 1, 64, 0..1), Err(Error::Randomness));
}

#[test]
fn no_sectors_give_no_proofs_small() {
    assert!(prove(2048, &[], Backend::Portable, 1).is_empty());
}

#[test]
fn challenges_are_those_of_the_definition_small() {
    use sha2::{Digest, Sha256};
    let randomness = [5; 32];
    let found = challenges(&randomness, 77, 1 << 30, 3..6).expect("a field element");
    let expected: Vec<u64> = (3..6u64)
        .map(|index| {
            let mut hasher = Sha256::new();
            hasher.update(randomness);
            hasher.update(77u64.to_le_bytes());
            hasher.update(index.to_le_bytes());
            let hash = hasher.finalize();
            u64::from_le_bytes(hash[..8].try_into().expect("8 bytes")) % (1 << 30)
        })
        .collect();
    assert_eq!(found, expected);
}
