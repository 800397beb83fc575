//! PC1 of a group of sectors in lockstep: one thread labels, others write.
//!
//! **Purpose:** the layer files of up to 16 sectors of one size, each of which starts at its own
//! layer, ends, fails or is cancelled on its own.
//!
//! **Invariants:**
//! - a file under a layer's name is whole and on disc: it is written under a temporary name, synced,
//!   renamed, and the directory synced, before its event;
//! - finished labels are copied out of the buffer by the labelling thread, while they are in its
//!   cache; what the writers read is theirs alone;
//! - a sector that ends early leaves no temporary file, and the others go on;
//! - each sector ends exactly once.
//!
//! **Source:** Filecoin specification, "Stacked DRG Proof of Replication".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use crate::engine::{Engine, lane_stride};
use crate::graph::NODE_BYTES;
use crate::label::{self, Width};
use crate::parents::Table;

mod error;
mod files;
mod labeller;
mod writer;

pub use error::{GroupError, SectorError};
pub use files::{layer_name, verify_layer};

/// Most sectors of a group.
pub const SECTORS_MAX: usize = 16;
/// Chunks of labels between the labelling thread and the writers.
const CHUNKS: usize = 4;
const PROGRESS_NODES: u64 = 1 << 20;

/// A sector of a group.
#[derive(Clone, Debug)]
pub struct Sector {
    pub replica_id: [u8; 32],
    /// Where its layers are written; must exist.
    pub dir: PathBuf,
    /// Layers 1 to `have` lie in `dir` and were verified by the caller.
    pub have: u32,
    /// Set it to end the sector with [`SectorError::Cancelled`].
    pub cancel: Arc<AtomicBool>,
}

/// What a group does.
#[derive(Debug)]
pub struct Request<'a> {
    pub table: &'a Table,
    /// Layers of each sector, those it has already included.
    pub layers: u32,
    /// 1 to [`SECTORS_MAX`].
    pub sectors: Vec<Sector>,
    /// None: the fastest of this machine for the width of each layer.
    pub backend: Option<label::Backend>,
    /// The CPU that labels; it also touches the buffers first, so that their memory is near.
    pub core: Option<usize>,
    /// Threads that hash and write.
    pub writers: usize,
    /// Nodes between two events of progress.
    pub progress_nodes: u64,
}

impl<'a> Request<'a> {
    /// One writer, no pinning, the fastest kernels.
    pub fn new(table: &'a Table, layers: u32, sectors: Vec<Sector>) -> Self {
        Self {
            table,
            layers,
            sectors,
            backend: None,
            core: None,
            writers: 1,
            progress_nodes: PROGRESS_NODES,
        }
    }
}

/// What happens in a group. Sectors are indices of [`Request::sectors`].
#[derive(Debug)]
pub enum Event {
    /// A layer starts with this kernel width for these sectors.
    Started { layer: u32, width: usize, sectors: Vec<usize> },
    /// Nodes of the present layer, the same for all sectors that are being labelled.
    Progress { layer: u32, done: u64, total: u64 },
    /// The file of a layer is durable under its name.
    Layer { sector: usize, layer: u32, len: u64, blake3: [u8; 32] },
    /// Once per sector, after everything of it is on disc or its temporary file is removed.
    Ended { sector: usize, result: Result<(), SectorError> },
}

/// The kernel width for so many sectors.
///
/// # Panics
/// For more than [`SECTORS_MAX`].
pub fn kernel_width(sectors: usize) -> usize {
    Width::for_sectors(sectors).expect("at most 16 sectors in a group").lanes()
}

/// Bytes of memory that a group takes: two layers in the kernel's width, and the chunks on their way
/// to the writers.
///
/// # Panics
/// For more than [`SECTORS_MAX`].
pub fn memory_bytes(sectors: usize, sector_bytes: u64) -> u64 {
    let width = kernel_width(sectors) as u64;
    let nodes = u32::try_from(sector_bytes / NODE_BYTES as u64).unwrap_or(u32::MAX);
    width * (2 * sector_bytes + CHUNKS as u64 * lane_stride(nodes) as u64)
}

/// Labels all sectors to their end. Events are delivered on the calling thread.
///
/// # Errors
/// Only when nothing was started: no sectors, too many, layers out of range, one directory twice, no
/// memory. What happens to a sector is in its event.
///
/// # Panics
/// When a thread cannot be started or has panicked.
pub fn run(request: &Request<'_>, events: &mut dyn FnMut(Event)) -> Result<(), GroupError> {
    check(request)?;
    let count = request.sectors.len();
    let unfinished = |sector: &&Sector| sector.have < request.layers;
    let labelled = request.sectors.iter().filter(unfinished).count();
    // Before any event: an error means that there was none.
    let engine = match Width::for_sectors(labelled).filter(|_| labelled > 0) {
        Some(width) => Some(Engine::new(request.table, request.backend, width)?),
        None => None,
    };
    let mut ended = vec![false; count];
    for (sector, state) in request.sectors.iter().enumerate() {
        if state.have == request.layers {
            ended[sector] = true;
            events(Event::Ended { sector, result: Ok(()) });
        }
    }
    let Some(engine) = engine else { return Ok(()) };

    let shared = Shared {
        request,
        slots: (0..count).map(|_| writer::Slot::default()).collect(),
        abandoned: AtomicBool::new(false),
    };
    let (event_sender, event_receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        // Also set when `events` panics: the threads end soon and the scope can return.
        let _abandon = Abandon(&shared.abandoned);
        let (finish_sender, finish_receiver) = mpsc::channel();
        let writers: Vec<_> = (0..request.writers.max(1))
            .map(|writer| {
                let (sender, receiver) = mpsc::channel();
                let (shared, finish) = (&shared, finish_sender.clone());
                scope.spawn(move || writer::write(shared, writer, &receiver, &finish));
                sender
            })
            .collect();
        let finish_events = event_sender.clone();
        scope.spawn(|| writer::finish(&shared, finish_receiver, finish_events));
        scope.spawn(|| labeller::label(&shared, engine, writers, finish_sender, event_sender));
        // The channel closes when the last of them has ended.
        for event in event_receiver {
            if let Event::Ended { sector, .. } = event {
                ended[sector] = true;
            }
            events(event);
        }
    });
    for sector in (0..count).filter(|sector| !ended[*sector]) {
        events(Event::Ended { sector, result: Err(SectorError::Abandoned) });
    }
    Ok(())
}

/// Runs several groups at once, each with its own threads. The number in an event is the group's.
///
/// # Panics
/// As [`run`]. A panic of `events` ends all groups and goes through.
pub fn run_groups(
    requests: &[Request<'_>],
    events: &mut dyn FnMut(usize, Event),
) -> Vec<Result<(), GroupError>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let groups: Vec<_> = requests
            .iter()
            .enumerate()
            .map(|(group, request)| {
                let sender = sender.clone();
                scope.spawn(move || {
                    run(request, &mut |event| {
                        if sender.send((group, event)).is_err() {
                            // The receiver's thread is unwinding. Nobody would hear of what this
                            // group does, or could cancel it: it ends as with a panic of its own.
                            std::panic::resume_unwind(Box::new("nobody listens to the group"));
                        }
                    })
                })
            })
            .collect();
        drop(sender);
        for (group, event) in receiver {
            events(group, event);
        }
        let join = |group: std::thread::ScopedJoinHandle<'_, _>| {
            group.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        groups.into_iter().map(join).collect()
    })
}

/// What the threads of a group share.
struct Shared<'a> {
    request: &'a Request<'a>,
    /// One for each sector.
    slots: Vec<writer::Slot>,
    /// Nobody waits for the group any more.
    abandoned: AtomicBool,
}

struct Abandon<'a>(&'a AtomicBool);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check(request: &Request<'_>) -> Result<(), GroupError> {
    let sectors = request.sectors.len();
    if sectors == 0 || sectors > SECTORS_MAX {
        return Err(GroupError::Sectors { sectors });
    }
    for sector in &request.sectors {
        if request.layers == 0 || sector.have > request.layers {
            return Err(GroupError::Layers { have: sector.have, layers: request.layers });
        }
    }
    let mut dirs: BTreeSet<&Path> = BTreeSet::new();
    match request.sectors.iter().find(|sector| !dirs.insert(&sector.dir)) {
        Some(sector) => Err(GroupError::SameDir { dir: sector.dir.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
