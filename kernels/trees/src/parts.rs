//! Work that falls into equal parts.
//!
//! **Purpose**: a few threads take the parts of a file one after the other.
//!
//! **Invariants**: each part is taken once; after a failure no further part is begun, and the
//! failure is the result.
//!
//! **Source**: none.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Run `work` for the parts `0..count` on up to `threads` threads, the caller's among them; each has
/// a buffer of `buffer_bytes` of its own.
pub(crate) fn for_each<E: Send>(
    threads: NonZeroUsize,
    count: usize,
    buffer_bytes: usize,
    work: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let run = || -> Result<(), E> {
        let mut buffer = vec![0u8; buffer_bytes];
        while !failed.load(Ordering::Relaxed) {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= count {
                break;
            }
            if let Err(error) = work(part, &mut buffer) {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads.get().min(count)).map(|_| scope.spawn(run)).collect();
        let mut outcome = run();
        for thread in others {
            let one = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(one);
        }
        outcome
    })
}
