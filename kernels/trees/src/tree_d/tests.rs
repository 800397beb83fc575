//! Tree D against a slow tree and the hash of the whole file.

use std::fs;

use sha2::{Digest, Sha256};

use super::*;
use crate::shape::TREE_D_NAME;

fn slow_tree(data: &[u8]) -> Vec<u8> {
    let (mut file, mut row) = (data.to_vec(), data.to_vec());
    while row.len() > NODE {
        row = row
            .chunks_exact(64)
            .flat_map(|pair| {
                let mut digest: [u8; 32] = Sha256::digest(pair).into();
                digest[31] &= 0x3f;
                digest
            })
            .collect();
        file.extend_from_slice(&row);
    }
    file
}

fn data(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    let mut reader = blake3::Hasher::new().update(&bytes.to_le_bytes()).finalize_xof();
    reader.fill(&mut out);
    out
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not zero")
}

fn check(bytes: usize, thread_count: usize) {
    let dir = tempfile::tempdir().expect("directory");
    let (data, unsealed, out) =
        (data(bytes), dir.path().join("unsealed"), dir.path().join(TREE_D_NAME));
    fs::write(&unsealed, &data).expect("write");
    let built = build(&unsealed, &out, bytes as u64, threads(thread_count)).expect("build");
    let (expected, found) = (slow_tree(&data), fs::read(&out).expect("read"));
    assert!(found == expected, "{bytes} bytes, {thread_count} threads: the tree's file differs");
    assert_eq!(built.comm_d[..], expected[expected.len() - 32..]);
    assert_eq!(built.file.blake3, *blake3::hash(&found).as_bytes());
    assert_eq!(built.file.bytes, found.len() as u64);
    assert_eq!(
        commitment(&unsealed, bytes as u64, threads(thread_count)).expect("commitment"),
        built.comm_d
    );
    let names = fs::read_dir(dir.path()).expect("list").count();
    assert_eq!(names, 2, "only the data and the tree are left");
}

#[test]
fn every_size_of_small_sectors_small() {
    for bytes in [2048, 4096, 8192, 16384, 32768] {
        check(bytes, 2);
    }
}

#[test]
fn sectors_of_one_and_of_many_pieces() {
    for (bytes, threads) in [(1 << 20, 1), (1 << 21, 3), (1 << 23, 2)] {
        check(bytes, threads);
    }
}

#[test]
fn the_root_of_an_empty_sector_is_the_published_one_small() {
    let dir = tempfile::tempdir().expect("directory");
    let unsealed = dir.path().join("unsealed");
    fs::write(&unsealed, vec![0u8; 2048]).expect("write");
    let found = commitment(&unsealed, 2048, threads(1)).expect("commitment");
    // `fc7e928296e516faade986b28f92d44a4f24b935485223376a799027bc18f833` is the CommP of 2 KiB of
    // zeros in the table of the network's `zerocomm`.
    let published = "fc7e928296e516faade986b28f92d44a4f24b935485223376a799027bc18f833";
    let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, published);
}

#[test]
fn sizes_that_no_sector_has_are_refused_small() {
    let dir = tempfile::tempdir().expect("directory");
    let unsealed = dir.path().join("unsealed");
    fs::write(&unsealed, vec![0u8; 3000]).expect("write");
    for bytes in [0, 32, 1024, 3000, 4095] {
        let error = commitment(&unsealed, bytes, threads(1)).expect_err("refused");
        assert!(matches!(error, Error::SectorSize { .. }), "{bytes}: {error}");
    }
}

#[test]
fn truncated_and_long_data_are_refused_and_leave_no_file_small() {
    let dir = tempfile::tempdir().expect("directory");
    let (unsealed, out) = (dir.path().join("unsealed"), dir.path().join(TREE_D_NAME));
    for bytes in [2047, 2049, 0] {
        fs::write(&unsealed, vec![0u8; bytes]).expect("write");
        let error = build(&unsealed, &out, 2048, threads(1)).expect_err("refused");
        assert!(matches!(error, Error::DataLength { found, .. } if found == bytes as u64));
        assert!(!out.exists());
    }
}

#[test]
fn absent_data_and_an_absent_directory_are_named_small() {
    let dir = tempfile::tempdir().expect("directory");
    let unsealed = dir.path().join("unsealed");
    let error = commitment(&unsealed, 2048, threads(1)).expect_err("refused");
    assert!(matches!(&error, Error::File(file) if file.path == unsealed), "{error}");
    fs::write(&unsealed, vec![0u8; 2048]).expect("write");
    let out = dir.path().join("absent").join(TREE_D_NAME);
    let error = build(&unsealed, &out, 2048, threads(1)).expect_err("refused");
    assert!(matches!(&error, Error::File(file) if file.action == "create"), "{error}");
}
