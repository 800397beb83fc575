//! The thread that labels a group.
//!
//! **Purpose:** layer after layer, choose the lanes and the width, label, copy the labels out and
//! look for sectors that were cancelled.
//!
//! **Invariants:** a sector is labelled in a layer when it is not stopped and has not that layer; the
//! layer before comes from the buffer when the sector was labelled there, else from its file.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};

use super::files::Finished;
use super::writer::{Chunk, Finish};
use super::{CHUNKS, Event, SectorError, Shared};
use crate::engine::{CHUNK_NODES, Engine, blocks, lane_stride, pieces};
use crate::graph::NODE_BYTES;
use crate::label::Width;

/// Where the labels and messages go.
struct Outlets {
    writers: Vec<Sender<Arc<Chunk>>>,
    finisher: Sender<Finish>,
    events: Sender<Event>,
    /// Memory of chunks that are written.
    pool: Receiver<Vec<u8>>,
    to_pool: Sender<Vec<u8>>,
}

/// Labels until all sectors have ended.
pub(super) fn label(
    shared: &Shared<'_>,
    mut engine: Engine<'_>,
    writers: Vec<Sender<Arc<Chunk>>>,
    finisher: Sender<Finish>,
    events: Sender<Event>,
) {
    if let Some(core) = shared.request.core {
        pin(core);
    }
    let (to_pool, pool) = mpsc::channel();
    for _ in 0..CHUNKS {
        // The receiver is in this function.
        let _ = to_pool.send(Vec::new());
    }
    let outlets = Outlets { writers, finisher, events, pool, to_pool };
    let mut lanes: Arc<[usize]> = Arc::from([]);
    for layer in 1..=shared.request.layers {
        look_for_cancelled(shared, &outlets);
        let sectors = shared.request.sectors.iter().zip(&shared.slots).enumerate();
        let next: Arc<[usize]> = sectors
            .filter(|(_, (sector, slot))| sector.have < layer && !slot.is_stopped())
            .map(|(index, _)| index)
            .collect();
        if next.is_empty() {
            // Those that have this layer join later.
            continue;
        }
        if layer == 1 || next != lanes {
            change_lanes(shared, &mut engine, &outlets, layer, &lanes, &next);
        }
        lanes = next;
        if label_layer(shared, &mut engine, &outlets, layer, &lanes).is_break() {
            return;
        }
        engine.turn();
    }
}

/// Arranges the layer before `layer` for other lanes.
fn change_lanes(
    shared: &Shared<'_>,
    engine: &mut Engine<'_>,
    outlets: &Outlets,
    layer: u32,
    old: &[usize],
    new: &[usize],
) {
    let Some(width) = Width::for_sectors(new.len()) else { return };
    let request = shared.request;
    let from: Vec<Option<usize>> =
        new.iter().map(|sector| old.iter().position(|other| other == sector)).collect();
    if layer == 1 {
        engine.set_width(width);
        return;
    }
    let bytes = request.table.graph().sector_bytes();
    let mut joining: Vec<(usize, usize, Finished)> = Vec::new();
    for (lane, &sector) in new.iter().enumerate().filter(|(lane, _)| from[*lane].is_none()) {
        match Finished::open(&request.sectors[sector].dir, layer - 1, bytes) {
            Ok(file) => joining.push((lane, sector, file)),
            Err(error) => shared.slots[sector].stop(sector, error, &outlets.finisher),
        }
    }
    let mut labels = vec![0; CHUNK_NODES as usize * NODE_BYTES];
    engine.set_lanes(width, &from, |nodes, buffer| {
        let labels = &mut labels[..nodes.len() * NODE_BYTES];
        let offset = u64::from(nodes.start) * NODE_BYTES as u64;
        look_for_cancelled(shared, outlets);
        for (lane, sector, file) in &joining {
            let slot = &shared.slots[*sector];
            if slot.is_stopped() {
                continue;
            }
            match file.read(offset, labels) {
                Ok(()) => buffer.copy_lane_in(*lane, nodes.start, labels),
                Err(error) => slot.stop(*sector, error, &outlets.finisher),
            }
        }
    });
}

/// Breaks when nobody needs the group any more.
fn label_layer(
    shared: &Shared<'_>,
    engine: &mut Engine<'_>,
    outlets: &Outlets,
    layer: u32,
    lanes: &Arc<[usize]>,
) -> ControlFlow<()> {
    let request = shared.request;
    let replica_ids: Vec<[u8; 32]> =
        lanes.iter().map(|sector| request.sectors[*sector].replica_id).collect();
    let width = engine.width().lanes();
    let total = request.table.graph().nodes();
    let stride = lane_stride(total);
    let started = Event::Started { layer, width, sectors: lanes.to_vec() };
    // Without a receiver the group is abandoned, which is looked at below.
    let _ = outlets.events.send(started);
    let mut reported = 0;
    for chunk in blocks(total, CHUNK_NODES) {
        // Waits for the writers when they are behind by all chunks.
        let Ok(mut bytes) = outlets.pool.recv() else { return ControlFlow::Break(()) };
        bytes.resize(stride * width, 0);
        for step in pieces(chunk.clone(), engine.step_nodes()) {
            look_for_cancelled(shared, outlets);
            let is_needed = lanes.iter().any(|sector| !shared.slots[*sector].is_stopped());
            if shared.abandoned.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            if !is_needed {
                // Sectors with more layers may still join.
                let _ = outlets.to_pool.send(bytes);
                return ControlFlow::Continue(());
            }
            engine.label(layer, &replica_ids, step.clone());
            let offset = (step.start - chunk.start) as usize * NODE_BYTES;
            engine.current().copy_out(step, &mut bytes[offset..], stride);
        }
        let labels = Arc::new(Chunk {
            layer,
            is_first: chunk.start == 0,
            is_last: chunk.end == total,
            sectors: Arc::clone(lanes),
            bytes,
            stride,
            nodes: chunk.len(),
            pool: outlets.to_pool.clone(),
        });
        for writer in &outlets.writers {
            if writer.send(Arc::clone(&labels)).is_err() {
                return ControlFlow::Break(());
            }
        }
        let done = u64::from(chunk.end);
        if done - reported >= request.progress_nodes.max(1) || chunk.end == total {
            reported = done;
            let total = u64::from(total);
            // As above.
            let _ = outlets.events.send(Event::Progress { layer, done, total });
        }
    }
    ControlFlow::Continue(())
}

fn look_for_cancelled(shared: &Shared<'_>, outlets: &Outlets) {
    for (index, sector) in shared.request.sectors.iter().enumerate() {
        if sector.have < shared.request.layers && sector.cancel.load(Ordering::Relaxed) {
            shared.slots[index].stop(index, SectorError::Cancelled, &outlets.finisher);
        }
    }
}

/// Keeps this thread on one CPU. The labels are the same when the machine refuses.
fn pin(core: usize) {
    #[cfg(target_os = "linux")]
    if core < rustix::thread::CpuSet::MAX_CPU {
        let mut cpus = rustix::thread::CpuSet::new();
        cpus.set(core);
        let _ = rustix::thread::sched_setaffinity(None, &cpus);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = core;
}
