//! One layer of several sectors, their words side by side.
//!
//! **Purpose:** the buffers that the label kernels work on, and the ways in and out of them.
//!
//! **Invariants:** word `w` of node `n` of lane `l` lies at `(n * 8 + w) * width + l`, as a native
//! `u32` whose big-endian bytes are those of the layer file.

use std::io;
use std::ops::Range;

use memmap2::MmapMut;

use crate::graph::NODE_BYTES;
use crate::label::LABEL_WORDS;
use crate::transpose;

/// Why there is no buffer.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not get {bytes} bytes of memory for one layer of {width} sectors of {nodes} nodes; free \
     memory or label fewer sectors at once"
)]
pub struct LockstepError {
    bytes: usize,
    width: usize,
    nodes: u32,
    #[source]
    source: io::Error,
}

/// One layer of `width` sectors in anonymous memory, on huge pages where the machine gives them.
#[derive(Debug)]
pub struct Lockstep {
    map: MmapMut,
    nodes: u32,
    width: usize,
}

impl Lockstep {
    /// A layer of zeros. The memory is taken when it is first touched, near the thread that does.
    ///
    /// # Errors
    /// When the machine does not give so much address space.
    pub fn new(nodes: u32, width: usize) -> Result<Self, LockstepError> {
        let bytes = nodes as usize * NODE_BYTES * width;
        let map = MmapMut::map_anon(bytes.max(1)).map_err(|source| LockstepError {
            bytes,
            width,
            nodes,
            source,
        })?;
        #[cfg(target_os = "linux")]
        // Only advice: on small pages the same labels take longer.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { map, nodes, width })
    }

    /// Number of nodes.
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Number of lanes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All words.
    pub fn words(&self) -> &[u32] {
        // SAFETY: any four bytes are a `u32`, and the slice borrows the mapping.
        let (_, words, _) = unsafe { self.map.align_to::<u32>() };
        &words[..self.nodes as usize * LABEL_WORDS * self.width]
    }

    /// All words.
    pub fn words_mut(&mut self) -> &mut [u32] {
        let len = self.nodes as usize * LABEL_WORDS * self.width;
        // SAFETY: as above, and any `u32` is four bytes; the slice borrows the mapping exclusively.
        let (_, words, _) = unsafe { self.map.align_to_mut::<u32>() };
        &mut words[..len]
    }

    /// The words of some nodes.
    pub(crate) fn words_of(&self, nodes: Range<u32>) -> &[u32] {
        let node_words = LABEL_WORDS * self.width;
        &self.words()[nodes.start as usize * node_words..nodes.end as usize * node_words]
    }

    /// Writes the labels of some nodes of one lane as bytes.
    ///
    /// # Panics
    /// When a node or the lane is outside, or `out` has not 32 bytes for each node.
    pub fn copy_lane_out(&self, lane: usize, nodes: Range<u32>, out: &mut [u8]) {
        assert!(lane < self.width, "lane {lane} of {}", self.width);
        assert_eq!(out.len(), nodes.len() * NODE_BYTES, "a label has 32 bytes");
        let words = self.words_of(nodes).chunks_exact(self.width);
        for (slot, row) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *slot = row[lane].to_be_bytes();
        }
    }

    /// Reads the labels of the nodes from `first` on of one lane.
    ///
    /// # Panics
    /// When a node or the lane is outside.
    pub fn copy_lane_in(&mut self, lane: usize, first: u32, labels: &[u8]) {
        let width = self.width;
        assert!(lane < width, "lane {lane} of {width}");
        let start = first as usize * LABEL_WORDS * width;
        let words = &mut self.words_mut()[start..start + labels.len() / 4 * width];
        for (row, bytes) in words.chunks_exact_mut(width).zip(labels.as_chunks::<4>().0) {
            row[lane] = u32::from_be_bytes(*bytes);
        }
    }

    /// Uses the same memory for another number of lanes; what the words hold is then undefined in
    /// meaning.
    ///
    /// # Panics
    /// When the memory does not hold so many lanes.
    pub(crate) fn set_width(&mut self, width: usize) {
        let bytes = self.nodes as usize * NODE_BYTES * width;
        assert!(bytes <= self.map.len(), "a buffer of {} bytes for {width} lanes", self.map.len());
        self.width = width;
    }

    /// Copies lanes of some nodes from another layer: `from[lane]` is the lane there.
    pub(crate) fn copy_lanes(&mut self, other: &Self, from: &[Option<usize>], nodes: Range<u32>) {
        let (width, other_width) = (self.width, other.width);
        let source = other.words_of(nodes.clone()).chunks_exact(other_width);
        let node_words = LABEL_WORDS * width;
        let range = nodes.start as usize * node_words..nodes.end as usize * node_words;
        for (row, source) in self.words_mut()[range].chunks_exact_mut(width).zip(source) {
            for (slot, lane) in row.iter_mut().zip(from) {
                if let Some(lane) = lane {
                    *slot = source[*lane];
                }
            }
        }
    }

    /// Writes the labels of some nodes of all lanes: those of lane `l` start at `l * stride`.
    ///
    /// # Panics
    /// When a node is outside, or `out` is too short.
    pub fn copy_out(&self, nodes: Range<u32>, out: &mut [u8], stride: usize) {
        transpose::to_lanes(
            transpose::Backend::detect(),
            self.words_of(nodes),
            self.width,
            out,
            stride,
        );
    }
}
