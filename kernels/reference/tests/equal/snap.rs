//! **Purpose**: SnapDeals: encoding, decoding and removing leave the library's files.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use hesper_trees::snap::{self, Decode, Encode, Remove};
use serde_json::json;

use crate::library::{assert_same_file, bytes32, names};
use crate::sector::{Kind, MIB, SMALL, Workshop, drawn_elements, with};

/// The files of two cache directories, which both had the path that `t_aux` may hold.
fn assert_same_dir(ours: &Path, library: &Path) {
    assert_eq!(names(ours), names(library));
    for name in names(library) {
        assert_same_file(&ours.join(&name), &library.join(&name));
    }
}

/// Lets `make` fill a fresh directory at `path`, then moves it to `away`.
fn in_turn(path: &Path, away: &Path, make: impl FnOnce()) {
    fs::create_dir(path).expect("a fresh directory");
    make();
    fs::rename(path, away).expect("moving the directory away");
}

fn check(kind: Kind) {
    let shop = Workshop::new();
    let key = shop.seal(kind, 6);
    let path = |name: &str| shop.path().join(name);
    let staged = path("staged");
    let len = usize::try_from(kind.size).expect("a small sector");
    fs::write(&staged, drawn_elements(99, len)).expect("writing the new data");
    let threads = NonZeroUsize::new(2).expect("two");

    // Encode: the same cache directory in turn, because of the path in `t_aux`.
    let cache = path("update");
    let mut line = serde_json::Value::Null;
    in_turn(&cache, &path("library-update"), || {
        line = shop.library.call(
            "snap-encode",
            &with(
                kind.request(),
                json!({
                    "replica": path("library-replica"), "cache": cache, "key": key.sealed,
                    "key_cache": key.cache, "staged": staged,
                }),
            ),
        );
    });
    in_turn(&cache, &path("our-update"), || {
        let encoded = snap::encode(&Encode {
            sector_bytes: kind.size,
            sector_key: &key.sealed,
            sector_key_cache: &key.cache,
            staged: &staged,
            replica: &path("our-replica"),
            cache: &cache,
            threads,
        })
        .expect("encoding");
        assert_eq!(encoded.comm_d_new, bytes32(&line, "comm_d"));
        assert_eq!(encoded.comm_r_last_new, bytes32(&line, "comm_r_last"));
        assert_eq!(encoded.comm_r_new, bytes32(&line, "comm_r"));
        for file in &encoded.files {
            let bytes = crate::library::read(&file.path);
            assert_eq!(file.blake3, *blake3::hash(&bytes).as_bytes());
        }
    });
    assert_same_file(&path("our-replica"), &path("library-replica"));
    assert_same_dir(&path("our-update"), &path("library-update"));

    // Decode.
    let comm_d_new = bytes32(&line, "comm_d");
    let replica = path("library-replica");
    let request = with(
        kind.request(),
        json!({
            "output": path("library-data"), "replica": replica, "key": key.sealed,
            "key_cache": key.cache, "comm_d": hex::encode(comm_d_new),
        }),
    );
    shop.library.call("snap-decode", &request);
    snap::decode(&Decode {
        sector_bytes: kind.size,
        sector_key: &key.sealed,
        sector_key_cache: &key.cache,
        replica: &replica,
        comm_d_new,
        out: &path("our-data"),
        threads,
    })
    .expect("decoding");
    assert_same_file(&path("our-data"), &path("library-data"));
    assert_same_file(&path("our-data"), &staged);

    // Remove: the old CommR comes from the cache directory of the first sealing.
    let old = path("old");
    in_turn(&old, &path("library-old"), || {
        let request = with(
            kind.request(),
            json!({
                "key": path("library-key"), "key_cache": old, "replica": replica,
                "cache": key.cache, "data": staged, "comm_d": hex::encode(comm_d_new),
            }),
        );
        shop.library.call("snap-remove", &request);
    });
    in_turn(&old, &path("our-old"), || {
        snap::remove(&Remove {
            sector_bytes: kind.size,
            replica: &replica,
            replica_cache: &key.cache,
            data: &staged,
            comm_d_new,
            sector_key: &path("our-key"),
            sector_key_cache: &old,
            threads,
        })
        .expect("removing");
    });
    assert_same_file(&path("our-key"), &path("library-key"));
    assert_same_file(&path("our-key"), &key.sealed);
    assert_same_dir(&path("our-old"), &path("library-old"));
}

#[test]
fn updates_equal_small() {
    for size in SMALL {
        check(Kind { size, layers: 2 });
    }
}

#[test]
fn update_equals_8_mib() {
    check(Kind { size: 8 * MIB, layers: 2 });
}
