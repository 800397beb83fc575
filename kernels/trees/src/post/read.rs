//! What a proof needs from the files of a sector, read device by device.
//!
//! **Purpose**: readers bring the leaves of the challenged segments and the siblings above them into
//! memory while other threads hash.
//!
//! **Invariants**
//! - A segment or group of siblings that several challenges share is read once.
//! - The kernel is told all segments of a sector before the first is waited for.
//! - Between readers and hashers wait at most [`WAITING`] sectors per hashing thread.
//!
//! **Source**: merkletree 0.23 `LevelCacheStore` (layout of tree R last).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{Advice, fadvise};

use super::{Fault, Request, Sector, SectorProof, hash};
use crate::auxiliary::read_p_aux;
use crate::shape::{NODE_BYTES, P_AUX_NAME, Shape, rows_len};

/// Sectors between readers and hashers, for each hashing thread.
const WAITING: usize = 4;
/// Leaves that a hashing thread takes at once, so that the small rows above fill all lanes too.
const BATCH_LEAVES: usize = 1 << 14;
/// A file of tree R last of at most this length is read whole.
const SMALL_TREE_BYTES: u64 = 1 << 16;
/// Bytes of eight siblings.
pub(super) const GROUP_BYTES: usize = 8 * NODE_BYTES;

/// How the rows of a base tree are found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    /// The row of the root; the leaves are row 0.
    pub(super) top: u32,
    /// The lowest row that tree R last keeps: a segment is the leaves below one of its nodes.
    pub(super) low: u32,
}

impl Plan {
    fn new(shape: Shape) -> Plan {
        Plan { shape, top: shape.base_rows(), low: shape.rows_to_discard() + 1 }
    }

    pub(super) fn segment_leaves(self) -> u64 {
        1 << (3 * self.low)
    }

    /// The base tree of a leaf, and the leaf's index in it.
    pub(super) fn place(self, leaf: u64) -> (u64, u64) {
        (leaf / self.shape.base_nodes(), leaf % self.shape.base_nodes())
    }

    /// The offset of a row that the file keeps.
    fn row_offset(self, row: u32) -> u64 {
        (rows_len(self.top, self.low) - rows_len(self.top, row)) * NODE_BYTES as u64
    }

    /// The groups of eight siblings on the way up from a leaf, above the segment.
    fn groups(self, leaf: u64) -> impl Iterator<Item = Group> {
        let (tree, local) = self.place(leaf);
        (self.low..self.top).map(move |row| Group { tree, row, index: local >> (3 * row + 3) })
    }
}

/// Eight siblings in a row of a base tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) tree: u64,
    pub(super) row: u32,
    pub(super) index: u64,
}

/// All that a sector's proof needs.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The sector's place in the request.
    pub(super) place: usize,
    pub(super) comm_c: [u8; 32],
    pub(super) comm_r_last: [u8; 32],
    /// The roots of the base trees.
    pub(super) roots: Vec<u8>,
    /// Numbers of the challenged segments, ascending.
    pub(super) segments: Vec<u64>,
    /// Their leaves.
    pub(super) leaves: Vec<u8>,
    /// The groups above them, ascending.
    pub(super) groups: Vec<Group>,
    /// Their nodes.
    pub(super) siblings: Vec<u8>,
}

type Outcome = Result<SectorProof, Fault>;
type Outcomes = Mutex<Vec<Option<Outcome>>>;

/// Read and hash all sectors of a request.
pub(super) fn pipeline(request: &Request<'_>, shape: Shape) -> Vec<Outcome> {
    let plan = Plan::new(shape);
    let sectors = request.sectors;
    let outcomes: Outcomes = Mutex::new(sectors.iter().map(|_| None).collect());
    let mut devices: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, sector) in sectors.iter().enumerate() {
        match fs::metadata(&sector.sealed) {
            Ok(metadata) => devices.entry(metadata.dev()).or_default().push(place),
            Err(source) => {
                lock(&outcomes)[place] =
                    Some(Err(Fault::Read { path: sector.sealed.clone(), source }));
            }
        }
    }
    let (sender, receiver) = sync_channel(WAITING * request.threads.get());
    let receiver = Arc::new(Mutex::new(receiver));
    let next: Vec<AtomicUsize> = devices.values().map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        for (places, next) in devices.values().zip(&next) {
            for _ in 0..request.readers_per_device.get().min(places.len()) {
                let (sender, outcomes) = (sender.clone(), &outcomes);
                scope.spawn(move || read_device(plan, sectors, places, next, &sender, outcomes));
            }
        }
        drop(sender);
        for _ in 1..request.threads.get().min(sectors.len()) {
            let (receiver, outcomes) = (Arc::clone(&receiver), &outcomes);
            scope.spawn(move || hash_batches(plan, request, &receiver, outcomes));
        }
        // Owned by the hashers alone: when they are gone, readers see it and end.
        let receiver = receiver;
        hash_batches(plan, request, &receiver, &outcomes);
    });
    let outcomes = std::mem::take(&mut *lock(&outcomes));
    outcomes.into_iter().map(|one| one.expect("each sector was read or has a fault")).collect()
}

fn read_device(
    plan: Plan,
    sectors: &[Sector],
    places: &[usize],
    next: &AtomicUsize,
    sender: &SyncSender<Loaded>,
    outcomes: &Outcomes,
) {
    while let Some(&place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
        match load(plan, place, &sectors[place]) {
            Ok(loaded) => {
                if sender.send(loaded).is_err() {
                    return;
                }
            }
            Err(fault) => lock(outcomes)[place] = Some(Err(fault)),
        }
    }
}

fn hash_batches(
    plan: Plan,
    request: &Request<'_>,
    receiver: &Mutex<Receiver<Loaded>>,
    outcomes: &Outcomes,
) {
    loop {
        let mut batch = Vec::new();
        {
            let receiver = lock(receiver);
            let Ok(first) = receiver.recv() else { return };
            let mut leaves = first.leaves.len() / NODE_BYTES;
            batch.push(first);
            while leaves < BATCH_LEAVES {
                let Ok(more) = receiver.try_recv() else { break };
                leaves += more.leaves.len() / NODE_BYTES;
                batch.push(more);
            }
        }
        for (place, outcome) in hash::prove(plan, request, &batch) {
            lock(outcomes)[place] = Some(outcome);
        }
    }
}

/// Read one sector.
fn load(plan: Plan, place: usize, sector: &Sector) -> Result<Loaded, Fault> {
    let sealed = open(&sector.sealed, plan.shape.sector_bytes())?;
    let segment_leaves = plan.segment_leaves();
    let segment_bytes = segment_leaves * NODE_BYTES as u64;
    let mut segments: Vec<u64> =
        sector.challenges.iter().map(|leaf| leaf / segment_leaves).collect();
    segments.sort_unstable();
    segments.dedup();
    // Only hints: where they are refused, the reads below are just slower.
    let _ = fadvise(&sealed, 0, None, Advice::Random);
    for segment in &segments {
        let _ = fadvise(
            &sealed,
            segment * segment_bytes,
            NonZeroU64::new(segment_bytes),
            Advice::WillNeed,
        );
    }

    let aux_path = sector.cache.join(P_AUX_NAME);
    let aux =
        fs::read(&aux_path).map_err(|source| Fault::Read { path: aux_path.clone(), source })?;
    let (comm_c, comm_r_last) = read_p_aux(&aux).map_err(|_| Fault::Length {
        path: aux_path,
        expected: crate::auxiliary::P_AUX_BYTES as u64,
        found: aux.len() as u64,
    })?;
    let mut groups: Vec<Group> =
        sector.challenges.iter().flat_map(|leaf| plan.groups(*leaf)).collect();
    groups.sort_unstable();
    groups.dedup();
    let (roots, siblings) = load_trees(plan, sector, &groups)?;

    let mut leaves = vec![0; segments.len() * segment_bytes as usize];
    for (segment, bytes) in segments.iter().zip(leaves.chunks_exact_mut(segment_bytes as usize)) {
        read(&sealed, &sector.sealed, bytes, segment * segment_bytes)?;
    }
    Ok(Loaded { place, comm_c, comm_r_last, roots, segments, leaves, groups, siblings })
}

/// The roots of all base trees and the nodes of the groups, which are in order of their trees.
fn load_trees(plan: Plan, sector: &Sector, groups: &[Group]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let tree_bytes = plan.shape.tree_r_len() * NODE_BYTES as u64;
    let mut roots = Vec::with_capacity(plan.shape.base_trees() * NODE_BYTES);
    let mut siblings = vec![0; groups.len() * GROUP_BYTES];
    let mut places = groups.iter().zip(siblings.chunks_exact_mut(GROUP_BYTES)).peekable();
    for (tree, name) in plan.shape.tree_r_last_names().into_iter().enumerate() {
        let path = sector.cache.join(name);
        let file = open(&path, tree_bytes)?;
        // What a file keeps is its end, the root last.
        let start = if tree_bytes <= SMALL_TREE_BYTES { 0 } else { tree_bytes - NODE_BYTES as u64 };
        let mut tail = vec![0; (tree_bytes - start) as usize];
        read(&file, &path, &mut tail, start)?;
        roots.extend_from_slice(&tail[tail.len() - NODE_BYTES..]);
        while let Some((group, bytes)) = places.next_if(|(group, _)| group.tree == tree as u64) {
            let offset = plan.row_offset(group.row) + group.index * GROUP_BYTES as u64;
            if start == 0 {
                let offset = offset as usize;
                bytes.copy_from_slice(&tail[offset..offset + GROUP_BYTES]);
            } else {
                read(&file, &path, bytes, offset)?;
            }
        }
    }
    Ok((roots, siblings))
}

fn open(path: &Path, expected: u64) -> Result<File, Fault> {
    let failed = |source| Fault::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    if found != expected {
        return Err(Fault::Length { path: path.to_owned(), expected, found });
    }
    Ok(file)
}

fn read(file: &File, path: &Path, bytes: &mut [u8], offset: u64) -> Result<(), Fault> {
    file.read_exact_at(bytes, offset)
        .map_err(|source| Fault::Read { path: path.to_owned(), source })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked ends the whole call by itself; what it left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
