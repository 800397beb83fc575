//! PC1 with Hesper's kernels: sectors of one proof type, labelled in lockstep by one process.
//!
//! Invariants:
//! - Each sector ends by itself: its report is on its way as soon as its last layer is on disc, it
//!   has failed, or it was cancelled; the others go on.
//! - A layer is taken over from an earlier attempt only if every byte is as its checkpoint says.
//!
//! Source: `kernels/KERNELS.md`, "SDR".

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use hesper_sdr::group::{self, Event, SectorError};

use crate::files;
use crate::kernels;
use crate::proof_type::layer_name;
use crate::stage::context::Context;
use crate::stage::labels::{Checkpoint, resume};
use crate::stage::{FileEntry, Order, Outcome, Progress, StageError};

/// Between two looks for a request to stop one sector.
const LOOK_EVERY: Duration = Duration::from_millis(200);

type Ended<'a> = dyn FnMut(usize, Result<Outcome, StageError>) + 'a;

/// One sector of the group that is being labelled.
struct Member<'a> {
    /// Its place among the orders.
    order: usize,
    context: Context<'a>,
    replica_id: [u8; 32],
    reused: u32,
    cancel: Arc<AtomicBool>,
    /// What went wrong outside the kernel; the kernel is then told to stop this sector.
    failure: Option<StageError>,
}

/// Labels the sectors of all orders, which are of PC1 and of one proof type. A file that appears at
/// the path in `cancel_files` stops the sector of the same place. `ended` is called once for each,
/// with its place.
pub(super) fn pc1(
    orders: &[Order],
    cancel_files: &[PathBuf],
    progress: &mut dyn FnMut(usize, Progress),
    ended: &mut Ended<'_>,
) {
    let progress = RefCell::new(progress);
    let progress = &progress;
    let mut sinks: Vec<_> = (0..orders.len())
        .map(|place| move |step: Progress| (progress.borrow_mut())(place, step))
        .collect();
    let mut members = Vec::new();
    for ((place, order), sink) in orders.iter().enumerate().zip(&mut sinks) {
        // Its earlier layers need not be verified, which takes long for large ones.
        let is_cancelled = cancel_files.get(place).is_some_and(|path| path.exists());
        let opened = if is_cancelled {
            Err(StageError::Cancelled { stage: order.stage })
        } else {
            open(place, order, sink)
        };
        match opened {
            Ok(member) => members.push(member),
            Err(error) => ended(place, Err(error.with_demand(order))),
        }
    }
    if !members.is_empty() {
        label(members, cancel_files, ended);
    }
}

fn open<'a>(
    place: usize,
    order: &'a Order,
    sink: &'a mut dyn FnMut(Progress),
) -> Result<Member<'a>, StageError> {
    order.check()?;
    let mut context = Context::open(order, sink)?;
    let ticket = context.ticket()?;
    let comm_d = context.value_bytes32("comm_d")?;
    let replica_id = kernels::replica_id(order.proof, order.sector, &ticket, &comm_d);
    let text = hex::encode(replica_id);
    let bytes = order.proof.sector_bytes();
    let reused = context.timed("resume", |context| resume(context, &text, bytes))?;
    let done = u32::try_from(reused.len()).expect("at most as many as layers");
    context.outcome.reused_layers = done;
    context.outcome.files.extend(reused);
    context.report("layer", u64::from(done), u64::from(order.proof.layers()));
    context.set("replica_id", text);
    context.set("comm_d", hex::encode(comm_d));
    let cancel = Arc::new(AtomicBool::new(false));
    Ok(Member { order: place, context, replica_id, reused: done, cancel, failure: None })
}

fn label(members: Vec<Member<'_>>, cancel_files: &[PathBuf], ended: &mut Ended<'_>) {
    let first = members.first().expect("the caller has at least one").context.order;
    let (proof, stage) = (first.proof, first.stage);
    let threads = kernels::threads(first.threads);
    let mut open: Vec<Option<Member<'_>>> = members.into_iter().map(Some).collect();
    let table = match kernels::parents_table(proof, threads) {
        Ok(table) => table,
        Err(error) => {
            // Every sector needs the table: each gets the whole story.
            let text = format!("{error:#}");
            for member in open.into_iter().flatten() {
                let error = anyhow::Error::msg(text.clone());
                ended(member.order, Err(member.context.kernel_error(error)));
            }
            return;
        }
    };
    let sectors: Vec<group::Sector> = open
        .iter()
        .flatten()
        .map(|member| group::Sector {
            replica_id: member.replica_id,
            dir: member.context.order.out_dir.clone(),
            have: member.reused,
            cancel: member.cancel.clone(),
        })
        .collect();
    let watched: Vec<(PathBuf, Arc<AtomicBool>)> = open
        .iter()
        .flatten()
        .filter_map(|member| Some((cancel_files.get(member.order)?.clone(), member.cancel.clone())))
        .collect();
    look(&watched);
    let request = group::Request::new(&table, proof.layers(), sectors);
    let result = std::thread::scope(|scope| {
        // Dropping the sender ends the thread that looks for requests to stop.
        let (_running, ended_signal) = mpsc::channel::<()>();
        scope.spawn(move || watch(&watched, &ended_signal));
        group::run(&request, &mut |event| handle(event, &mut open, ended))
    });
    if let Err(error) = result {
        let text = error.to_string();
        for member in open.into_iter().flatten() {
            let error = StageError::from_kernel(
                stage,
                proof,
                &member.context.order.out_dir,
                anyhow::Error::msg(text.clone()),
            );
            ended(member.order, Err(error));
        }
    }
}

fn watch(members: &[(PathBuf, Arc<AtomicBool>)], ended: &mpsc::Receiver<()>) {
    while ended.recv_timeout(LOOK_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
        look(members);
    }
}

fn look(members: &[(PathBuf, Arc<AtomicBool>)]) {
    for (path, cancel) in members {
        if !cancel.load(Ordering::Relaxed) && path.exists() {
            cancel.store(true, Ordering::Relaxed);
        }
    }
}

fn handle(event: Event, open: &mut [Option<Member<'_>>], ended: &mut Ended<'_>) {
    match event {
        Event::Started { width, sectors, .. } => {
            for sector in sectors {
                if let Some(Some(member)) = open.get_mut(sector) {
                    member.context.set("lockstep_width", width.to_string());
                }
            }
        }
        Event::Progress { layer, done, total } => {
            // Those that took this layer over join later.
            for member in open.iter_mut().flatten().filter(|member| member.reused < layer) {
                let layers = u64::from(member.context.order.proof.layers());
                let before = u64::from(layer - 1) * total;
                member.context.report("label", before + done, layers * total);
            }
        }
        Event::Layer { sector, layer, len, blake3 } => {
            let Some(Some(member)) = open.get_mut(sector) else { return };
            let entry = FileEntry {
                name: layer_name(layer),
                len,
                blake3: Some(blake3::Hash::from_bytes(blake3).to_hex().to_string()),
            };
            let layers = u64::from(member.context.order.proof.layers());
            match write_checkpoint(member, layer, &entry) {
                Ok(()) => {
                    member.context.outcome.files.push(entry);
                    member.context.report("layer", u64::from(layer), layers);
                }
                Err(error) => {
                    member.failure.get_or_insert(error);
                    member.cancel.store(true, Ordering::Relaxed);
                }
            }
        }
        Event::Ended { sector, result } => {
            let Some(member) = open.get_mut(sector).and_then(Option::take) else { return };
            let place = member.order;
            let order = member.context.order;
            ended(place, finish(member, result).map_err(|error| error.with_demand(order)));
        }
    }
}

fn write_checkpoint(member: &Member<'_>, layer: u32, entry: &FileEntry) -> Result<(), StageError> {
    let dir: &Path = &member.context.order.out_dir;
    let replica_id = hex::encode(member.replica_id);
    Checkpoint::write(dir, layer, &replica_id, entry)
}

fn finish(mut member: Member<'_>, result: Result<(), SectorError>) -> Result<Outcome, StageError> {
    if let Some(failure) = member.failure {
        return Err(failure);
    }
    let order = member.context.order;
    match result {
        Ok(()) => {}
        Err(SectorError::Cancelled) => return Err(StageError::Cancelled { stage: order.stage }),
        Err(error) => return Err(member.context.kernel_error(error.into())),
    }
    for layer in 1..=order.proof.layers() {
        member.context.made(&layer_name(layer));
        member.context.made(&Checkpoint::file_name(layer));
    }
    files::sync(&order.out_dir)?;
    member.context.finish()
}
