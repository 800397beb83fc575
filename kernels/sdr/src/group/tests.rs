//! Whole groups against labels made straight from the definition.

use std::fs;
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::Graph;
use crate::engine::CHUNK_NODES;
use crate::key;
use crate::label::Backend;

mod failures;

fn graph(nodes: u32) -> Graph {
    let mut porep_id = [0; 32];
    porep_id[0] = 5;
    Graph::new(nodes, porep_id).expect("in range")
}

fn replica(seed: usize) -> [u8; 32] {
    let mut id: [u8; 32] = Sha256::digest(seed.to_le_bytes()).into();
    id[31] &= 0x3f;
    id
}

/// All layers of a sector, by the slow definition. The rows are those of a table, which the tests of
/// the parents compare with their definition and with published digests.
fn defined(table: &Table, layers: u32, replica_id: [u8; 32]) -> Vec<Vec<u8>> {
    let mut made: Vec<Vec<u8>> = Vec::new();
    let nodes = table.graph().nodes();
    let rows = table.rows(0..nodes).chunks_exact(14);
    for layer in 1..=layers {
        let mut labels: Vec<u8> = Vec::new();
        for (node, row) in (0..nodes).zip(rows.clone()) {
            let mut hash = Sha256::new()
                .chain_update(replica_id)
                .chain_update(layer.to_be_bytes())
                .chain_update(u64::from(node).to_be_bytes())
                .chain_update([0; 20]);
            if node > 0 {
                let known = if layer == 1 { 6 } else { 14 };
                for i in (0..37).map(|i| i % known) {
                    let from = if i < 6 { &labels } else { &made[layer as usize - 2] };
                    hash.update(&from[row[i] as usize * 32..][..32]);
                }
            }
            let mut label: [u8; 32] = hash.finalize().into();
            label[31] &= 0x3f;
            labels.extend(label);
        }
        made.push(labels);
    }
    made
}

/// Sectors with their directories and what a run said of each.
struct Bench {
    table: Table,
    layers: u32,
    root: TempDir,
    sectors: Vec<Sector>,
}

struct Outcome {
    ended: Vec<Option<Result<(), SectorError>>>,
    reported: Vec<Vec<(u32, u64, [u8; 32])>>,
    widths: Vec<(u32, usize, Vec<usize>)>,
}

impl Bench {
    fn new(nodes: u32, layers: u32, count: usize) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let sectors = (0..count)
            .map(|i| {
                let dir = root.path().join(i.to_string());
                fs::create_dir(&dir).expect("makes it");
                Sector { replica_id: replica(i), dir, have: 0, cancel: Arc::default() }
            })
            .collect();
        Self { table: Table::in_memory(&graph(nodes), 1), layers, root, sectors }
    }

    fn request(&self) -> Request<'_> {
        Request::new(&self.table, self.layers, self.sectors.clone())
    }

    fn run(&self, request: &Request<'_>, mut also: impl FnMut(&Event)) -> Outcome {
        let count = request.sectors.len();
        let mut outcome = Outcome {
            ended: (0..count).map(|_| None).collect(),
            reported: vec![Vec::new(); count],
            widths: Vec::new(),
        };
        run(request, &mut |event| {
            also(&event);
            match event {
                Event::Started { layer, width, sectors } => {
                    outcome.widths.push((layer, width, sectors));
                }
                Event::Progress { done, total, .. } => assert!(done <= total),
                Event::Layer { sector, layer, len, blake3 } => {
                    assert!(outcome.ended[sector].is_none(), "a layer after the end");
                    outcome.reported[sector].push((layer, len, blake3));
                }
                Event::Ended { sector, result } => {
                    assert!(outcome.ended[sector].is_none(), "sector {sector} ended twice");
                    outcome.ended[sector] = Some(result);
                }
            }
        })
        .expect("starts");
        assert!(outcome.ended.iter().all(Option::is_some), "every sector ends");
        outcome
    }

    /// The files of a sector up to a layer are right, the events named them, nothing else is there.
    fn assert_layers(&self, sector: usize, upto: u32, outcome: &Outcome) {
        let state = &self.sectors[sector];
        let defined = defined(&self.table, upto, state.replica_id);
        for (labels, layer) in defined.iter().zip(1..) {
            let path = state.dir.join(layer_name(layer));
            assert!(fs::read(&path).expect("reads") == *labels, "sector {sector} layer {layer}");
            let reported = outcome.reported[sector].iter().find(|(other, ..)| *other == layer);
            if layer > state.have {
                let (_, len, blake3) = reported.expect("reported");
                assert_eq!(blake3::hash(labels).as_bytes(), blake3);
                verify_layer(&path, *len, blake3).expect("verifies");
            } else {
                assert!(reported.is_none(), "not made anew");
            }
        }
        assert_eq!(self.names(sector).len(), upto as usize, "{:?}", self.names(sector));
    }

    fn names(&self, sector: usize) -> Vec<String> {
        let entries = fs::read_dir(&self.sectors[sector].dir).expect("lists").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

fn assert_ok(outcome: &Outcome, sector: usize) {
    let result = outcome.ended[sector].as_ref().expect("ended");
    assert!(result.is_ok(), "sector {sector}: {result:?}");
}

#[test]
fn groups_of_every_count_and_backend_write_the_defined_layers_small() {
    for count in [1, 2, 3, 4, 5, 8, 11, 16] {
        let bench = Bench::new(64, 2, count);
        for backend in Backend::available() {
            let request = Request { backend: Some(backend), ..bench.request() };
            let outcome = bench.run(&request, |_| {});
            for sector in 0..count {
                assert_ok(&outcome, sector);
                bench.assert_layers(sector, 2, &outcome);
            }
            let all: Vec<usize> = (0..count).collect();
            let width = kernel_width(count);
            assert_eq!(outcome.widths, [(1, width, all.clone()), (2, width, all)]);
        }
    }
}

#[test]
fn eleven_layers_of_32_kib_are_right_small() {
    let bench = Bench::new(1024, 11, 3);
    let outcome = bench.run(&bench.request(), |_| {});
    for sector in 0..3 {
        assert_ok(&outcome, sector);
        bench.assert_layers(sector, 11, &outcome);
    }
}

#[test]
fn many_chunks_and_several_writers_keep_the_order() {
    // More nodes than a chunk, and no whole number of chunks.
    let nodes = CHUNK_NODES * 2 + 1001;
    let bench = Bench::new(nodes, 2, 3);
    let request = Request { writers: 2, progress_nodes: 1, ..bench.request() };
    let mut progress = Vec::new();
    let outcome = bench.run(&request, |event| {
        if let Event::Progress { layer: 1, done, .. } = event {
            progress.push(*done);
        }
    });
    assert_eq!(progress, [8192, 16384, u64::from(nodes)]);
    for sector in 0..3 {
        assert_ok(&outcome, sector);
        bench.assert_layers(sector, 2, &outcome);
    }
}

/// Each sector starts at its own layer and joins when the others get there.
#[test]
fn sectors_with_layers_join_the_others_small() {
    let mut bench = Bench::new(64, 5, 6);
    for (sector, have) in [0, 5, 2, 1, 4, 2].into_iter().enumerate() {
        if have > 0 {
            let alone = Request {
                layers: have,
                sectors: vec![bench.sectors[sector].clone()],
                ..bench.request()
            };
            assert_ok(&bench.run(&alone, |_| {}), 0);
        }
        bench.sectors[sector].have = have;
    }
    let outcome = bench.run(&bench.request(), |_| {});
    for sector in 0..6 {
        assert_ok(&outcome, sector);
        bench.assert_layers(sector, 5, &outcome);
    }
    let widths = [
        (1, 1, vec![0]),
        (2, 2, vec![0, 3]),
        (3, 4, vec![0, 2, 3, 5]),
        (4, 4, vec![0, 2, 3, 5]),
        (5, 8, vec![0, 2, 3, 4, 5]),
    ];
    assert_eq!(outcome.widths, widths);
}

#[test]
fn a_sector_with_all_layers_ends_at_once_small() {
    let mut bench = Bench::new(64, 1, 1);
    bench.sectors[0].have = 1;
    let outcome = bench.run(&bench.request(), |_| {});
    assert_ok(&outcome, 0);
    assert!(outcome.widths.is_empty());
}

#[test]
fn several_groups_run_side_by_side_small() {
    let first = Bench::new(64, 2, 3);
    let second = Bench::new(1024, 3, 2);
    let requests = [
        Request { core: Some(0), ..first.request() },
        Request { core: Some(9999), ..second.request() },
    ];
    let ended = Mutex::new(Vec::new());
    let results = run_groups(&requests, &mut |group, event| {
        if let Event::Ended { sector, result } = event {
            assert!(result.is_ok());
            ended.lock().expect("not poisoned").push((group, sector));
        }
    });
    assert!(results.iter().all(Result::is_ok));
    let mut ended = ended.into_inner().expect("not poisoned");
    ended.sort_unstable();
    assert_eq!(ended, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]);
    for (bench, count) in [(&first, 3), (&second, 2)] {
        for sector in 0..count {
            let defined = defined(&bench.table, bench.layers, replica(sector));
            let last = bench.sectors[sector].dir.join(layer_name(bench.layers));
            assert!(fs::read(last).expect("reads") == *defined.last().expect("layers"));
        }
    }
}

#[test]
fn the_key_is_the_last_layer_small() {
    let graph = graph(1024);
    let table = Table::in_memory(&graph, 2);
    let ids: Vec<_> = (0..3).map(replica).collect();
    let defined: Vec<_> = ids.iter().map(|id| defined(&table, 3, *id)[2].clone()).collect();
    assert!(key::labels(&table, 3, ids[0]).expect("labels") == defined[0]);

    // Of several sectors at once, up to a node.
    let request = key::Request { nodes: 700, ..key::Request::new(&table, 3, &ids) };
    let mut made = vec![Vec::new(); 3];
    key::run::<()>(&request, &mut |first, lanes| {
        assert_eq!(first as usize * 32, made[0].len());
        made.iter_mut().zip(lanes).for_each(|(made, lane)| made.extend_from_slice(lane));
        Ok(())
    })
    .expect("runs");
    for (made, defined) in made.iter().zip(&defined) {
        assert!(made == &defined[..700 * 32]);
    }

    let cancelled = AtomicBool::new(true);
    let request = key::Request { cancel: Some(&cancelled), ..request };
    let result = key::run::<()>(&request, &mut |_, _| Ok(()));
    assert!(matches!(result, Err(key::KeyError::Cancelled)));
    let request = key::Request::new(&table, 1, &ids);
    let result = key::run(&request, &mut |_, _| Err("no space"));
    assert!(matches!(result, Err(key::KeyError::Sink("no space"))));
    for request in [
        key::Request { layers: 0, ..request },
        key::Request { nodes: 1025, ..request },
        key::Request { replica_ids: &[], ..request },
    ] {
        let result = key::run::<()>(&request, &mut |_, _| Ok(()));
        assert!(matches!(result, Err(key::KeyError::Request { .. })));
    }
}

#[test]
fn memory_follows_the_kernel_width() {
    for (sectors, width) in [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (16, 16)] {
        assert_eq!(kernel_width(sectors), width as usize);
        let memory = memory_bytes(sectors, 1 << 29);
        assert!((width << 30..(width << 30) + (width << 21)).contains(&memory));
    }
}

/// 8 MiB, all lanes of a group, by the fastest kernel: many chunks, blocks and prefetches.
#[test]
fn a_group_of_8_mib_is_right() {
    let nodes = 1 << 18;
    let bench = Bench::new(nodes, 2, 5);
    let outcome = bench.run(&bench.request(), |_| {});
    for sector in 0..5 {
        assert_ok(&outcome, sector);
    }
    bench.assert_layers(1, 2, &outcome);
    bench.assert_layers(4, 2, &outcome);
    drop(bench.root);
}
