//! **Purpose**: run a stage: bring its inputs together, order it, read what it left.
//!
//! **Invariants**
//! - Local inputs are used in place and never changed; fetched ones are verified copies inside the
//!   attempt's own directory and go when the attempt has ended.
//! - A stage succeeded only if its process ended with 0, its outcome is readable and every file that
//!   it names is there with its length. Anything else is a failure with a reason.
//!
//! **Source**: the contract of `hesper-proofs` (`order.json`, `outcome.json`, `error.json`).

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::executor as wire;
use hesper_protos::executor::exit::Kind;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::agent::{Context, Event};
use crate::attempt;
use crate::config::PathRole;
use crate::fetch;
use crate::protocol::AttemptSpec;
use crate::storage::{FILES, INPUTS, PlaceError};

mod group;
mod settle;

pub(crate) use group::{Member, join};
pub(crate) use settle::settle;

const ORDER: &str = "order.json";
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
const INPUTS_MAX: usize = 4_096;

/// Why a stage was not started.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) retryable: bool,
    pub(crate) bytes_fetched: u64,
}

/// What the supervisor gives back to the agent with a stage's end.
#[derive(Serialize, Deserialize)]
struct Tag {
    dir: Utf8PathBuf,
    bytes_fetched: u64,
    /// It shares its process with other attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Place>,
}

/// Where an attempt stands in a process of several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The first attempt of the process.
    pub(crate) leader: u64,
    /// Position of its order among the arguments.
    index: u64,
    /// Attempts that the process was started for.
    #[serde(default)]
    attempts: u64,
    /// Directory of the process's output.
    output: Utf8PathBuf,
}

impl Place {
    /// One attempt's part of what the process used. The same for all of them, whichever ends first:
    /// together they are never charged more than was used.
    fn share(&self, total: u64) -> u64 {
        total / self.attempts.max(1)
    }
}

#[derive(Serialize)]
struct Order<'a> {
    version: u32,
    stage: serde_json::Value,
    proof: &'a str,
    sector: Sector,
    ticket: Option<&'a String>,
    seed: Option<&'a String>,
    randomness: Option<&'a String>,
    sectors: serde_json::Value,
    inputs: Vec<Input>,
    values: BTreeMap<&'a String, &'a String>,
    out_dir: Utf8PathBuf,
    resume_dirs: Vec<Utf8PathBuf>,
    threads: Option<u32>,
}

#[derive(Serialize)]
struct Sector {
    miner: u64,
    number: u64,
}

#[derive(Serialize)]
struct Input {
    name: String,
    path: Utf8PathBuf,
    len: Option<u64>,
    blake3: Option<String>,
}

#[derive(Deserialize)]
struct ProgressLine {
    step: String,
    done: u64,
    total: u64,
    /// Which order it is about, where the process has several.
    order: Option<u64>,
}

/// Makes the attempt's directory, brings the inputs, writes the order.
pub(crate) async fn prepare(
    context: &Context,
    lease: &wire::Lease,
    attempt: &wire::Attempt,
) -> Result<AttemptSpec, Failed> {
    let Some(wire::attempt::Work::Stage(stage)) = &attempt.work else {
        return Err(bad_order("the attempt is no stage"));
    };
    let name = stage_name(stage)?;
    let sectors = match stage.values.get("sectors") {
        None => serde_json::Value::Array(Vec::new()),
        Some(text) => {
            serde_json::from_str(text).map_err(|error| bad_order(&format!("`sectors`: {error}")))?
        }
    };
    if stage.inputs.len() > INPUTS_MAX {
        return Err(bad_order("it has too many inputs"));
    }
    let (program, args) = context
        .config
        .kernel_command
        .split_first()
        .ok_or_else(|| bad_order("this executor has no kernel command"))?;
    let local: Vec<Option<Utf8PathBuf>> =
        stage.inputs.iter().map(|input| fetch::local(context, input)).collect();
    let to_fetch = stage.inputs.iter().zip(&local).filter(|(_, local)| local.is_none());
    let fetch_bytes: u64 = to_fetch.map(|(input, _)| input.length).sum();
    // What was granted to a group is for all of its sectors.
    let granted = lease.named.get("disc").copied().unwrap_or(0) / u64::from(lease.width.max(1));
    let needed = granted.max(fetch_bytes);
    let role = if stage.stage == "finalize" { PathRole::Store } else { PathRole::Seal };
    let dir = context
        .storage
        .place(role, stage.miner, stage.sector, attempt.token, needed)
        .map_err(not_placed)?;
    let mut inputs = Vec::with_capacity(local.len());
    let mut bytes_fetched = 0;
    for (at, (input, local)) in stage.inputs.iter().zip(local).enumerate() {
        let path = match local {
            Some(path) => path,
            None => {
                let target = dir.join(INPUTS).join(at.to_string());
                let fetched = fetch::fetch(context, input, &target).await;
                bytes_fetched += fetched.bytes;
                if let Err(message) = fetched.result {
                    return Err(Failed {
                        kind: Kind::InputBad,
                        message,
                        retryable: true,
                        bytes_fetched,
                    });
                }
                target
            }
        };
        inputs.push(Input {
            name: input.name.clone(),
            path,
            len: (!input.blake3.is_empty()).then_some(input.length),
            blake3: (!input.blake3.is_empty()).then(|| input.blake3.clone()),
        });
    }
    let threads = (lease.cores > 0).then_some(lease.cores);
    let order = Order {
        version: 1,
        stage: name,
        proof: &stage.proof,
        sector: Sector { miner: stage.miner, number: stage.sector },
        ticket: stage.values.get("ticket"),
        seed: stage.values.get("seed"),
        randomness: stage.values.get("randomness"),
        sectors,
        inputs,
        values: stage.values.iter().collect(),
        out_dir: dir.join(FILES),
        resume_dirs: context.storage.sector_files(stage.miner, stage.sector, attempt.token),
        threads,
    };
    let json = serde_json::to_vec_pretty(&order).map_err(|error| bad_order(&error.to_string()))?;
    tokio::fs::write(dir.join(ORDER), json).await.map_err(|error| not_written(&dir, &error))?;
    let mut env = attempt::attempt_env(attempt);
    env.extend(context.config.env.iter().cloned());
    if let Some(threads) = threads {
        for variable in ["RAYON_NUM_THREADS", "EC_GPU_NUM_THREADS"] {
            env.push((variable.to_owned(), threads.to_string()));
        }
    }
    let text = |part: &std::ffi::OsString| part.to_string_lossy().into_owned();
    let mut args: Vec<String> = args.iter().map(text).collect();
    args.push(dir.join(ORDER).into_string());
    let tag = Tag { dir: dir.clone(), bytes_fetched, group: None };
    Ok(AttemptSpec {
        token: attempt.token,
        program: text(program),
        args,
        env,
        directory: Some(dir.clone().into_string()),
        output: Some(dir.into_string()),
        time_limit_ms: attempt.time_limit_ms,
        tag: serde_json::to_string(&tag).map_err(|error| bad_order(&error.to_string()))?,
    })
}

/// A stage's name as the order has it.
fn stage_name(stage: &wire::Stage) -> Result<serde_json::Value, Failed> {
    match stage.stage.as_str() {
        name @ ("window_post_vanilla" | "window_post_prove") => {
            let partition = stage.values.get("partition").map_or(Ok(0), |text| text.parse::<u32>());
            let partition = partition.map_err(|_| bad_order("`partition` is no number"))?;
            Ok(serde_json::json!({ name: { "partition": partition } }))
        }
        name => Ok(name.into()),
    }
}

fn bad_order(why: &str) -> Failed {
    Failed {
        kind: Kind::NotStarted,
        message: format!(
            "the stage cannot be started: {why}; use nodes and executors of one release"
        ),
        retryable: false,
        bytes_fetched: 0,
    }
}

fn not_placed(error: PlaceError) -> Failed {
    let kind = match &error {
        PlaceError::NoSpace(_) => Kind::NoSpace,
        PlaceError::NoPath => Kind::NotStarted,
        PlaceError::Directory { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Kind::NoSpace
        }
        PlaceError::Directory { .. } => Kind::NotStarted,
    };
    Failed { kind, message: error.to_string(), retryable: true, bytes_fetched: 0 }
}

fn not_written(dir: &Utf8Path, error: &io::Error) -> Failed {
    let kind =
        if error.kind() == io::ErrorKind::StorageFull { Kind::NoSpace } else { Kind::NotStarted };
    Failed {
        kind,
        message: format!("could not write `{dir}/{ORDER}`: {error}; check the storage path"),
        retryable: true,
        bytes_fetched: 0,
    }
}

/// The attempt's directory, from its tag.
pub(crate) fn dir_of(tag: &str) -> Option<Utf8PathBuf> {
    serde_json::from_str::<Tag>(tag).ok().map(|tag| tag.dir)
}

/// Reads the progress lines of a running stage until it is aborted; anything else that the child
/// prints is skipped. One of several in a process also ends when its report appears.
pub(crate) async fn follow(
    token: u64,
    dir: Utf8PathBuf,
    place: Option<Place>,
    events: mpsc::Sender<Event>,
) {
    let mut offset = 0;
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let mut path = dir.join("stdout");
        if let Some(place) = &place {
            if settle::has_report(&dir).await
                && events.send(Event::MemberEnded { token }).await.is_err()
            {
                return;
            }
            if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
                path = place.output.join("stdout");
            }
        }
        let read =
            tokio::task::spawn_blocking(move || crate::output::read_file(&path, offset, 64 << 10))
                .await;
        let Ok(Ok(piece)) = read else { continue };
        // A line may still be growing: only whole ones are taken.
        let Some(end) = piece.bytes.iter().rposition(|byte| *byte == b'\n') else {
            if piece.bytes.len() == 64 << 10 {
                offset += piece.bytes.len() as u64;
            }
            continue;
        };
        let lines = piece.bytes[..end].split(|byte| *byte == b'\n');
        let index = place.as_ref().map(|place| place.index);
        let last = lines
            .rev()
            .filter_map(|line| serde_json::from_slice::<ProgressLine>(line).ok())
            .find(|line| line.order.is_none() || index.is_none() || line.order == index);
        offset += end as u64 + 1;
        if let Some(ProgressLine { step, done, total, .. }) = last {
            let progress = wire::Progress { token, step, done, total };
            if events.send(Event::Progress(progress)).await.is_err() {
                return;
            }
        }
    }
}
