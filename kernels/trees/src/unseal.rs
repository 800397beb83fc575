//! Unsealing: the data of a sealed sector, or a part of them.
//!
//! **Purpose**: make the sector's key again (or read the last layer where it still lies), subtract
//! it from the sealed file and take the Fr32 padding out.
//!
//! **Invariants**
//! - The key up to the end of the range is made, nothing of it is written to disc; of the sealed
//!   file only the range is read.
//! - Bytes come out in order, in pieces of at most 8,192 nodes, so memory is that of the labelling.
//! - Bytes that no sealing writes are refused, as the library refuses them.
//!
//! **Source**: storage-proofs-porep 19.1 `extract_and_invert_transform_layers`, filecoin-proofs 19.1
//! `unseal_range`.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;

use hesper_poseidon::{Backend, sub_fr};
use hesper_sdr::key::{self, KeyError};
use hesper_sdr::{Graph, parents};

use crate::fr32::{self, PADDED_UNIT, UNPADDED_UNIT};
use crate::nodes::{NodeFile, NodesError};
use crate::shape::{NODE_BYTES, Shape, UnknownSize};

/// Nodes that are decoded at once where the layer is read from its file.
const PIECE_NODES: u64 = 8192;
/// Nodes of a unit of Fr32.
const UNIT_NODES: u64 = (PADDED_UNIT / NODE_BYTES) as u64;

/// Where the key comes from.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// The file of the last layer.
    Layer(&'a Path),
    /// It is labelled again.
    Compute {
        /// The identity of the proof type.
        porep_id: [u8; 32],
        /// The sector's replica id.
        replica_id: [u8; 32],
        /// Layers of the proof type.
        layers: u32,
        /// The directory of the parents' table, which is made when it is absent.
        parents_dir: &'a Path,
    },
}

/// What to unseal.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The sealed file.
    pub sealed: &'a Path,
    /// Its length.
    pub sector_bytes: u64,
    /// The key.
    pub key: Key<'a>,
    /// Which bytes: of the data for [`unseal`], of the unsealed file for [`unseal_padded`].
    pub range: Range<u64>,
    /// Threads that make the parents' table where it is absent; labelling itself is one chain.
    pub threads: NonZeroUsize,
}

/// Why a sector was not unsealed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such sector.
    #[error("nothing was unsealed")]
    Shape(#[from] UnknownSize),
    /// The range is not in the sector.
    #[error(
        "cannot unseal the bytes {start}..{end}: the sector has {bytes}{}; give a range inside",
        if *step > 1 { format!(", in steps of {step}") } else { String::new() }
    )]
    Range {
        /// First byte.
        start: u64,
        /// First byte behind.
        end: u64,
        /// Bytes of the sector in the form that was asked for.
        bytes: u64,
        /// What both ends must be multiples of.
        step: u64,
    },
    /// An input is absent, short or damaged.
    #[error("the sector was not unsealed")]
    Input(#[from] NodesError),
    /// No graph has such a size or identity.
    #[error("the sector's key cannot be made")]
    Graph(#[from] hesper_sdr::GraphError),
    /// The parents' table cannot be had.
    #[error("the sector's key cannot be made without the table of parents")]
    Parents(#[from] parents::ParentsError),
    /// The key cannot be labelled.
    #[error("the sector's key was not made")]
    Key(#[source] Box<KeyError<Error>>),
    /// The target failed.
    #[error("could not write the data after {offset} bytes; check the target and unseal again")]
    Write {
        /// Bytes written before.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Write the bytes `request.range` of the sector's data to `out`; the result is how many.
///
/// # Errors
///
/// Sizes and ranges that the sector does not have, inputs that are absent, short or damaged, a
/// table of parents that cannot be made, a target that cannot be written.
pub fn unseal(request: &Request<'_>, mut out: impl Write) -> Result<u64, Error> {
    let Range { start, end } = request.range;
    check_range(&request.range, fr32::unpadded_bytes(request.sector_bytes), 1)?;
    let unit = UNPADDED_UNIT as u64;
    let nodes = start / unit * UNIT_NODES..end.div_ceil(unit) * UNIT_NODES;
    let backend = fr32::Backend::detect();
    let mut at = start / unit * unit;
    let mut raw = Vec::new();
    stream(request, nodes, &mut |bytes| {
        raw.resize(bytes.len() / PADDED_UNIT * UNPADDED_UNIT, 0);
        fr32::unpad(backend, bytes, &mut raw);
        // The first and the last unit may reach beyond the range.
        let first = start.saturating_sub(at).min(raw.len() as u64) as usize;
        let last = (end - at).min(raw.len() as u64) as usize;
        out.write_all(&raw[first..last])
            .map_err(|source| Error::Write { offset: at.max(start) - start, source })?;
        at += raw.len() as u64;
        Ok(())
    })?;
    out.flush().map_err(|source| Error::Write { offset: end - start, source })?;
    Ok(end - start)
}

/// Write the bytes `request.range` of the unsealed file, in Fr32 form, to `out`; both ends are
/// multiples of 32. The result is how many.
///
/// # Errors
///
/// As [`unseal`].
pub fn unseal_padded(request: &Request<'_>, mut out: impl Write) -> Result<u64, Error> {
    let Range { start, end } = request.range;
    let node = NODE_BYTES as u64;
    check_range(&request.range, request.sector_bytes, node)?;
    let mut written = 0;
    stream(request, start / node..end / node, &mut |bytes| {
        out.write_all(bytes).map_err(|source| Error::Write { offset: written, source })?;
        written += bytes.len() as u64;
        Ok(())
    })?;
    out.flush().map_err(|source| Error::Write { offset: written, source })?;
    Ok(written)
}

fn check_range(range: &Range<u64>, bytes: u64, step: u64) -> Result<(), Error> {
    let Range { start, end } = *range;
    let is_inside = start <= end && end <= bytes;
    if !is_inside || !start.is_multiple_of(step) || !end.is_multiple_of(step) {
        return Err(Error::Range { start, end, bytes, step });
    }
    Ok(())
}

/// Decode `nodes` in order; `sink` gets the bytes of whole nodes, of whole units where both ends of
/// the range are.
fn stream(
    request: &Request<'_>,
    nodes: Range<u64>,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    Shape::of_sector_bytes(request.sector_bytes)?;
    let sealed = NodeFile::open(request.sealed, request.sector_bytes)?;
    if nodes.is_empty() {
        return Ok(());
    }
    let (mut encoded, mut decoded) = (Vec::new(), Vec::new());
    let mut decode = |first: u64, key: &[u8]| -> Result<(), Error> {
        encoded.resize(key.len(), 0);
        decoded.resize(key.len(), 0);
        sealed.read(first, &mut encoded)?;
        sub_fr(Backend::detect(), &encoded, key, &mut decoded);
        sink(&decoded)
    };
    match request.key {
        Key::Layer(path) => {
            let layer = NodeFile::open(path, request.sector_bytes)?;
            let mut key = Vec::new();
            let mut first = nodes.start;
            while first < nodes.end {
                let count = PIECE_NODES.min(nodes.end - first);
                key.resize(count as usize * NODE_BYTES, 0);
                layer.read(first, &mut key)?;
                decode(first, &key)?;
                first += count;
            }
            Ok(())
        }
        Key::Compute { porep_id, replica_id, layers, parents_dir } => {
            let graph = Graph::of_sector_bytes(request.sector_bytes, porep_id)?;
            let table = parents::prepare(parents_dir, &graph, request.threads.get())?;
            let mut key = key::Request::new(&table, layers, std::slice::from_ref(&replica_id));
            // The range lies in the sector, whose nodes a graph counts in 32 bits.
            key.nodes = u32::try_from(nodes.end).unwrap_or(graph.nodes());
            key::run(&key, &mut |first, lanes| {
                let (first, lane) = (u64::from(first), lanes[0]);
                let skipped = nodes.start.saturating_sub(first) as usize * NODE_BYTES;
                match lane.get(skipped..) {
                    None | Some([]) => Ok(()),
                    Some(key) => decode(first.max(nodes.start), key),
                }
            })
            .map_err(|error| match error {
                KeyError::Sink(error) => error,
                error => Error::Key(Box::new(error)),
            })
        }
    }
}

#[cfg(test)]
mod tests;
