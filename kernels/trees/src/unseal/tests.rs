//! Unsealing gives back what was sealed, whatever the range; bad input is refused.

use std::fs;
use std::path::PathBuf;

use hesper_poseidon::add_fr;

use super::*;
use crate::piece;

const SECTOR_BYTES: u64 = 32 << 10;
const POREP_ID: [u8; 32] = {
    let mut id = [0; 32];
    id[0] = 5;
    id
};
const REPLICA_ID: [u8; 32] = [0x2a; 32];

/// A sealed sector: raw data, unsealed bytes, and the files of the sealed sector and of its key.
struct Sealed {
    dir: tempfile::TempDir,
    raw: Vec<u8>,
    padded: Vec<u8>,
    sealed: PathBuf,
    layer: PathBuf,
}

fn seal(sector_bytes: u64, key: Option<Vec<u8>>) -> Sealed {
    let dir = tempfile::tempdir().expect("directory");
    let mut raw = vec![0; fr32::unpadded_bytes(sector_bytes) as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut raw);
    let mut padded = Vec::new();
    piece::write(&raw[..], &mut padded, sector_bytes).expect("padded");
    let key = key.unwrap_or_else(|| {
        let mut key = vec![0; sector_bytes as usize];
        blake3::Hasher::new().update(b"key").finalize_xof().fill(&mut key);
        key.chunks_exact_mut(32).for_each(|node| node[31] &= 0x3f);
        key
    });
    let mut encoded = vec![0; key.len()];
    add_fr(Backend::Portable, &key, &padded, &mut encoded);
    let (sealed, layer) = (dir.path().join("sealed"), dir.path().join("layer"));
    fs::write(&sealed, encoded).expect("write");
    fs::write(&layer, key).expect("write");
    Sealed { dir, raw, padded, sealed, layer }
}

impl Sealed {
    fn request(&self, range: Range<u64>) -> Request<'_> {
        Request {
            sealed: &self.sealed,
            sector_bytes: self.padded.len() as u64,
            key: Key::Layer(&self.layer),
            range,
            threads: NonZeroUsize::MIN,
        }
    }

    fn refused(&self, request: &Request<'_>) -> Error {
        let mut out = Vec::new();
        let error = unseal(request, &mut out).expect_err("refused");
        assert!(out.is_empty(), "nothing is written of a refused sector");
        error
    }
}

#[test]
fn every_range_of_the_data_comes_back_small() {
    let sealed = seal(SECTOR_BYTES, None);
    let all = sealed.raw.len() as u64;
    for range in [0..all, 0..1, 126..128, 127..254, 5..5, 1000..1001, 300..30_000, all - 1..all] {
        let mut out = Vec::new();
        let count = unseal(&sealed.request(range.clone()), &mut out).expect("unsealed");
        assert!(out[..] == sealed.raw[range.start as usize..range.end as usize], "{range:?}");
        assert_eq!(count, range.end - range.start);
    }
}

#[test]
fn the_unsealed_file_comes_back_in_fr32_form_small() {
    let sealed = seal(SECTOR_BYTES, None);
    for range in [0..SECTOR_BYTES, 32..64, 4096..12_288] {
        let mut out = Vec::new();
        unseal_padded(&sealed.request(range.clone()), &mut out).expect("unsealed");
        assert!(out[..] == sealed.padded[range.start as usize..range.end as usize], "{range:?}");
    }
}

#[test]
fn the_computed_key_opens_what_the_labels_closed_small() {
    for (sector_bytes, layers) in [(2048, 2), (32 << 10, 2), (16 << 10, 11)] {
        let graph = Graph::of_sector_bytes(sector_bytes, POREP_ID).expect("a graph");
        let table = parents::Table::in_memory(&graph, 2);
        let key = key::labels(&table, layers, REPLICA_ID).expect("a key");
        let sealed = seal(sector_bytes, Some(key));
        let all = sealed.raw.len() as u64;
        for range in [0..all, all / 2 + 3..all / 2 + 700] {
            let mut request = sealed.request(range.clone());
            request.key = Key::Compute {
                porep_id: POREP_ID,
                replica_id: REPLICA_ID,
                layers,
                parents_dir: sealed.dir.path(),
            };
            let mut out = Vec::new();
            unseal(&request, &mut out).expect("unsealed");
            assert!(
                out[..] == sealed.raw[range.start as usize..range.end as usize],
                "{sector_bytes} bytes, {layers} layers, {range:?}"
            );
        }
    }
}

#[test]
fn ranges_outside_the_sector_are_refused_small() {
    let sealed = seal(2048, None);
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..2033, 2033..2034, 5..4] {
        let error = sealed.refused(&sealed.request(range));
        assert!(matches!(error, Error::Range { bytes: 2032, .. }), "{error}");
    }
    let error = unseal_padded(&sealed.request(0..33), Vec::new()).expect_err("refused");
    assert!(matches!(error, Error::Range { step: 32, .. }), "{error}");
}

#[test]
fn a_size_that_no_sector_has_is_refused_small() {
    let sealed = seal(2048, None);
    let mut request = sealed.request(0..10);
    request.sector_bytes = 8192;
    assert!(matches!(sealed.refused(&request), Error::Shape(_)));
}

#[test]
fn truncated_and_absent_inputs_are_refused_small() {
    let sealed = seal(2048, None);
    let request = sealed.request(0..10);
    for path in [&sealed.sealed, &sealed.layer] {
        let whole = fs::read(path).expect("read");
        fs::write(path, &whole[1..]).expect("write");
        let error = sealed.refused(&request);
        assert!(matches!(
            &error,
            Error::Input(NodesError::Length { found: 2047, path: named, .. }) if named == path
        ));
        fs::remove_file(path).expect("remove");
        let error = sealed.refused(&request);
        assert!(matches!(&error, Error::Input(NodesError::File(file)) if file.path == *path));
        fs::write(path, whole).expect("write");
    }
}

#[test]
fn a_sealed_node_that_is_no_field_element_is_refused_small() {
    let sealed = seal(2048, None);
    let mut bytes = fs::read(&sealed.sealed).expect("read");
    bytes[64..96].fill(0xff);
    fs::write(&sealed.sealed, bytes).expect("write");
    let error = sealed.refused(&sealed.request(0..10));
    assert!(matches!(error, Error::Input(NodesError::Node { node: 2, .. })), "{error}");
}

#[test]
fn a_proof_type_with_the_old_order_of_parents_is_refused_small() {
    let sealed = seal(2048, None);
    let mut request = sealed.request(0..10);
    request.key = Key::Compute {
        porep_id: [0; 32],
        replica_id: REPLICA_ID,
        layers: 2,
        parents_dir: sealed.dir.path(),
    };
    assert!(matches!(sealed.refused(&request), Error::Graph(_)));
}

#[test]
fn a_target_that_fails_is_named_small() {
    let sealed = seal(2048, None);
    let mut room = [0u8; 10];
    let error = unseal(&sealed.request(0..2032), &mut room[..]).expect_err("refused");
    assert!(matches!(error, Error::Write { offset: 0, .. }), "{error}");
}

#[test]
fn the_offset_of_a_failed_write_is_what_was_written_before() {
    let sealed = seal(8 << 20, None);
    let piece = (PIECE_NODES / UNIT_NODES) * UNPADDED_UNIT as u64;
    let mut room = vec![0u8; 2 * piece as usize];
    let error = unseal(&sealed.request(300..3 * piece), &mut room[..]).expect_err("refused");
    let Error::Write { offset, .. } = error else { panic!("{error}") };
    // The first unit that is read begins at byte 254.
    assert_eq!(offset, 2 * piece - (300 - 254));
}
