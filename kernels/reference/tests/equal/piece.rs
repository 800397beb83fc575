//! **Purpose**: CommP, the Fr32 form of pieces and CommD equal the library's.

use std::fs;

use hesper_trees::fr32::{self, Backend};
use hesper_trees::piece::{self, Piece};
use serde_json::json;

use crate::library::{assert_same, bytes32, read};
use crate::sector::{KIB, Kind, SMALL, Workshop, drawn, with};

/// A piece of `len` drawn bytes in `padded` bytes: CommP and Fr32 form.
fn check(shop: &Workshop, len: usize, padded: u64) {
    let raw = drawn(len as u64, len);
    let path = shop.path().join("raw");
    let out = shop.path().join("padded");
    fs::write(&path, &raw).expect("writing the piece");
    let request = json!({ "data": path, "piece_bytes": padded / 128 * 127, "output": out });
    let line = shop.library.call("comm-p", &request);
    let what = format!("piece of {len} bytes in {padded}");

    let commitment = piece::commitment(raw.as_slice(), padded).expect("CommP");
    assert_eq!(commitment.comm_p, bytes32(&line, "comm_p"), "{what}");
    assert_eq!(commitment.padded_bytes, padded);
    let mut ours = Vec::new();
    let written = piece::write(raw.as_slice(), &mut ours, padded).expect("Fr32 form");
    assert_eq!(written.comm_p, commitment.comm_p, "{what}, written");
    assert_same(&ours, &read(&out), &what);

    let mut filled = raw;
    filled.resize(usize::try_from(padded / 128 * 127).expect("a small piece"), 0);
    for backend in Backend::available() {
        let mut form = vec![0xaa; ours.len()];
        fr32::pad(backend, &filled, &mut form);
        assert_same(&form, &ours, &format!("{what}, padded by {backend}"));
        let mut back = vec![0xaa; filled.len()];
        fr32::unpad(backend, &form, &mut back);
        assert_same(&back, &filled, &format!("{what}, unpadded by {backend}"));
    }
}

#[test]
fn pieces_of_odd_sizes_equal_small() {
    let shop = Workshop::new();
    let sizes = [
        1, 31, 32, 63, 64, 126, 127, 128, 200, 253, 254, 255, 381, 508, 509, 1000, 1016, 1017,
        2032, 4063, 8128, 10_001, 32_511, 32_512,
    ];
    for len in sizes {
        let padded = piece::padded_size_for(len).expect("a small piece");
        let len = usize::try_from(len).expect("a small piece");
        check(&shop, len, padded);
        if padded <= 16 * KIB {
            // Zeros up to a larger power of two.
            check(&shop, len, 2 * padded);
        }
    }
}

#[test]
fn piece_of_3_mib_equals() {
    check(&Workshop::new(), 3_000_001, 4 << 20);
}

/// Pieces of zeros behind `pieces`, up to the end of the sector: the library's CommD is that of the
/// smallest tree over what it is given, ours that of the sector.
fn filled(pieces: &[Piece], size: u64) -> Vec<Piece> {
    let mut filled = pieces.to_vec();
    let mut end = 0;
    for piece in pieces {
        end += piece::alignment(end, piece.padded_bytes).left + piece.padded_bytes;
    }
    while 0 < end && end < size {
        let padded_bytes = 1 << end.trailing_zeros();
        let comm_p = piece::zero(padded_bytes).expect("zeros");
        filled.push(Piece { comm_p, padded_bytes });
        end += padded_bytes;
    }
    filled
}

#[test]
fn comm_d_of_pieces_equals_small() {
    let shop = Workshop::new();
    for size in SMALL {
        let kind = Kind { size, layers: 2 };
        let lists: [&[u64]; 6] = [
            &[],
            &[size],
            &[128, 128],
            &[128, 256, 128],
            &[size / 4, 128, size / 4],
            &[size / 2, 128, 512],
        ];
        for list in lists {
            let pieces: Vec<Piece> = list
                .iter()
                .enumerate()
                .map(|(index, padded)| {
                    let raw = drawn(index as u64, 100);
                    piece::commitment(raw.as_slice(), *padded).expect("CommP")
                })
                .collect();
            let whole = filled(&pieces, size);
            let infos: Vec<_> = whole
                .iter()
                .map(|piece| {
                    json!({
                        "comm_p": hex::encode(piece.comm_p),
                        "bytes": piece.padded_bytes / 128 * 127,
                    })
                })
                .collect();
            let request = with(kind.request(), json!({ "pieces": infos }));
            let expected = bytes32(&shop.library.call("comm-d", &request), "comm_d");
            for pieces in [&pieces, &whole] {
                let ours = piece::comm_d(size, pieces).expect("CommD");
                assert_eq!(ours, expected, "{size} bytes with {list:?}");
            }
        }
    }
}
