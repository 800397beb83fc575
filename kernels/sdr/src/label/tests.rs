//! Every kernel against a slow label function straight from the definition.

use sha2::{Digest, Sha256};

use super::*;

const NODES: u32 = 300;

/// Layers of one sector, as bytes.
struct Sector {
    replica_id: [u8; 32],
    layers: Vec<Vec<[u8; 32]>>,
}

fn random(seed: &mut u64) -> u32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as u32
}

/// Rows of a graph like the real one: the node before, earlier nodes, any nodes. Row 0 is zeros.
fn random_rows(mut seed: u64) -> Vec<u32> {
    let mut rows = vec![0; PARENTS];
    for node in 1..NODES {
        rows.push(node - 1);
        // The node before comes again now and then, as in the real graph.
        rows.extend((1..BASE_PARENTS).map(|slot| match random(&mut seed) % node {
            parent if slot == 3 && parent % 2 == 0 => node - 1,
            parent => parent,
        }));
        rows.extend((BASE_PARENTS..PARENTS).map(|_| random(&mut seed) % NODES));
    }
    rows
}

/// The labels by the definition.
fn slow_sector(replica_id: [u8; 32], rows: &[u32], layers: u32) -> Sector {
    let mut sector = Sector { replica_id, layers: Vec::new() };
    for layer in 1..=layers {
        let mut labels: Vec<[u8; 32]> = Vec::new();
        for (node, row) in rows.as_chunks::<PARENTS>().0.iter().enumerate() {
            let mut hasher = Sha256::new();
            hasher.update(replica_id);
            hasher.update(layer.to_be_bytes());
            hasher.update((node as u64).to_be_bytes());
            hasher.update([0; 20]);
            let distinct = if layer == 1 { BASE_PARENTS } else { PARENTS };
            for slot in (0..37).filter(|_| node > 0).map(|slot| slot % distinct) {
                let parent = row[slot] as usize;
                hasher.update(match sector.layers.last() {
                    Some(previous) if slot >= BASE_PARENTS => previous[parent],
                    _ => labels[parent],
                });
            }
            let mut label: [u8; 32] = hasher.finalize().into();
            label[31] &= 0x3f;
            labels.push(label);
        }
        sector.layers.push(labels);
    }
    sector
}

fn replica_id(lane: usize) -> [u8; 32] {
    let mut seed = lane as u64 + 1;
    std::array::from_fn(|_| random(&mut seed) as u8)
}

/// The label of a node in a buffer of lockstep layout.
fn label_of(buffer: &[u32], width: Width, node: usize, lane: usize) -> [u8; 32] {
    let mut label = [0; 32];
    for (word, bytes) in label.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *bytes = buffer[(node * LABEL_WORDS + word) * width.lanes() + lane].to_be_bytes();
    }
    label
}

/// Labels all layers with one kernel in ranges of `step` nodes and compares every lane that has a
/// sector.
fn check(backend: Backend, width: Width, rows: &[u32], sectors: &[Sector], step: u32) {
    let ids: Vec<_> = sectors.iter().map(|sector| sector.replica_id).collect();
    let mut previous: Option<Vec<u32>> = None;
    for (layer, _) in (1..).zip(&sectors[0].layers) {
        let mut current = vec![0xdead_beef; width.buffer_words(NODES)];
        for start in (0..NODES).step_by(step as usize) {
            let nodes = start..NODES.min(start + step);
            let parents = &rows[start as usize * PARENTS..nodes.end as usize * PARENTS];
            let after = width.buffer_words(nodes.end);
            let request = Request { layer, replica_ids: &ids, nodes, parents };
            label_nodes(backend, width, &request, &mut current, previous.as_deref());
            assert!(current[after..].iter().all(|&word| word == 0xdead_beef), "wrote too far");
        }
        for (lane, sector) in sectors.iter().enumerate() {
            for (node, expected) in sector.layers[layer as usize - 1].iter().enumerate() {
                assert_eq!(
                    &label_of(&current, width, node, lane),
                    expected,
                    "{backend} x {width}: layer {layer}, node {node}, lane {lane}"
                );
            }
        }
        previous = Some(current);
    }
}

fn slow_sectors(count: usize, rows: &[u32], layers: u32) -> Vec<Sector> {
    (0..count).map(|lane| slow_sector(replica_id(lane), rows, layers)).collect()
}

#[test]
fn every_kernel_labels_as_the_definition_says_small() {
    let rows = random_rows(1);
    let sectors = slow_sectors(16, &rows, 3);
    assert!(kernels_available().contains(&(Backend::Portable, Width::Sixteen)));
    for (backend, width) in kernels_available() {
        check(backend, width, &rows, &sectors[..width.lanes()], NODES);
    }
}

#[test]
fn ranges_of_any_length_join_small() {
    let rows = random_rows(2);
    let sectors = slow_sectors(16, &rows, 2);
    for (backend, width) in kernels_available() {
        for step in [1, 7, 129] {
            check(backend, width, &rows, &sectors[..width.lanes()], step);
        }
    }
}

#[test]
fn a_group_may_have_fewer_sectors_than_lanes_small() {
    let rows = random_rows(3);
    let sectors = slow_sectors(15, &rows, 2);
    for (backend, width) in kernels_available() {
        for count in 1..width.lanes() {
            if count == 1 || count % 3 == 2 {
                check(backend, width, &rows, &sectors[..count], 100);
            }
        }
    }
}

#[test]
fn each_backend_serves_each_width_small() {
    let rows = random_rows(4);
    let sectors = slow_sectors(16, &rows, 2);
    for backend in Backend::available() {
        for width in Width::ALL {
            check(backend, width, &rows, &sectors[..width.lanes()], NODES);
        }
    }
    for width in Width::ALL {
        assert!(kernels_available().contains(&(best_backend(width), width)));
    }
}

/// The form that this machine does not prefer is right too.
#[test]
fn vector_kernels_agree_with_and_without_kept_schedules_small() {
    let rows = random_rows(5);
    let previous = |width: Width| -> Vec<u32> {
        let mut seed = 6;
        (0..width.buffer_words(NODES)).map(|_| random(&mut seed)).collect()
    };
    let replicas = replica_words(&std::array::from_fn::<_, 16, _>(replica_id));
    for width in [Width::Eight, Width::Sixteen] {
        for backend in Backend::available() {
            for layer in [1, 2] {
                let previous = previous(width);
                let labelled = [false, true].map(|keep_schedules| {
                    let mut current = previous.clone();
                    let job = Job {
                        layer,
                        replicas,
                        rows: &rows[PARENTS..],
                        start: 1,
                        keep_schedules,
                        current: current.as_mut_ptr(),
                        previous: previous.as_ptr(),
                    };
                    // SAFETY: the backend is available, and all nodes lie in both buffers.
                    unsafe { run(backend, width, &job, NODES as usize - 1) };
                    current
                });
                assert!(labelled[0] == labelled[1], "{backend} x {width}, layer {layer}");
                assert!(labelled[0] != previous, "{backend} x {width} labelled nothing");
            }
        }
    }
}

fn refused(layer: u32, nodes: Range<u32>, parents: &[u32], previous: Option<&[u32]>) {
    let ids = [[0; 32]];
    let request = Request { layer, replica_ids: &ids, nodes, parents };
    label_nodes(best_backend(Width::One), Width::One, &request, &mut [0; 80], previous);
}

#[test]
#[should_panic(expected = "a base parent lies outside the layer")]
fn a_base_parent_outside_the_buffer_is_refused() {
    let mut row = [0; PARENTS];
    row[5] = 10;
    refused(1, 1..2, &row, None);
}

#[test]
#[should_panic(expected = "an expander parent lies outside the previous layer")]
fn an_expander_parent_outside_the_buffer_is_refused() {
    let mut row = [0; PARENTS];
    row[13] = 9;
    refused(2, 1..2, &row, Some(&[0; 72]));
}

#[test]
#[should_panic(expected = "which layer 2 needs whole")]
fn layer_two_without_the_previous_layer_is_refused() {
    refused(2, 1..2, &[0; PARENTS], None);
}

#[test]
#[should_panic(expected = "the buffer ends before node 11")]
fn a_node_outside_the_buffer_is_refused() {
    refused(1, 10..11, &[0; PARENTS], None);
}

#[test]
fn the_narrowest_width_that_holds_a_group_is_chosen() {
    let widths = [0, 1, 2, 3, 4, 5, 8, 9, 16].map(|n| Width::for_sectors(n).map(Width::lanes));
    assert_eq!(widths, [1, 1, 2, 4, 4, 8, 8, 16, 16].map(Some));
    assert_eq!(Width::for_sectors(17), None);
}
