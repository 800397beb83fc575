//! **Purpose**: unsealing gives back the data, as the library does, from a layer or from nothing.

use std::num::NonZeroUsize;
use std::ops::Range;

use hesper_trees::unseal::{Key, Request, unseal, unseal_padded};
use serde_json::json;

use crate::library::{assert_same, read};
use crate::sector::{KINDS, Kind, MIB, Sector, Workshop, with};

/// What the library restores of `range`, which it takes from multiples of 127 alone: at others it
/// reads bits of the wrong place.
fn library(shop: &Workshop, sector: &Sector, range: &Range<u64>) -> Vec<u8> {
    let output = shop.path().join("library-unsealed");
    shop.library.call(
        "unseal",
        &with(
            sector.kind.request(),
            json!({
                "sealed": sector.sealed,
                "cache": shop.dir("scratch"),
                "output": output,
                "prover_id": hex::encode(sector.prover_id),
                "sector": sector.number,
                "comm_d": hex::encode(sector.comm_d),
                "ticket": hex::encode(sector.ticket),
                "offset": range.start,
                "bytes": range.end - range.start,
            }),
        ),
    );
    read(&output)
}

fn check(kind: Kind, ranges: &[Range<u64>]) {
    let shop = Workshop::new();
    let sector = shop.seal(kind, 4);
    let parents = shop.dir("our-parents");
    let last = sector.layer(kind.layers);
    let data = read(&sector.data);
    let whole = library(&shop, &sector, &(0..kind.size / 128 * 127));
    assert_same(&library(&shop, &sector, &(254..1016)), &whole[254..1016], "the library itself");
    for range in ranges {
        let start = usize::try_from(range.start).expect("a small sector");
        let end = usize::try_from(range.end).expect("a small sector");
        let expected = &whole[start..end];
        let keys = [
            Key::Layer(&last),
            Key::Compute {
                porep_id: kind.porep_id(),
                replica_id: sector.replica_id,
                layers: kind.layers,
                parents_dir: &parents,
            },
        ];
        for (key, what) in keys.into_iter().zip(["a layer", "nothing"]) {
            let request = Request {
                sealed: &sector.sealed,
                sector_bytes: kind.size,
                key,
                range: range.clone(),
                threads: NonZeroUsize::new(2).expect("two"),
            };
            let mut ours = Vec::new();
            let bytes = unseal(&request, &mut ours).expect("unsealing");
            assert_eq!(bytes, range.end - range.start);
            assert_same(&ours, expected, &format!("{kind:?}, {range:?} from {what}"));
        }
    }
    // The Fr32 form is the unsealed sector itself.
    let request = Request {
        sealed: &sector.sealed,
        sector_bytes: kind.size,
        key: Key::Layer(&last),
        range: 0..kind.size,
        threads: NonZeroUsize::new(1).expect("one"),
    };
    let mut ours = Vec::new();
    unseal_padded(&request, &mut ours).expect("unsealing");
    assert_same(&ours, &data, &format!("{kind:?}, the whole in Fr32 form"));
}

#[test]
fn ranges_equal_small() {
    for kind in KINDS {
        let all = kind.size / 128 * 127;
        check(kind, &[0..all, 127..254, 1..2, 100..1000, all - 129..all]);
    }
}

#[test]
fn range_equals_8_mib() {
    check(Kind { size: 8 * MIB, layers: 2 }, &[1_000_003..3_000_000, 8_000_000..8_000_001]);
}
