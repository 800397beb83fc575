//! Labels of a group of sectors in lockstep.
//!
//! **Purpose**: the label kernels: one call labels consecutive nodes of one layer in all sectors
//! of a group at once.
//!
//! **Invariants**
//! - Every kernel gives the same labels; [`kernels_available`] lists those this machine can run.
//! - A buffer holds one layer of all lanes: word `w` of node `n` of lane `l` lies at index
//!   `(n * 8 + w) * width + l`, a native `u32` whose big-endian bytes are those of the layer file.
//! - A kernel reads only the nodes that the parents rows name, and writes only the nodes asked for.
//!
//! **Source**: stacked DRG proofs of replication, API V1_1: the label of node 0 is
//! SHA-256(prefix), every other one SHA-256(prefix | 37 parents), both with the top two bits of
//! the last byte cleared. The prefix is replica id | layer (u32) | node (u64) | 20 zero bytes; the
//! parents are the six base parents six times and the first once more in layer 1, and in later
//! layers all fourteen twice and the first nine once more.

#[cfg(target_arch = "x86_64")]
mod lanes;
mod portable;
mod prefetch;
#[cfg(target_arch = "x86_64")]
mod shani;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;
use std::ops::Range;

pub use hesper_sha256::Backend;

/// `u32` words of one label.
pub const LABEL_WORDS: usize = 8;
/// Parents of a node in the same layer; the first entries of a parents row.
pub const BASE_PARENTS: usize = 6;
/// Entries of a parents row: six base parents, then eight of the previous layer.
pub const PARENTS: usize = 14;
/// Rows whose parents are checked at a time, so that the second reading finds them in the cache.
const ROWS_CHECKED: usize = 512;

/// How many sectors a kernel labels at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    One = 1,
    Two = 2,
    Four = 4,
    Eight = 8,
    Sixteen = 16,
}

impl Width {
    /// Every width, the narrowest first.
    pub const ALL: [Self; 5] = [Self::One, Self::Two, Self::Four, Self::Eight, Self::Sixteen];

    /// The number of lanes.
    pub const fn lanes(self) -> usize {
        self as usize
    }

    /// The narrowest width that holds `sectors`; none for more than sixteen.
    pub fn for_sectors(sectors: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|width| width.lanes() >= sectors)
    }

    /// The `u32` words of a buffer of one layer of `nodes` nodes.
    pub const fn buffer_words(self, nodes: u32) -> usize {
        nodes as usize * LABEL_WORDS * self.lanes()
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lanes().fmt(f)
    }
}

/// What one call labels.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Number of the layer, the first being 1.
    pub layer: u32,
    /// Replica id of each lane; at most as many as the width. Lanes beyond them are labelled with
    /// a replica id of zeros, which costs nothing and means nothing.
    pub replica_ids: &'a [[u8; 32]],
    /// The nodes to label.
    pub nodes: Range<u32>,
    /// One row of [`PARENTS`] entries for each of `nodes`, the row of node 0 too (it is not used).
    pub parents: &'a [u32],
}

/// The kernels that this machine can run.
pub fn kernels_available() -> Vec<(Backend, Width)> {
    let widths = |backend| Width::ALL.into_iter().map(move |width| (backend, width));
    Backend::available()
        .into_iter()
        .flat_map(widths)
        .filter(|&(backend, width)| kernel_backend(backend, width) == backend)
        .collect()
}

/// The fastest backend of this machine for a width.
pub fn best_backend(width: Width) -> Backend {
    let preferred = match width {
        Width::Sixteen => [Backend::Avx512, Backend::ShaNi, Backend::Avx2],
        // Streams of SHA instructions win where the machine starts one every two cycles.
        Width::Eight if starts_rounds_every_two_cycles() => {
            [Backend::ShaNi, Backend::Avx512, Backend::Avx2]
        }
        Width::Eight => [Backend::Avx512, Backend::ShaNi, Backend::Avx2],
        Width::One | Width::Two | Width::Four => [Backend::ShaNi; 3],
    };
    preferred.into_iter().find(|backend| backend.is_available()).unwrap_or(Backend::Portable)
}

/// The backend whose kernel serves a width: `backend` where it has one, else that of streams.
fn kernel_backend(backend: Backend, width: Width) -> Backend {
    match backend {
        Backend::Avx2 | Backend::Avx512 if width < Width::Eight => {
            if Backend::ShaNi.is_available() { Backend::ShaNi } else { Backend::Portable }
        }
        _ => backend,
    }
}

/// Whether this is a core (AMD's with SHA instructions) that starts a `sha256rnds2` every two
/// cycles, and whose vector units are wide enough that the chain of the rounds, not the number of
/// operations, bounds a vector of messages.
fn starts_rounds_every_two_cycles() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // Asking the processor leaves a virtual machine, so it is asked once.
        static AMD: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *AMD.get_or_init(|| {
            let vendor = std::arch::x86_64::__cpuid(0);
            [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Labels the nodes of `request` in `current`, in all lanes. `previous` is the whole previous
/// layer; layer 1 needs none. A backend that has no kernel of this width ([`kernels_available`]) is
/// served by the SHA instructions, or by plain Rust.
///
/// # Panics
/// When the machine cannot run `backend`, the lengths of the request do not fit together, a node
/// or parent lies outside the buffers, or `previous` is missing from layer 2 on.
pub fn label_nodes(
    backend: Backend,
    width: Width,
    request: &Request<'_>,
    current: &mut [u32],
    previous: Option<&[u32]>,
) {
    let Range { start, end } = request.nodes;
    assert!(start <= end, "the nodes to label are not a range: {start}..{end}");
    let count = (end - start) as usize;
    assert!(request.layer >= 1, "layers are numbered from 1");
    assert!(backend.is_available(), "this machine cannot run the {backend} kernels");
    assert!(request.replica_ids.len() <= width.lanes(), "more replica ids than lanes");
    assert_eq!(request.parents.len(), count * PARENTS, "there must be 14 parents for each node");
    assert!(width.buffer_words(end) <= current.len(), "the buffer ends before node {end}");
    let node_words = LABEL_WORDS * width.lanes();
    let previous = if request.layer == 1 { &[] } else { previous.unwrap_or(&[]) };
    let base_bound = current.len() / node_words;
    let expander_bound = previous.len() / node_words;

    let mut job = Job {
        layer: request.layer,
        replicas: replica_words(request.replica_ids),
        rows: request.parents,
        start,
        keep_schedules: !starts_rounds_every_two_cycles(),
        current: current.as_mut_ptr(),
        previous: previous.as_ptr(),
    };
    if start == 0 && count > 0 {
        // SAFETY: node 0 lies in the buffer, which is borrowed exclusively for the whole call.
        unsafe { portable::label_node_zero(&job, width.lanes()) };
        job.skip_rows(1);
    }
    while !job.rows.is_empty() {
        let rows = (job.rows.len() / PARENTS).min(ROWS_CHECKED);
        check_parents(&job.rows[..rows * PARENTS], job.layer, base_bound, expander_bound);
        // SAFETY: the backend is available; the nodes of the rows lie in `current`, which is
        // borrowed exclusively for the whole call and is reached through this pointer alone; every
        // parent of these rows was checked to lie in its buffer.
        unsafe { run(backend, width, &job, rows) };
        job.skip_rows(rows);
    }
}

/// The kernels' view of a request.
struct Job<'a> {
    layer: u32,
    /// Word `w` of the replica id of lane `l` at `[w][l]`.
    replicas: [[u32; 16]; LABEL_WORDS],
    /// The rows not yet labelled. Kernels may look at all of them to prefetch.
    rows: &'a [u32],
    /// The node of the first of `rows`.
    start: u32,
    /// Whether vector kernels store message schedules: it saves operations, which a core with
    /// vector units to spare has for nothing.
    keep_schedules: bool,
    current: *mut u32,
    previous: *const u32,
}

impl Job<'_> {
    fn skip_rows(&mut self, rows: usize) {
        self.rows = &self.rows[rows * PARENTS..];
        self.start += rows as u32;
    }
}

/// Labels the first `rows` nodes of the job.
///
/// # Safety
/// The backend must be available, no node may be node 0, and the nodes and their parents must lie
/// in the buffers: base parents in `current`, and from layer 2 on the others in `previous`.
unsafe fn run(backend: Backend, width: Width, job: &Job<'_>, rows: usize) {
    // SAFETY: the same preconditions; each kernel is for the lanes of its width.
    unsafe {
        match (kernel_backend(backend, width), width) {
            #[cfg(target_arch = "x86_64")]
            (Backend::ShaNi, Width::One) => shani::label::<1, 1>(job, rows),
            #[cfg(target_arch = "x86_64")]
            (Backend::ShaNi, Width::Two) => shani::label::<2, 2>(job, rows),
            #[cfg(target_arch = "x86_64")]
            (Backend::ShaNi, Width::Four) => shani::label::<4, 4>(job, rows),
            #[cfg(target_arch = "x86_64")]
            (Backend::ShaNi, Width::Eight) => shani::label::<4, 8>(job, rows),
            #[cfg(target_arch = "x86_64")]
            (Backend::ShaNi, Width::Sixteen) => shani::label::<4, 16>(job, rows),
            #[cfg(target_arch = "x86_64")]
            (Backend::Avx2, Width::Eight | Width::Sixteen) => {
                x86::avx2(job, rows, width.lanes());
            }
            #[cfg(target_arch = "x86_64")]
            (Backend::Avx512, Width::Eight) => x86::avx512_8(job, rows),
            #[cfg(target_arch = "x86_64")]
            (Backend::Avx512, Width::Sixteen) if job.keep_schedules => {
                x86::avx512_16::<true>(job, rows);
            }
            #[cfg(target_arch = "x86_64")]
            (Backend::Avx512, Width::Sixteen) => x86::avx512_16::<false>(job, rows),
            _ => portable::label(job, rows, width.lanes()),
        }
    }
}

/// Replica ids as big-endian words, one array of lanes for each word.
fn replica_words(replica_ids: &[[u8; 32]]) -> [[u32; 16]; LABEL_WORDS] {
    let mut words = [[0; 16]; LABEL_WORDS];
    for (lane, id) in replica_ids.iter().enumerate() {
        for (word, bytes) in words.iter_mut().zip(id.as_chunks().0) {
            word[lane] = u32::from_be_bytes(*bytes);
        }
    }
    words
}

/// Refuses rows that name a node outside the buffers.
fn check_parents(rows: &[u32], layer: u32, base_bound: usize, expander_bound: usize) {
    let mut largest = [0; PARENTS];
    for row in rows.as_chunks::<PARENTS>().0 {
        for (largest, &parent) in largest.iter_mut().zip(row) {
            *largest = parent.max(*largest);
        }
    }
    let (base, expander) = largest.split_at(BASE_PARENTS);
    let inside = |parents: &[u32], bound| parents.iter().all(|&parent| (parent as usize) < bound);
    assert!(inside(base, base_bound), "a base parent lies outside the layer");
    assert!(
        layer == 1 || inside(expander, expander_bound),
        "an expander parent lies outside the previous layer, which layer {layer} needs whole"
    );
}

#[cfg(test)]
mod tests;
