//! Measures the label kernels against a loop of `sha2::compress256` with the library's pattern,
//! alternating in one process. Arguments: log2 of the nodes, seconds for each kernel.

use std::time::Instant;

use hesper_sdr::label::{Backend, PARENTS, Request, Width, kernels_available, label_nodes};

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Rows of a graph of the same shape as the real one: the node before, five parents at
/// log-distributed distances, eight anywhere.
fn rows(first: u32, count: u32, nodes: u32) -> Vec<u32> {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut rows = Vec::with_capacity(count as usize * PARENTS);
    for node in first..first + count {
        rows.push(node - 1);
        for _ in 0..5 {
            let most = 64 - u64::from(node).leading_zeros();
            let distance = random(&mut seed) % (1 << (random(&mut seed) % u64::from(most)));
            rows.push(node - 1 - (distance as u32).min(node - 1));
        }
        rows.extend((0..8).map(|_| (random(&mut seed) % u64::from(nodes)) as u32));
    }
    rows
}

/// CPU nanoseconds of this thread.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// One sector as the library does it: the parents copied, twenty blocks compressed in turn.
fn peer(id: &[u8; 32], rows: &[u32], first: u32, current: &mut [u8], previous: &[u8]) {
    for (node, row) in (first as usize..).zip(rows.as_chunks::<PARENTS>().0) {
        #[cfg(target_arch = "x86_64")]
        for (slot, &parent) in row.iter().enumerate() {
            let buffer = if slot < 6 { &*current } else { previous };
            // SAFETY: a prefetch may name any address.
            unsafe {
                std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
                    buffer.as_ptr().add(parent as usize * 32).cast(),
                );
            }
        }
        let mut blocks = [sha2::digest::generic_array::GenericArray::default(); 20];
        blocks[0][..32].copy_from_slice(id);
        blocks[0][35] = 2;
        blocks[0][36..44].copy_from_slice(&(node as u64).to_be_bytes());
        for slot in 0..37 {
            let at = row[slot % 14] as usize * 32;
            let buffer = if slot % 14 < 6 { &*current } else { previous };
            blocks[1 + slot / 2][slot % 2 * 32..][..32].copy_from_slice(&buffer[at..at + 32]);
        }
        blocks[19][32] = 0x80;
        blocks[19][62] = 0x27;
        let mut state = hesper_sha256::INITIAL;
        sha2::compress256(&mut state, &blocks[..1]);
        sha2::compress256(&mut state, &blocks[1..8]);
        sha2::compress256(&mut state, &blocks[8..15]);
        sha2::compress256(&mut state, &blocks[15..19]);
        sha2::compress256(&mut state, &blocks[19..]);
        for (bytes, word) in current[node * 32..][..32].as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        current[node * 32 + 31] &= 0x3f;
    }
}

struct Map(*mut u8, usize);
impl Map {
    fn new(bytes: usize) -> Self {
        use rustix::mm;
        // SAFETY: a new private mapping touches no other memory.
        let at = unsafe {
            mm::mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                mm::ProtFlags::READ | mm::ProtFlags::WRITE,
                mm::MapFlags::PRIVATE,
            )
        }
        .expect("map");
        // SAFETY: the range is the mapping just made.
        let _ = unsafe { mm::madvise(at, bytes, mm::Advice::LinuxHugepage) };
        Self(at.cast(), bytes)
    }
    fn words(&mut self) -> &mut [u32] {
        // SAFETY: the mapping lives as long as the process, is zeroed at first and borrowed here.
        unsafe { std::slice::from_raw_parts_mut(self.0.cast(), self.1 / 4) }
    }
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0, self.1) }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let log: u32 = args.next().and_then(|arg| arg.parse().ok()).unwrap_or(18);
    let seconds: f64 = args.next().and_then(|arg| arg.parse().ok()).unwrap_or(1.0);
    let only: Option<usize> = args.next().and_then(|arg| arg.parse().ok());
    let nodes = 1_u32 << log;
    let (mut current, mut previous) = (Map::new(512 << log), Map::new(512 << log));
    for (i, word) in current.words().iter_mut().enumerate() {
        *word = (i as u32).wrapping_mul(0x9e37_79b9);
    }
    for (i, word) in previous.words().iter_mut().enumerate() {
        *word = (i as u32).wrapping_mul(0x85eb_ca6b);
    }
    let first = nodes / 2;
    let count = (nodes / 2).min(40_000);
    let rows = rows(first, count, nodes);
    let ids = [[7_u8; 32]; 16];
    let kernels: Vec<(Backend, Width)> = kernels_available()
        .into_iter()
        .filter(|&(backend, width)| {
            backend != Backend::Portable && only.is_none_or(|only| only == width.lanes())
        })
        .collect();
    const WINDOW: usize = 200;
    let windows = count as usize / WINDOW;
    let mut samples = vec![Vec::new(); kernels.len() + 1];
    let start = Instant::now();
    let mut window = 0;
    while start.elapsed().as_secs_f64() < seconds * (kernels.len() + 1) as f64 {
        for kernel in 0..=kernels.len() {
            window = (window + 1) % windows;
            let from = first + (window * WINDOW) as u32;
            let some = &rows[window * WINDOW * PARENTS..][..WINDOW * PARENTS];
            let before = now();
            let lanes = if kernel == kernels.len() {
                peer(&ids[0], some, from, current.bytes(), previous.bytes());
                1
            } else {
                let (backend, width) = kernels[kernel];
                let request = Request {
                    layer: 2,
                    replica_ids: &ids[..width.lanes()],
                    nodes: from..from + WINDOW as u32,
                    parents: some,
                };
                let words = width.buffer_words(nodes);
                label_nodes(
                    backend,
                    width,
                    &request,
                    &mut current.words()[..words],
                    Some(&previous.words()[..words]),
                );
                width.lanes()
            };
            samples[kernel].push((now() - before) as f64 / (WINDOW * lanes) as f64);
        }
    }
    for sample in &mut samples {
        sample.sort_by(f64::total_cmp);
    }
    let at = |kernel: usize, part: usize| samples[kernel][samples[kernel].len() * part / 20];
    let peer = kernels.len();
    println!(
        "{:20} min {:7.1}  5% {:7.1}  median {:7.1}",
        "peer",
        at(peer, 0),
        at(peer, 1),
        at(peer, 10)
    );
    for (kernel, (backend, width)) in kernels.iter().enumerate() {
        println!(
            "{:20} min {:7.1}  5% {:7.1}  median {:7.1} ns/label/sector   {:.2}x min {:.2}x median",
            format!("{backend} x {width}"),
            at(kernel, 0),
            at(kernel, 1),
            at(kernel, 10),
            at(peer, 0) / at(kernel, 0),
            at(peer, 10) / at(kernel, 10),
        );
    }
}
