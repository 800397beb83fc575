//! Where a stage would like to run: the bytes that would have to move to each executor.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    AttemptToken, ExecutorId, Liveness, ProofType, Stage, TaskId, UnixMillis, Work,
};
use crate::sealing;
use crate::state::State;
use crate::view::{InputFile, node_of};

pub(crate) struct Wish {
    total_bytes: u64,
    held_bytes: BTreeMap<ExecutorId, u64>,
    waited_ms: u64,
    bytes_per_ms: u64,
    wait_max_ms: u64,
    /// An input that no connected executor has, and one that has it.
    unreachable: Option<(String, Option<ExecutorId>)>,
}

impl Wish {
    pub fn of(state: &State, task: TaskId, now: UnixMillis) -> Self {
        let settings = &state.meta.configuration;
        let mut wish = Self {
            total_bytes: 0,
            held_bytes: BTreeMap::new(),
            waited_ms: 0,
            bytes_per_ms: settings.transfer_bytes_per_ms.max(1),
            wait_max_ms: settings.locality_wait_max_ms,
            unreachable: None,
        };
        let row = state.tasks.get(task);
        wish.waited_ms = row.map_or(0, |row| now.since(row.ready_since));
        let Some(spec) = state.specs.get(task.job) else {
            return wish;
        };
        let Work::Stages(stages) = &spec.work else {
            return wish;
        };
        let Some(node) = node_of(stages, task.index) else {
            return wish;
        };
        if node.stage == Stage::Pc1 {
            wish.hold(sealing::inputs(state, task.job, stages, node, true));
            wish.hold_checkpoint(state, task, stages.proof);
        } else {
            let inputs = sealing::inputs(state, task.job, stages, node, false);
            wish.unreachable = unreachable(state, &inputs);
            wish.hold(inputs);
        }
        wish
    }

    fn hold(&mut self, files: Vec<InputFile>) {
        for file in files {
            self.total_bytes = self.total_bytes.saturating_add(file.length);
            for source in file.sources {
                let held = self.held_bytes.entry(source.executor).or_default();
                *held = held.saturating_add(file.length);
            }
        }
    }

    /// A checkpoint of an earlier attempt saves at least a layer.
    fn hold_checkpoint(&mut self, state: &State, task: TaskId, proof: ProofType) {
        let past = state.tasks.get(task).map(|row| row.past.as_slice());
        let mut before: BTreeSet<ExecutorId> =
            past.unwrap_or_default().iter().map(|past| past.executor).collect();
        before.extend(
            state
                .index
                .superseded
                .range((task, AttemptToken(0))..=(task, AttemptToken(u64::MAX)))
                .filter_map(|(_, token)| state.attempts.get(*token))
                .map(|attempt| attempt.executor),
        );
        if before.is_empty() {
            return;
        }
        let layer = proof.sector_bytes();
        self.total_bytes = self.total_bytes.saturating_add(layer);
        for executor in before {
            let held = self.held_bytes.entry(executor).or_default();
            *held = held.saturating_add(layer);
        }
    }

    pub fn bytes_to(&self, executor: ExecutorId) -> u64 {
        let held = self.held_bytes.get(&executor).copied().unwrap_or(0);
        self.total_bytes.saturating_sub(held)
    }

    /// Whether it is still worth waiting to spare so many bytes.
    pub fn is_worth_waiting(&self, bytes: u64) -> bool {
        self.waited_ms < (bytes / self.bytes_per_ms).min(self.wait_max_ms)
    }

    /// Starting without a reachable input would only spend an attempt.
    pub fn unreachable(&self) -> Option<(&str, Option<ExecutorId>)> {
        let (file, executor) = self.unreachable.as_ref()?;
        Some((file, *executor))
    }
}

fn unreachable(state: &State, inputs: &[InputFile]) -> Option<(String, Option<ExecutorId>)> {
    let is_here = |executor: ExecutorId| {
        state
            .executors
            .get(executor)
            .is_some_and(|row| matches!(row.liveness, Liveness::Connected { .. }))
    };
    let lost =
        inputs.iter().find(|input| !input.sources.iter().any(|source| is_here(source.executor)))?;
    let holder = lost.sources.first().map(|source| source.executor);
    Some((lost.name.clone(), holder))
}
