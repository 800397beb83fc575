//! The threads that write the layers of a group.
//!
//! **Purpose:** hash and append chunks of labels, each sector always by the same thread, and make
//! finished layers durable in one more thread, so that no sync holds up the next chunk.
//!
//! **Invariants:**
//! - whoever sets `stopped` tells the finisher why, and the finisher alone reports to the caller;
//! - the slot of a sector owns its unfinished files, and one is created only under the slot's lock
//!   and only while the sector is not stopped: after the finisher has emptied the slot of a stopped
//!   sector, no temporary file of it is there or appears. A run that follows may use its names.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::Layer;
use super::{Event, SectorError, Shared};
use crate::graph::NODE_BYTES;

/// The state of one sector.
#[derive(Default)]
pub(super) struct Slot {
    stopped: AtomicBool,
    files: Mutex<Files>,
}

/// The files of a sector that are not yet under their final names.
#[derive(Default)]
pub(super) struct Files {
    /// Being written.
    open: Option<Layer>,
    /// Whole, in ascending order of layers; each was announced to the finisher.
    whole: VecDeque<Layer>,
}

impl Slot {
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends the sector. The first one to stop it gives the reason.
    pub(super) fn stop(&self, sector: usize, error: SectorError, finisher: &Sender<Finish>) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            // Without a finisher the group has ended, and with it the sector.
            let _ = finisher.send(Finish::Fail { sector, error });
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // A panic while it was held leaves a layer that is never announced.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn add_whole(&self, file: Layer) {
        self.files().whole.push_back(file);
    }

    /// Removes all that is unfinished.
    fn clear(&self) {
        *self.files() = Files::default();
    }
}

/// Labels of consecutive nodes of several sectors.
pub(super) struct Chunk {
    pub(super) layer: u32,
    /// The first chunk of the layer, the last one.
    pub(super) is_first: bool,
    pub(super) is_last: bool,
    /// Sector of each lane.
    pub(super) sectors: Arc<[usize]>,
    /// The labels of lane `l` start at `l * stride`.
    pub(super) bytes: Vec<u8>,
    pub(super) stride: usize,
    pub(super) nodes: usize,
    /// Where the memory goes back to.
    pub(super) pool: Sender<Vec<u8>>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // The labelling thread may have ended.
        let _ = self.pool.send(std::mem::take(&mut self.bytes));
    }
}

/// For the finisher.
pub(super) enum Finish {
    /// The next whole file of the sector's slot.
    Layer {
        sector: usize,
        layer: u32,
    },
    Fail {
        sector: usize,
        error: SectorError,
    },
}

/// Writes the sectors of one thread.
pub(super) fn write(
    shared: &Shared<'_>,
    writer: usize,
    chunks: &Receiver<Arc<Chunk>>,
    finisher: &Sender<Finish>,
) {
    let writers = shared.request.writers.max(1);
    for chunk in chunks {
        for (lane, &sector) in chunk.sectors.iter().enumerate() {
            if sector % writers != writer {
                continue;
            }
            let slot = &shared.slots[sector];
            let mut files = slot.files();
            if slot.is_stopped() {
                continue;
            }
            let written = append(shared, &mut files.open, &chunk, lane, sector);
            match written {
                Err(error) => {
                    files.open = None;
                    slot.stop(sector, error, finisher);
                }
                Ok(()) if chunk.is_last => {
                    if let Some(file) = files.open.take() {
                        files.whole.push_back(file);
                        // As in `stop`.
                        let _ = finisher.send(Finish::Layer { sector, layer: chunk.layer });
                    }
                }
                Ok(()) => {}
            }
        }
    }
    // The group has ended: what is still open belongs to a sector that did not.
    for (_, slot) in shared.slots.iter().enumerate().filter(|(i, _)| i % writers == writer) {
        slot.files().open = None;
    }
}

fn append(
    shared: &Shared<'_>,
    open: &mut Option<Layer>,
    chunk: &Chunk,
    lane: usize,
    sector: usize,
) -> Result<(), SectorError> {
    if chunk.is_first {
        let dir = &shared.request.sectors[sector].dir;
        let bytes = shared.request.table.graph().sector_bytes();
        *open = Some(Layer::create(dir, chunk.layer, bytes)?);
    }
    let start = lane * chunk.stride;
    match open {
        Some(layer) => layer.append(&chunk.bytes[start..start + chunk.nodes * NODE_BYTES]),
        None => Err(SectorError::Abandoned),
    }
}

/// Makes layers durable and reports, until the writers and the labelling thread have ended.
pub(super) fn finish(shared: &Shared<'_>, jobs: Receiver<Finish>, events: Sender<Event>) {
    let mut ended = vec![false; shared.slots.len()];
    for job in jobs {
        let (sector, event) = match job {
            Finish::Layer { sector, .. } | Finish::Fail { sector, .. } if ended[sector] => continue,
            Finish::Layer { sector, layer } => {
                // The lock is free again before the sync.
                let file = shared.slots[sector].files().whole.pop_front();
                match file.map_or(Err(SectorError::Abandoned), Layer::finish) {
                    Ok((len, blake3)) => (sector, Ok((layer, len, blake3))),
                    Err(error) => {
                        shared.slots[sector].stopped.store(true, Ordering::Release);
                        (sector, Err(error))
                    }
                }
            }
            Finish::Fail { sector, error } => (sector, Err(error)),
        };
        let result = match event {
            Ok((layer, len, blake3)) => {
                // Without a receiver the group is abandoned, and its files are right all the same.
                let _ = events.send(Event::Layer { sector, layer, len, blake3 });
                if layer < shared.request.layers {
                    continue;
                }
                Ok(())
            }
            Err(error) => {
                shared.slots[sector].clear();
                Err(error)
            }
        };
        ended[sector] = true;
        // As above.
        let _ = events.send(Event::Ended { sector, result });
    }
}
