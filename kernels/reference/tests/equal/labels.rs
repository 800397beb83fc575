//! **Purpose**: labels equal the library's: every kernel and width, and the driver of groups.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hesper_sdr::group::{self, Event};
use hesper_sdr::label::{self, Backend, Request, Width};
use hesper_sdr::parents::Table;
use hesper_sdr::{Graph, key};

use crate::library::{assert_same, assert_same_file, read};
use crate::sector::{KINDS, Kind, MIB, Sector, Workshop};

fn table(kind: Kind) -> Table {
    let graph = Graph::of_sector_bytes(kind.size, kind.porep_id()).expect("a graph");
    Table::in_memory(&graph, 2)
}

/// The labels of one lane as the bytes of a layer file.
fn lane_bytes(buffer: &[u32], width: usize, lane: usize) -> Vec<u8> {
    buffer.iter().skip(lane).step_by(width).flat_map(|word| word.to_be_bytes()).collect()
}

/// Labels with one kernel; lane `i` has the replica id of `sectors[i % sectors.len()]`.
fn check_kernel(backend: Backend, width: Width, table: &Table, sectors: &[Sector]) {
    let kind = sectors[0].kind;
    let lanes = width.lanes();
    let ids: Vec<[u8; 32]> =
        sectors.iter().cycle().take(lanes).map(|sector| sector.replica_id).collect();
    let mut current = vec![0; width.buffer_words(kind.nodes())];
    let mut previous = current.clone();
    for layer in 1..=kind.layers {
        // Uneven pieces: the driver labels a layer in pieces, too.
        let cut = kind.nodes() / 3 + 1;
        for nodes in [0..cut, cut..kind.nodes()] {
            let request =
                Request { layer, replica_ids: &ids, parents: table.rows(nodes.clone()), nodes };
            let before = (layer > 1).then_some(previous.as_slice());
            label::label_nodes(backend, width, &request, &mut current, before);
        }
        for lane in 0..lanes {
            let sector = &sectors[lane % sectors.len()];
            assert_same(
                &lane_bytes(&current, lanes, lane),
                &read(&sector.layer(layer)),
                &format!("{kind:?}, {backend} x {lanes}, layer {layer}, lane {lane}"),
            );
        }
        std::mem::swap(&mut current, &mut previous);
    }
}

#[test]
fn every_kernel_labels_like_the_library_small() {
    for kind in KINDS {
        let shop = Workshop::new();
        let sectors: Vec<Sector> = (1..=3).map(|number| shop.label(kind, number)).collect();
        let table = table(kind);
        for (backend, width) in label::kernels_available() {
            check_kernel(backend, width, &table, &sectors);
        }
    }
}

/// Of each backend the narrowest kernel, and the widest that production takes: all other pairs are
/// compared at small sizes.
fn kernels_for_large() -> Vec<(Backend, Width)> {
    let best = label::best_backend(Width::Sixteen);
    label::kernels_available()
        .into_iter()
        .filter(|kernel| kernel.1 == Width::One || *kernel == (best, Width::Sixteen))
        .collect()
}

#[test]
fn every_path_labels_like_the_library_8_mib() {
    let kind = Kind { size: 8 * MIB, layers: 2 };
    let shop = Workshop::new();
    let sectors = [shop.label(kind, 1), shop.label(kind, 2)];
    let table = table(kind);
    for (backend, width) in kernels_for_large() {
        check_kernel(backend, width, &table, &sectors);
    }
}

#[test]
fn every_path_labels_11_layers_like_the_library_8_mib() {
    let kind = Kind { size: 8 * MIB, layers: 11 };
    let shop = Workshop::new();
    let sectors = [shop.label(kind, 1)];
    let table = table(kind);
    for (backend, width) in kernels_for_large() {
        check_kernel(backend, width, &table, &sectors);
    }
}

/// Labels `sectors` as one group into `ours-N`, with `have` layers of the library already there.
fn check_group(shop: &Workshop, sectors: &[Sector], have: &[u32]) {
    let kind = sectors[0].kind;
    let table = table(kind);
    let members: Vec<group::Sector> = sectors
        .iter()
        .zip(have)
        .map(|(sector, have)| {
            let dir = shop.dir(&format!("ours-{}", sector.number));
            for layer in 1..=*have {
                let name = group::layer_name(layer);
                fs::copy(sector.layer(layer), dir.join(name)).expect("copying a layer");
            }
            group::Sector {
                replica_id: sector.replica_id,
                dir,
                have: *have,
                cancel: Arc::new(AtomicBool::new(false)),
            }
        })
        .collect();
    let mut ended = 0;
    let mut digests = Vec::new();
    group::run(&group::Request::new(&table, kind.layers, members), &mut |event| match event {
        Event::Ended { sector, result } => {
            assert!(result.is_ok(), "sector {sector}: {result:?}");
            ended += 1;
        }
        Event::Layer { sector, layer, len, blake3 } => digests.push((sector, layer, len, blake3)),
        Event::Started { .. } | Event::Progress { .. } => {}
    })
    .expect("a group that runs");
    assert_eq!(ended, sectors.len());

    for sector in sectors {
        for layer in 1..=kind.layers {
            let ours = shop.dir(&format!("ours-{}", sector.number)).join(group::layer_name(layer));
            assert_same_file(&ours, &sector.layer(layer));
        }
    }
    let expected: usize =
        have.iter().map(|have| usize::try_from(kind.layers - have).expect("few layers")).sum();
    assert_eq!(digests.len(), expected);
    for (sector, layer, len, digest) in digests {
        let bytes = read(&sectors[sector].layer(layer));
        assert_eq!(len, bytes.len() as u64);
        assert_eq!(digest, *blake3::hash(&bytes).as_bytes());
    }
}

#[test]
fn groups_write_the_files_of_the_library_small() {
    for kind in KINDS {
        for count in [1, 3, 16] {
            let shop = Workshop::new();
            let sectors: Vec<Sector> = (1..=count).map(|number| shop.label(kind, number)).collect();
            let have: Vec<u32> = (0..u32::try_from(count).expect("few"))
                .map(|lane| if lane % 3 == 1 { 1 + lane % (kind.layers - 1) } else { 0 })
                .collect();
            check_group(&shop, &sectors, &have);
        }
    }
}

#[test]
fn group_writes_the_files_of_the_library_8_mib() {
    let shop = Workshop::new();
    let kind = Kind { size: 8 * MIB, layers: 2 };
    let sectors: Vec<Sector> = (1..=2).map(|number| shop.label(kind, number)).collect();
    check_group(&shop, &sectors, &[0, 1]);
}

#[test]
fn keys_equal_the_last_layer_small() {
    for kind in KINDS {
        let shop = Workshop::new();
        let sector = shop.label(kind, 9);
        let labels = key::labels(&table(kind), kind.layers, sector.replica_id).expect("a key");
        assert_same(&labels, &read(&sector.layer(kind.layers)), "the key");
    }
}
