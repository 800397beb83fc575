//! Layer after layer of several sectors.
//!
//! **Purpose:** the two buffers of a group, the parents and the kernel, behind one step: label the
//! next nodes.
//!
//! **Invariants:**
//! - nodes of a layer are labelled in ascending order, a layer after the one before;
//! - the buffers have the width of the kernel; lanes beyond the sectors mean nothing.

use std::ops::Range;

use crate::graph::NODE_BYTES;
use crate::label::{self, Width};
use crate::lockstep::{Lockstep, LockstepError};
use crate::parents::Table;

/// Nodes handed on together.
pub(crate) const CHUNK_NODES: u32 = 8192;
/// Nodes times lanes labelled in one call: their labels are still in the second cache when they are
/// copied out.
const STEP_LABELS: usize = 16384;

/// Bytes from one lane to the next in a chunk of at most `nodes` nodes. Whole cache lines, and one
/// more: lanes a power of two apart would share one set of the first cache.
pub(crate) fn lane_stride(nodes: u32) -> usize {
    nodes.min(CHUNK_NODES) as usize * NODE_BYTES + 64
}

pub(crate) struct Engine<'a> {
    table: &'a Table,
    backend: Option<label::Backend>,
    width: Width,
    current: Lockstep,
    previous: Lockstep,
}

impl<'a> Engine<'a> {
    /// Buffers for at most `width` lanes.
    pub(crate) fn new(
        table: &'a Table,
        backend: Option<label::Backend>,
        width: Width,
    ) -> Result<Self, LockstepError> {
        let nodes = table.graph().nodes();
        let buffer = || Lockstep::new(nodes, width.lanes());
        Ok(Self { table, backend, width, current: buffer()?, previous: buffer()? })
    }

    pub(crate) fn width(&self) -> Width {
        self.width
    }

    /// Nodes of one call of the kernel.
    pub(crate) fn step_nodes(&self) -> u32 {
        // At most STEP_LABELS.
        (STEP_LABELS / self.width.lanes()) as u32
    }

    /// Takes another width for the first layer, which reads no layer before it.
    pub(crate) fn set_width(&mut self, width: Width) {
        self.width = width;
        self.current.set_width(width.lanes());
        self.previous.set_width(width.lanes());
    }

    /// Takes other lanes for the next layer. `from[lane]` is the lane of the layer before that goes
    /// on in `lane`; `load` fills the lanes that come from elsewhere, block by block.
    pub(crate) fn set_lanes(
        &mut self,
        width: Width,
        from: &[Option<usize>],
        mut load: impl FnMut(Range<u32>, &mut Lockstep),
    ) {
        // Nothing reads the current buffer before the next layer writes it.
        self.width = width;
        self.current.set_width(width.lanes());
        let nodes = self.table.graph().nodes();
        for block in blocks(nodes, CHUNK_NODES) {
            self.current.copy_lanes(&self.previous, from, block.clone());
            load(block, &mut self.current);
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        self.current.set_width(width.lanes());
    }

    /// Labels some nodes of `layer`, all nodes before them being labelled.
    pub(crate) fn label(&mut self, layer: u32, replica_ids: &[[u8; 32]], nodes: Range<u32>) {
        // The kernel reads these rows now; the next ones are fetched from the disc meanwhile.
        let ahead = nodes.end..self.table.graph().nodes().min(nodes.end.saturating_add(1 << 16));
        if nodes.start.is_multiple_of(1 << 15) && !ahead.is_empty() {
            self.table.will_need(ahead);
        }
        let request = label::Request {
            layer,
            replica_ids,
            nodes: nodes.clone(),
            parents: self.table.rows(nodes),
        };
        let backend = self.backend.unwrap_or_else(|| label::best_backend(self.width));
        let previous = (layer > 1).then(|| self.previous.words());
        label::label_nodes(backend, self.width, &request, self.current.words_mut(), previous);
    }

    /// The layer that is being labelled.
    pub(crate) fn current(&self) -> &Lockstep {
        &self.current
    }

    /// The layer is done: the next one reads it.
    pub(crate) fn turn(&mut self) {
        std::mem::swap(&mut self.current, &mut self.previous);
    }
}

/// `0..nodes` in pieces of `size`.
pub(crate) fn blocks(nodes: u32, size: u32) -> impl Iterator<Item = Range<u32>> {
    pieces(0..nodes, size)
}

/// A range in pieces of `size`.
pub(crate) fn pieces(nodes: Range<u32>, size: u32) -> impl Iterator<Item = Range<u32>> {
    let end = nodes.end;
    nodes.step_by(size as usize).map(move |first| first..end.min(first.saturating_add(size)))
}
