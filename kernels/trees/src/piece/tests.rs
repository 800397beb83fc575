//! CommP against a slow tree, published values and bad input.

use std::io::{self, Read};

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

fn slow_root(mut row: Vec<u8>) -> [u8; 32] {
    while row.len() > 32 {
        row = row
            .chunks_exact(64)
            .flat_map(|pair| {
                let mut digest: [u8; 32] = Sha256::digest(pair).into();
                digest[31] &= 0x3f;
                digest
            })
            .collect();
    }
    row.try_into().expect("one node")
}

/// The piece's bytes in Fr32 form, by the slow definition of the format.
fn slow_padded(source: &[u8], padded_bytes: u64) -> Vec<u8> {
    let mut padded = vec![0u8; padded_bytes as usize];
    for bit in 0..source.len() * 8 {
        let (node, place) = (bit / 254, bit % 254);
        padded[node * 32 + place / 8] |= (source[bit / 8] >> (bit % 8) & 1) << (place % 8);
    }
    padded
}

fn bytes(count: usize) -> Vec<u8> {
    let mut out = vec![0; count];
    blake3::Hasher::new().update(&count.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

fn check(source_bytes: usize, padded_bytes: u64) {
    let source = bytes(source_bytes);
    let mut target = Vec::new();
    let piece = write(&source[..], &mut target, padded_bytes).expect("write");
    let padded = slow_padded(&source, padded_bytes);
    assert!(target == padded, "{source_bytes} in {padded_bytes}: other bytes");
    assert_eq!(piece, Piece { comm_p: slow_root(padded), padded_bytes });
    assert_eq!(commitment(&source[..], padded_bytes).expect("commitment"), piece);
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn full_and_partly_filled_pieces_small() {
    for (source, padded) in
        [(0, 128), (1, 128), (127, 128), (128, 256), (1000, 1024), (2032, 2048), (3, 4096)]
    {
        check(source, padded);
    }
}

#[test]
fn pieces_around_the_size_of_a_block() {
    let block = 260_096;
    for (source, padded) in [
        (block, 1 << 18),
        (block - 1, 1 << 18),
        (block + 1, 1 << 19),
        (block, 1 << 20),
        (3 * block - 5, 1 << 20),
        (100, 1 << 20),
    ] {
        check(source, padded);
    }
}

/// Values of the network's table `zerocomm`, and CommD of empty 2 KiB and 32 GiB sectors.
#[test]
fn commitments_of_zeros_are_the_published_ones_small() {
    let table = [
        (128, "3731bb99ac689f66eef5973e4a94da188f4ddcae580724fc6f3fd60dfd488333"),
        (2048, "fc7e928296e516faade986b28f92d44a4f24b935485223376a799027bc18f833"),
        (32 << 30, "077e5fde35c50a9303a55009e3498a4ebedff39c42b710b730d8ec7ac7afa63e"),
    ];
    for (padded, expected) in table {
        assert_eq!(hex(zero(padded).expect("a size")), expected, "{padded}");
        assert_eq!(hex(comm_d(padded, &[]).expect("a size")), expected, "{padded}");
    }
    assert_eq!(commitment(io::empty(), 2048).expect("zeros").comm_p, zero(2048).expect("a size"));
}

#[test]
fn a_reader_that_gives_little_at_a_time_changes_nothing_small() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.0.len()).min(7);
            let (some, rest) = self.0.split_at(count);
            buffer[..count].copy_from_slice(some);
            self.0 = rest;
            Ok(count)
        }
    }
    let source = bytes(4000);
    let slow = commitment(Drip(&source), 4096).expect("commitment");
    assert_eq!(slow, commitment(&source[..], 4096).expect("commitment"));
}

#[test]
fn a_source_that_is_one_byte_too_long_is_refused_small() {
    let error = commitment(&bytes(2033)[..], 2048).expect_err("refused");
    assert!(matches!(error, Error::TooLong { unpadded_bytes: 2032, .. }), "{error}");
}

#[test]
fn sizes_that_no_piece_has_are_refused_small() {
    for padded in [0, 1, 64, 127, 129, 3 << 10] {
        let error = commitment(io::empty(), padded).expect_err("refused");
        assert!(matches!(error, Error::Size { .. }), "{padded}: {error}");
    }
}

#[test]
fn failing_readers_and_writers_are_told_apart_with_their_offset_small() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let source = bytes(100);
    let error = commitment(source.chain(Broken), 2048).expect_err("refused");
    assert!(matches!(error, Error::Read { offset: 100, .. }), "{error}");
    let mut room = [0u8; 1000];
    let error = write(io::empty(), &mut room[..], 2048).expect_err("refused");
    assert!(matches!(error, Error::Write { offset: 0, .. }), "{error}");
}

#[test]
fn sizes_of_pieces_round_up_small() {
    for (raw, padded) in [(0, 128), (1, 128), (127, 128), (128, 256), (254, 256), (255, 512)] {
        assert_eq!(padded_size_for(raw), Some(padded), "{raw}");
    }
    assert_eq!(padded_size_for(u64::MAX), None);
}

#[test]
fn pieces_lie_at_multiples_of_their_size_small() {
    assert_eq!(alignment(0, 2048), Alignment { left: 0, right: 0 });
    assert_eq!(alignment(128, 1024), Alignment { left: 896, right: 0 });
    assert_eq!(alignment(1024, 384), Alignment { left: 0, right: 128 });
}

#[test]
fn comm_d_of_pieces_is_the_root_over_their_bytes_small() {
    let sector = 8192u64;
    for sizes in [
        &[128, 128, 1024, 256][..],
        &[2048, 4096],
        &[4096, 128],
        &[8192],
        &[128],
        &[256, 2048, 2048],
    ] {
        let (mut all, mut pieces) = (Vec::new(), Vec::new());
        for &size in sizes {
            let left = alignment(all.len() as u64, size).left;
            all.resize(all.len() + left as usize, 0);
            let source = bytes(fr32::unpadded_bytes(size) as usize);
            pieces.push(write(&source[..], &mut all, size).expect("piece"));
        }
        all.resize(sector as usize, 0);
        assert_eq!(comm_d(sector, &pieces).expect("fits"), slow_root(all), "{sizes:?}");
    }
}

#[test]
fn pieces_that_do_not_fit_are_refused_small() {
    let piece = |padded_bytes| Piece { comm_p: [1; 32], padded_bytes };
    let full = |pieces: &[Piece]| {
        matches!(comm_d(2048, pieces).expect_err("refused"), Error::SectorFull { .. })
    };
    assert!(full(&[piece(4096)]));
    assert!(full(&[piece(128), piece(2048)]));
    assert!(full(&[piece(1024), piece(1024), piece(128)]));
    let largest = comm_d(1 << 63, &[piece(128), piece(1 << 63)]).expect_err("refused");
    assert!(matches!(largest, Error::SectorFull { .. }), "the sum of the sizes does not wrap");
    let size = comm_d(2048, &[piece(100)]).expect_err("refused");
    assert!(matches!(size, Error::Size { padded_bytes: 100 }), "{size}");
    let sector = comm_d(3000, &[]).expect_err("refused");
    assert!(matches!(sector, Error::SectorSize { .. }), "{sector}");
}

#[test]
fn the_hasher_refuses_more_bytes_than_the_piece_and_torn_nodes_small() {
    for count in [96, 33] {
        let mut hasher = Hasher::new();
        hasher.update(&vec![0; count]);
        let error = hasher.finish(64).expect_err("refused");
        assert!(matches!(error, Error::Hashed { .. }), "{count}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn updates_of_any_size_give_one_root_small(cuts in prop::collection::vec(1usize..3000, 0..8)) {
        let data = bytes(8192);
        let expected = slow_root(data.clone());
        for backend in hesper_sha256::Backend::available() {
            let (mut hasher, mut rest) = (Hasher::with_backend(backend), &data[..]);
            for cut in &cuts {
                let (some, more) = rest.split_at((*cut).min(rest.len()));
                hasher.update(some);
                rest = more;
            }
            hasher.update(rest);
            prop_assert_eq!(hasher.finish(8192).expect("finish"), expected);
        }
    }
}
