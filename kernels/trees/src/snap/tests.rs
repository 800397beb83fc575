//! Encoding, decoding and removing against each other, a slow pass and values of the library.

use std::fs;

use hesper_poseidon::{Arity, hash_pairs_tagged, mul_add_fr};

use super::*;
use crate::rows::{build_up, top_root};
use crate::shape::NODE_BYTES;

fn random_nodes(count: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; count * NODE_BYTES];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes.chunks_exact_mut(NODE_BYTES).for_each(|node| node[31] &= 0x3f);
    bytes
}

/// The files of tree R last over a sealed file, and its root, all in memory.
fn slow_tree(shape: Shape, leaves: &[u8]) -> (Vec<Vec<u8>>, [u8; 32]) {
    let (mut files, mut roots) = (Vec::new(), Vec::new());
    for base in leaves.chunks_exact(shape.base_nodes() as usize * NODE_BYTES) {
        let mut tree = base.to_vec();
        build_up(Backend::Portable, Arity::Eight, &mut tree);
        roots.extend_from_slice(&tree[tree.len() - NODE_BYTES..]);
        files.push(tree.split_off(tree.len() - shape.tree_r_len() as usize * NODE_BYTES));
    }
    let root = top_root(Backend::Portable, shape, &roots);
    (files, root)
}

/// A sealed sector, staged data, and places for what is made of them.
struct Fixture {
    dir: tempfile::TempDir,
    shape: Shape,
    key: Vec<u8>,
    staged: Vec<u8>,
    comm_c: [u8; 32],
    comm_r_last: [u8; 32],
}

impl Fixture {
    fn new(sector_bytes: u64) -> Fixture {
        let dir = tempfile::tempdir().expect("directory");
        let shape = Shape::of_sector_bytes(sector_bytes).expect("a known size");
        let key = random_nodes(shape.nodes() as usize, 1);
        let staged = random_nodes(shape.nodes() as usize, 2);
        let comm_c: [u8; 32] = random_nodes(1, 3).try_into().expect("a node");
        let comm_r_last = slow_tree(shape, &key).1;
        let fixture = Fixture { dir, shape, key, staged, comm_c, comm_r_last };
        for name in ["key-cache", "cache", "removed-cache"] {
            fs::create_dir(fixture.path(name)).expect("create");
        }
        fs::write(fixture.path("key"), &fixture.key).expect("write");
        fs::write(fixture.path("staged"), &fixture.staged).expect("write");
        let cache = fixture.path("key-cache");
        fs::write(cache.join(P_AUX_NAME), auxiliary::p_aux(&comm_c, &comm_r_last)).expect("write");
        let t_aux = auxiliary::t_aux(shape, 2, Path::new("/elsewhere")).expect("UTF-8");
        fs::write(cache.join(T_AUX_NAME), t_aux).expect("write");
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn encode(&self) -> Result<Encoded, Error> {
        self.encode_to("replica", "cache")
    }

    fn encode_to(&self, replica: &str, cache: &str) -> Result<Encoded, Error> {
        encode(&Encode {
            sector_bytes: self.shape.sector_bytes(),
            sector_key: &self.path("key"),
            sector_key_cache: &self.path("key-cache"),
            staged: &self.path("staged"),
            replica: &self.path(replica),
            cache: &self.path(cache),
            threads: NonZeroUsize::new(2).expect("not zero"),
        })
    }

    fn decode(&self, comm_d_new: [u8; 32]) -> Result<Written, Error> {
        decode(&Decode {
            sector_bytes: self.shape.sector_bytes(),
            sector_key: &self.path("key"),
            sector_key_cache: &self.path("key-cache"),
            replica: &self.path("replica"),
            comm_d_new,
            out: &self.path("decoded"),
            threads: NonZeroUsize::MIN,
        })
    }

    fn remove(&self, cache: &str, comm_d_new: [u8; 32]) -> Result<Removed, Error> {
        remove(&Remove {
            sector_bytes: self.shape.sector_bytes(),
            replica: &self.path("replica"),
            replica_cache: &self.path(cache),
            data: &self.path("staged"),
            comm_d_new,
            sector_key: &self.path("removed"),
            sector_key_cache: &self.path("removed-cache"),
            threads: NonZeroUsize::MIN,
        })
    }

    /// The replica node by node from the definition.
    fn slow_replica(&self, comm_d: &[u8; 32]) -> Vec<u8> {
        let h = if self.shape.nodes() <= 1024 { 1 } else { 10 };
        let shift = self.shape.nodes().ilog2() - h;
        let comm_r = hash_two(Backend::Portable, &self.comm_c, &self.comm_r_last);
        let mut phi = [0; 32];
        hash_pairs_tagged(1 << 40, &[*comm_d, comm_r].concat(), &mut phi);
        let mut rhos = Vec::new();
        for high in 0u64..1 << h {
            let mut pair = phi.to_vec();
            pair.extend_from_slice(&high.to_le_bytes());
            pair.resize(64, 0);
            rhos.push(pair);
        }
        let mut table = vec![0; rhos.len() * 32];
        hash_pairs_tagged(1 << 40, &rhos.concat(), &mut table);
        let factors: Vec<u8> = (0..self.shape.nodes())
            .flat_map(|node| table[(node >> shift) as usize * 32..][..32].to_vec())
            .collect();
        let mut replica = vec![0; self.key.len()];
        mul_add_fr(Backend::Portable, &self.key, &self.staged, &factors, &mut replica);
        replica
    }
}

fn check_files(files: &[Written]) {
    for file in files {
        let bytes = fs::read(&file.path).expect("read");
        assert_eq!(file.bytes, bytes.len() as u64, "{}", file.path.display());
        assert_eq!(file.blake3, *blake3::hash(&bytes).as_bytes(), "{}", file.path.display());
    }
}

fn check(sector_bytes: u64) {
    let fixture = Fixture::new(sector_bytes);
    let shape = fixture.shape;
    let encoded = fixture.encode().expect("encoded");
    check_files(&encoded.files);
    assert_eq!(encoded.files.len(), 4 + shape.base_trees());

    let replica = fs::read(fixture.path("replica")).expect("read");
    assert!(replica == fixture.slow_replica(&encoded.comm_d_new), "{sector_bytes}: replica");
    let (trees, root) = slow_tree(shape, &replica);
    for (name, tree) in shape.tree_r_last_names().iter().zip(&trees) {
        assert!(fs::read(fixture.path("cache").join(name)).expect("read") == *tree, "{name}");
    }
    assert_eq!(encoded.comm_r_last_new, root);
    assert_eq!(encoded.comm_r_new, hash_two(Backend::Portable, &fixture.comm_c, &root));
    let threads = NonZeroUsize::MIN;
    let comm_d = tree_d::commitment(&fixture.path("staged"), sector_bytes, threads);
    assert_eq!(encoded.comm_d_new, comm_d.expect("comm_d"));
    let p_aux = fs::read(fixture.path("cache").join(P_AUX_NAME)).expect("read");
    assert_eq!(p_aux, auxiliary::p_aux(&fixture.comm_c, &root));
    let t_aux = fs::read(fixture.path("cache").join(T_AUX_NAME)).expect("read");
    assert_eq!(t_aux, auxiliary::t_aux(shape, 2, &fixture.path("key-cache")).expect("UTF-8"));

    check_files(&[fixture.decode(encoded.comm_d_new).expect("decoded")]);
    assert!(fs::read(fixture.path("decoded")).expect("read") == fixture.staged);

    let removed = fixture.remove("key-cache", encoded.comm_d_new).expect("removed");
    check_files(&removed.files);
    assert!(fs::read(fixture.path("removed")).expect("read") == fixture.key);
    assert_eq!(removed.comm_r_last, fixture.comm_r_last);
    let (trees, _) = slow_tree(shape, &fixture.key);
    for (name, tree) in shape.tree_r_last_names().iter().zip(&trees) {
        let path = fixture.path("removed-cache").join(name);
        assert!(fs::read(path).expect("read") == *tree, "{name}");
    }
}

#[test]
fn data_go_in_and_come_out_in_all_small_shapes_small() {
    for sector_bytes in [2048, 4096, 16384, 32768] {
        check(sector_bytes);
    }
}

#[test]
fn data_go_in_and_come_out_where_a_part_has_many_factors() {
    check(8 << 20);
}

/// What filecoin-proofs 19.1 gave for these files.
#[test]
fn commitments_are_those_of_the_library_small() {
    for (sector_bytes, comm_r_new) in [
        (2048, "249e4e34aada59b948482084c2c37a2c19eed9591498917f8fa0c480b41cb148"),
        (4096, "00668b77723d8d35c71982deefb5d2e0c7fd9d2e424bfad84736bae6c560e60f"),
        (32768, "dd162d196d4cebf95109e49cacd507e6299c18f35863453c09a98be2d9fc585d"),
    ] {
        let encoded = Fixture::new(sector_bytes).encode().expect("encoded");
        let hex: String = encoded.comm_r_new.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, comm_r_new, "{sector_bytes}");
    }
}

#[test]
fn the_tag_of_merkle_trees_gives_the_hash_of_merkle_trees_small() {
    let pair = random_nodes(2, 9);
    let (mut tagged, mut expected) = ([0; 32], [0; 32]);
    hash_pairs_tagged(3, &pair, &mut tagged);
    hesper_poseidon::hash_rows(Backend::Portable, Arity::Two, &pair, &mut expected);
    assert_eq!(tagged, expected);
    hash_pairs_tagged(1 << 40, &pair, &mut tagged);
    assert_ne!(tagged, expected);
}

#[test]
fn removing_with_the_updated_cache_is_refused_and_leaves_no_key_small() {
    let fixture = Fixture::new(2048);
    let encoded = fixture.encode().expect("encoded");
    let error = fixture.remove("cache", encoded.comm_d_new).expect_err("refused");
    assert!(matches!(error, Error::KeyDiffers { .. }), "{error}");
    let error = fixture.remove("key-cache", [1; 32]).expect_err("refused");
    assert!(matches!(error, Error::KeyDiffers { .. }), "{error}");
    assert!(!fixture.path("removed").exists());
    assert_eq!(fs::read_dir(fixture.path("removed-cache")).expect("list").count(), 0);
}

#[test]
fn truncated_and_absent_inputs_are_refused_small() {
    for name in ["key", "staged"] {
        let fixture = Fixture::new(2048);
        let path = fixture.path(name);
        let whole = fs::read(&path).expect("read");
        fs::write(&path, &whole[1..]).expect("write");
        let error = fixture.encode().expect_err("refused");
        assert!(
            matches!(
                error,
                Error::Input(NodesError::Length { found: 2047, .. })
                    | Error::TreeD(tree_d::Error::DataLength { found: 2047, .. })
            ),
            "{error}"
        );
        fs::remove_file(&path).expect("remove");
        assert!(fixture.encode().is_err(), "{name} is absent");
        assert!(!fixture.path("replica").exists());
    }
}

#[test]
fn nodes_that_are_no_field_elements_are_refused_small() {
    let fixture = Fixture::new(2048);
    for (name, node) in [("key", 5), ("staged", 63)] {
        let good = fs::read(fixture.path(name)).expect("read");
        let mut bad = good.clone();
        bad[node * 32..][..32].fill(0xff);
        fs::write(fixture.path(name), bad).expect("write");
        let error = fixture.encode().expect_err("refused");
        let expected = node as u64;
        assert_eq!(fs::read_dir(fixture.path("cache")).expect("list").count(), 0, "{name}");
        assert!(
            matches!(error, Error::Input(NodesError::Node { node, .. }) if node == expected),
            "{error}"
        );
        fs::write(fixture.path(name), good).expect("write");
    }
}

#[test]
fn no_output_takes_the_place_of_an_input_small() {
    let fixture = Fixture::new(2048);
    for (replica, cache) in [("key", "cache"), ("staged", "cache"), ("replica", "key-cache")] {
        let error = fixture.encode_to(replica, cache).expect_err("refused");
        assert!(matches!(error, Error::File(_)), "{replica}, {cache}: {error}");
    }
    assert_eq!(fs::read(fixture.path("key")).expect("read"), fixture.key);
    assert_eq!(fs::read(fixture.path("staged")).expect("read"), fixture.staged);
    assert_eq!(fs::read_dir(fixture.path("key-cache")).expect("list").count(), 2);
}

/// The renaming itself fails: no `p_aux` of an older run may stand beside the new files.
#[test]
fn an_older_p_aux_does_not_outlive_the_first_new_name_small() {
    let fixture = Fixture::new(2048);
    let cache = fixture.path("cache");
    fs::write(cache.join(P_AUX_NAME), [7; 64]).expect("write");
    fs::create_dir(cache.join(T_AUX_NAME)).expect("create");
    fixture.encode().expect_err("a directory is in the way of t_aux");
    assert!(fixture.path("replica").exists() && !cache.join(P_AUX_NAME).exists());
}

#[test]
fn bad_auxiliary_files_are_refused_small() {
    let fixture = Fixture::new(2048);
    let cache = fixture.path("key-cache");
    let whole = fs::read(cache.join(P_AUX_NAME)).expect("read");
    fs::write(cache.join(P_AUX_NAME), &whole[1..]).expect("write");
    assert!(matches!(fixture.encode().expect_err("refused"), Error::Aux { .. }));
    fs::write(cache.join(P_AUX_NAME), whole).expect("write");
    for bytes in [&[][..], &[0; 8], &[0xff; 400]] {
        fs::write(cache.join(T_AUX_NAME), bytes).expect("write");
        assert!(matches!(fixture.encode().expect_err("refused"), Error::TAux { .. }));
    }
    fs::remove_file(cache.join(T_AUX_NAME)).expect("remove");
    assert!(matches!(fixture.encode().expect_err("refused"), Error::File(_)));
}

#[test]
fn sizes_and_commitments_that_cannot_be_are_refused_small() {
    let fixture = Fixture::new(2048);
    let error = fixture.decode([0xff; 32]).expect_err("refused");
    assert!(matches!(error, Error::Commitment { .. }), "{error}");
    let error = decode(&Decode {
        sector_bytes: 8192,
        sector_key: &fixture.path("key"),
        sector_key_cache: &fixture.path("key-cache"),
        replica: &fixture.path("replica"),
        comm_d_new: [1; 32],
        out: &fixture.path("decoded"),
        threads: NonZeroUsize::MIN,
    })
    .expect_err("refused");
    assert!(matches!(error, Error::Shape(_)), "{error}");
}
