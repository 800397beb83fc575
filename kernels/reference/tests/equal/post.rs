//! **Purpose**: vanilla proofs of window and winning PoSt equal the library's as JSON.

use std::num::NonZeroUsize;

use hesper_poseidon::Backend;
use hesper_trees::post::{self, challenges};
use serde_json::json;

use crate::library::{assert_same, read};
use crate::sector::{Kind, MIB, SMALL, Sector, Workshop, prover_id};

const RANDOMNESS: [u8; 32] = [0x2c; 32];

/// Which leaves are asked for.
#[derive(Clone, Copy, Debug)]
enum Post {
    /// The challenges do not depend on the place of a sector.
    Window,
    /// They do, up to API version 1.1.
    WindowByPlace,
    Winning,
}

impl Post {
    fn kind(self) -> &'static str {
        match self {
            Self::Window | Self::WindowByPlace => "window",
            Self::Winning => "winning",
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::Window => "1.2",
            Self::WindowByPlace => "1.1",
            Self::Winning => "1.0",
        }
    }

    /// The indices of the challenges of the sector at `place`.
    fn indices(self, place: u64) -> std::ops::Range<u64> {
        match self {
            Self::Window => 0..10,
            Self::WindowByPlace => place * 10..place * 10 + 10,
            Self::Winning => 0..66,
        }
    }
}

fn check(shop: &Workshop, sectors: &[Sector], post: Post) {
    let kind = sectors[0].kind;
    let out = shop.path().join("vanilla.json");
    let asked: Vec<_> = sectors
        .iter()
        .map(|sector| {
            json!({
                "number": sector.number,
                "comm_r": hex::encode(sector.comm_r()),
                "sealed": sector.sealed,
                "cache": sector.cache,
            })
        })
        .collect();
    shop.library.call(
        "vanilla",
        &json!({
            "size": kind.size,
            "kind": post.kind(),
            "api_version": post.api_version(),
            "randomness": hex::encode(RANDOMNESS),
            "prover_id": hex::encode(prover_id()),
            "sectors": asked,
            "out": out,
        }),
    );
    let library = read(&out);

    let ours: Vec<post::Sector> = sectors
        .iter()
        .zip(0..)
        .map(|(sector, place)| post::Sector {
            id: sector.number,
            comm_r: sector.comm_r(),
            sealed: sector.sealed.clone(),
            cache: sector.cache.clone(),
            challenges: challenges(
                &RANDOMNESS,
                sector.number,
                kind.nodes().into(),
                post.indices(place),
            )
            .expect("challenges"),
        })
        .collect();
    for backend in Backend::available() {
        let request = post::Request {
            sector_bytes: kind.size,
            sectors: &ours,
            threads: NonZeroUsize::new(2).expect("two"),
            readers_per_device: NonZeroUsize::new(2).expect("two"),
            backend,
        };
        let proofs: Vec<Vec<u8>> = post::vanilla(&request)
            .expect("a right request")
            .into_iter()
            .map(|proof| proof.expect("a proof").to_json())
            .collect();
        let array = [b"[".as_slice(), &proofs.join(&b","[..]), b"]"].concat();
        assert_same(&array, &library, &format!("{kind:?}, {post:?} by {backend}"));
    }
}

fn check_kind(kind: Kind, count: u64) {
    let shop = Workshop::new();
    let sectors: Vec<Sector> = (1..=count).map(|number| shop.seal(kind, number)).collect();
    check(&shop, &sectors, Post::Window);
    check(&shop, &sectors, Post::WindowByPlace);
    check(&shop, &sectors[..1], Post::Winning);
}

#[test]
fn proofs_equal_small() {
    for size in SMALL {
        check_kind(Kind { size, layers: 2 }, 3);
    }
}

#[test]
fn proofs_equal_8_mib() {
    check_kind(Kind { size: 8 * MIB, layers: 2 }, 1);
}
