//! The labels of the last layer without any file: the key of sealed sectors.
//!
//! **Purpose:** what unsealing subtracts, for 1 to 16 sectors at once.
//!
//! **Invariants:** the sink gets the nodes once each, in ascending order.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::{CHUNK_NODES, Engine, blocks, lane_stride, pieces};
use crate::graph::NODE_BYTES;
use crate::label::{self, Width};
use crate::lockstep::LockstepError;
use crate::parents::Table;

/// Whose key, and how much of it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub table: &'a Table,
    /// Layers of the sealed sector.
    pub layers: u32,
    /// One to 16.
    pub replica_ids: &'a [[u8; 32]],
    /// Nodes of the last layer, from the first on. The layers before it are labelled whole.
    pub nodes: u32,
    /// None: the fastest of this machine.
    pub backend: Option<label::Backend>,
    /// Looked at about ten times a second.
    pub cancel: Option<&'a AtomicBool>,
}

impl<'a> Request<'a> {
    /// All nodes, by the fastest kernel.
    pub fn new(table: &'a Table, layers: u32, replica_ids: &'a [[u8; 32]]) -> Self {
        let nodes = table.graph().nodes();
        Self { table, layers, replica_ids, nodes, backend: None, cancel: None }
    }
}

/// Takes the number of the first node of a chunk and the labels of each sector.
pub type Sink<'a, E> = dyn FnMut(u32, &[&[u8]]) -> Result<(), E> + 'a;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError<E> {
    #[error(
        "could not make a key of {sectors} sectors with {layers} layers and {nodes} nodes; ask for 1 \
         to 16 sectors, at least 1 layer and at most the nodes of the graph"
    )]
    Request { sectors: usize, layers: u32, nodes: u32 },
    #[error("the key was cancelled; ask again if it is still wanted")]
    Cancelled,
    #[error(transparent)]
    Memory(#[from] LockstepError),
    #[error("the receiver of the key failed")]
    Sink(#[source] E),
}

/// Calls `sink(first_node, lanes)` for the last layer; `lanes[i]` holds the labels, 32 bytes each, of
/// `replica_ids[i]` for at most 8192 nodes.
///
/// # Errors
/// When the request is out of range, cancelled, too large for the memory, or the sink fails.
pub fn run<E>(request: &Request<'_>, sink: &mut Sink<'_, E>) -> Result<(), KeyError<E>> {
    let Request { table, layers, replica_ids, nodes, backend, cancel } = *request;
    let all = table.graph().nodes();
    let refused = KeyError::Request { sectors: replica_ids.len(), layers, nodes };
    let Some(width) = Width::for_sectors(replica_ids.len()) else { return Err(refused) };
    if replica_ids.is_empty() || layers == 0 || nodes > all {
        return Err(refused);
    }
    let mut engine = Engine::new(table, backend, width)?;
    let stride = lane_stride(nodes);
    let mut bytes = vec![0; stride * width.lanes()];
    for layer in 1..=layers {
        let is_last = layer == layers;
        for chunk in blocks(if is_last { nodes } else { all }, CHUNK_NODES) {
            for step in pieces(chunk.clone(), engine.step_nodes()) {
                if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                    return Err(KeyError::Cancelled);
                }
                engine.label(layer, replica_ids, step.clone());
                if is_last {
                    let offset = (step.start - chunk.start) as usize * NODE_BYTES;
                    engine.current().copy_out(step, &mut bytes[offset..], stride);
                }
            }
            if is_last {
                let len = chunk.len() * NODE_BYTES;
                let lanes: Vec<&[u8]> =
                    bytes.chunks(stride).take(replica_ids.len()).map(|lane| &lane[..len]).collect();
                sink(chunk.start, &lanes).map_err(KeyError::Sink)?;
            }
        }
        engine.turn();
    }
    Ok(())
}

/// The whole key of one sector: 32 bytes for each node.
///
/// # Errors
/// As [`run`].
pub fn labels(
    table: &Table,
    layers: u32,
    replica_id: [u8; 32],
) -> Result<Vec<u8>, KeyError<std::convert::Infallible>> {
    let mut key = Vec::with_capacity(table.graph().nodes() as usize * NODE_BYTES);
    run(&Request::new(table, layers, &[replica_id]), &mut |_, lanes| {
        key.extend_from_slice(lanes[0]);
        Ok(())
    })?;
    Ok(key)
}
