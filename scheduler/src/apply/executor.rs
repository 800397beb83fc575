//! Executors: sessions, reconciliation with what the supervisor still holds, admission.
//!
//! Invariants: liveness changes only by commands; a disconnection ends no attempt; nothing is
//! inferred from silence: an attempt is dead when its executor says so or its machine restarted.

use std::collections::BTreeSet;

use crate::command::{ExecutorDisconnected, RegisterExecutor, SetAdmission};
use crate::event::Event;
use crate::model::{
    Admission, AttemptToken, ExecutorId, ExecutorRow, JobState, LeaseId, Liveness, StopCause,
    TaskState,
};
use crate::reply::{Rejected, Reply};
use crate::state::State;

use super::Run;
use super::submit::{bad, limit};

const TEXT_BYTES_MAX: usize = 256;
const LIST_MAX: usize = 256;
const HELD_MAX: usize = 100_000;
/// A row holds at most 64 KiB.
const ROW_BYTES_MAX: usize = 60 << 10;

impl State {
    pub(super) fn register_executor(
        &mut self,
        register: RegisterExecutor,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        check(&register)?;
        let known = self.index.names.get(&register.name).copied();
        if let Some(row) = known.and_then(|id| self.executors.get(id)) {
            check_identity(row, &register)?;
        }
        for (parameter, theirs) in &register.verifying_key_digests {
            let cluster = self.meta.configuration.verifying_key_digests.get(parameter);
            if let Some(cluster) = cluster.filter(|cluster| *cluster != theirs) {
                return Err(Rejected::VerifyingKeyMismatch {
                    name: register.name,
                    parameter: parameter.clone(),
                    theirs: theirs.clone(),
                    cluster: cluster.clone(),
                });
            }
        }
        // The first executor that has parameters settles them for the cluster.
        for (parameter, theirs) in &register.verifying_key_digests {
            let digests = &mut self.meta.configuration.verifying_key_digests;
            digests.entry(parameter.clone()).or_insert_with(|| theirs.clone());
        }
        let (id, boots) = match known {
            Some(id) => (id, self.boots_since(id, &register)),
            None => {
                self.meta.last_executor.0 += 1;
                (self.meta.last_executor, Boots::None)
            }
        };
        let held: BTreeSet<AttemptToken> = register.held_tokens.iter().copied().collect();
        self.put_executor(id, register, run);
        self.reconcile(id, &held, boots, run);
        self.check_shrunk(id);
        run.changed_executors.insert(id);
        run.ready_work = true;
        Ok(Reply::Registered { executor: id })
    }

    fn put_executor(&mut self, id: ExecutorId, register: RegisterExecutor, run: &Run<'_>) {
        let old = self.executors.get(id);
        let row = ExecutorRow {
            liveness: Liveness::Connected { awaiting: None },
            admission: old.map_or(Admission::Open, |row| row.admission),
            admission_reason: old.map(|row| row.admission_reason.clone()).unwrap_or_default(),
            suspicion: old.map_or(0, |row| row.suspicion),
            suspect_job: old.and_then(|row| row.suspect_job),
            registered_at: old.map_or(run.now, |row| row.registered_at),
            shrunk: old.is_some_and(|row| row.shrunk),
            name: register.name,
            owner: register.owner,
            incarnation: register.incarnation,
            supervisor_boot_id: register.supervisor_boot_id,
            machine_boot_id: register.machine_boot_id,
            inventory: register.inventory,
            paths: register.paths,
            address: register.address,
            capabilities: register.capabilities,
            notes: register.notes,
            verifying_key_digests: register.verifying_key_digests,
            owner_only: register.owner_only,
        };
        self.index.names.insert(row.name.clone(), id);
        self.executors.insert(id, row);
    }

    fn boots_since(&self, id: ExecutorId, register: &RegisterExecutor) -> Boots {
        let Some(row) = self.executors.get(id) else {
            return Boots::None;
        };
        if row.machine_boot_id != register.machine_boot_id {
            Boots::Machine
        } else if row.supervisor_boot_id != register.supervisor_boot_id {
            Boots::Supervisor
        } else {
            Boots::None
        }
    }

    /// Compares what the state charges to the executor with what its supervisor holds.
    fn reconcile(
        &mut self,
        id: ExecutorId,
        held: &BTreeSet<AttemptToken>,
        boots: Boots,
        run: &mut Run<'_>,
    ) {
        let tokens: Vec<AttemptToken> = self.attempts_of(id).map(|(token, _)| token).collect();
        let mut restart: BTreeSet<LeaseId> = BTreeSet::new();
        let mut forgotten: BTreeSet<AttemptToken> = BTreeSet::new();
        for &token in &tokens {
            let Some(attempt) = self.attempts.get(token).cloned() else {
                continue;
            };
            if held.contains(&token) {
                if let Some(cause) = attempt.stop
                    && !self.reinstate(token, run)
                {
                    run.events.push(Event::CancelAttempt { executor: id, token, cause });
                }
                continue;
            }
            match boots {
                // With the machine every process of it ended.
                Boots::Machine => self.lose(token, &attempt, "its machine restarted", run),
                // The new supervisor does not know it, but its process may live: it stays charged
                // until the executor has answered the cancel.
                Boots::Supervisor => {
                    let why = "its supervisor restarted and does not know it";
                    forgotten.insert(token);
                    self.supersede(token, StopCause::Forgotten, why, run);
                }
                // The same supervisor remembers all it ever started: this one never was.
                Boots::None => match attempt.stop {
                    Some(cause) => {
                        run.events.push(Event::CancelAttempt { executor: id, token, cause });
                    }
                    None if attempt.started_at.is_none() => {
                        restart.insert(attempt.lease);
                    }
                    None => {
                        let why = "its supervisor does not hold it any more";
                        forgotten.insert(token);
                        self.supersede(token, StopCause::Forgotten, why, run);
                    }
                },
            }
        }
        // Attempts already stopped earlier are told again.
        if boots == Boots::Supervisor {
            for &token in tokens.iter().filter(|t| !held.contains(t) && !forgotten.contains(t)) {
                if let Some(cause) = self.attempts.get(token).and_then(|row| row.stop) {
                    run.events.push(Event::CancelAttempt { executor: id, token, cause });
                }
            }
        }
        for lease in restart {
            run.events.push(Event::LeaseGranted { lease, executors: vec![id] });
        }
        // Attempts that ended here long ago, or belong to another executor.
        for &token in held {
            let is_ours = self.attempts.get(token).is_some_and(|row| row.executor == id);
            if !is_ours && token <= self.meta.last_token {
                let cause = StopCause::Superseded;
                run.events.push(Event::CancelAttempt { executor: id, token, cause });
            }
        }
    }

    /// A superseded attempt whose executor came back with it before another one began is
    /// current again: starting anew would only lose its work.
    fn reinstate(&mut self, token: AttemptToken, run: &mut Run<'_>) -> bool {
        let Some(attempt) = self.attempts.get(token) else {
            return false;
        };
        let task = attempt.task;
        let is_waiting = self.tasks.get(task).is_some_and(|row| match row.state {
            TaskState::Ready | TaskState::BackOff { .. } => true,
            TaskState::Waiting | TaskState::Leased { .. } => false,
        });
        let is_active = self.jobs.get(task.job).is_some_and(|job| job.state == JobState::Active);
        if attempt.stop != Some(StopCause::Superseded) || !is_waiting || !is_active {
            return false;
        }
        if let Some(attempt) = self.attempts.get_mut(token) {
            attempt.stop = None;
        }
        self.index.superseded.remove(&(task, token));
        self.set_task_state(task, TaskState::Leased { token }, run);
        run.changed_jobs.insert(task.job);
        true
    }

    pub(super) fn executor_disconnected(
        &mut self,
        gone: ExecutorDisconnected,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        let ExecutorDisconnected { executor, incarnation } = gone;
        let row = self
            .executors
            .get(executor)
            .ok_or_else(|| Rejected::UnknownExecutor { name: executor.to_string() })?;
        if row.incarnation != incarnation {
            return Err(Rejected::StaleIncarnation { executor, incarnation });
        }
        if matches!(row.liveness, Liveness::Connected { .. }) {
            self.set_liveness(executor, Liveness::Disconnected { since: run.now }, run);
        }
        Ok(Reply::Done)
    }

    pub(super) fn set_liveness(
        &mut self,
        executor: ExecutorId,
        liveness: Liveness,
        run: &mut Run<'_>,
    ) {
        if let Some(row) = self.executors.get_mut(executor) {
            row.liveness = liveness;
            run.changed_executors.insert(executor);
        }
    }

    pub(super) fn set_admission(
        &mut self,
        set: SetAdmission,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        limit("bytes of the reason", set.reason.len(), TEXT_BYTES_MAX)?;
        let unknown = || Rejected::UnknownExecutor { name: set.name.clone() };
        let id = self.index.names.get(&set.name).copied().ok_or_else(unknown)?;
        let row = self.executors.get(id).ok_or_else(unknown)?;
        run.require_owner(&row.owner, &format!("change the admission of executor `{}`", set.name))?;
        if let Some(row) = self.executors.get_mut(id) {
            row.admission = set.admission;
            row.admission_reason = set.reason;
            if row.admission == Admission::Open {
                row.suspicion = 0;
                row.suspect_job = None;
            }
        }
        run.changed_executors.insert(id);
        run.ready_work = true;
        Ok(Reply::Done)
    }

    /// Tokens that are current on an executor, for supersession.
    pub(super) fn current_on(&self, executor: ExecutorId) -> Vec<AttemptToken> {
        self.attempts_of(executor)
            .filter(|(token, attempt)| {
                self.tasks
                    .get(attempt.task)
                    .is_some_and(|row| row.state == TaskState::Leased { token: *token })
            })
            .map(|(token, _)| token)
            .collect()
    }
}

/// What restarted since the executor's last session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boots {
    None,
    Supervisor,
    Machine,
}

/// Two executors must not act under one name.
fn check_identity(row: &ExecutorRow, register: &RegisterExecutor) -> Result<(), Rejected> {
    if row.owner != register.owner {
        let (name, owner) = (row.name.clone(), row.owner.clone());
        return Err(Rejected::ExecutorOwned { name, owner });
    }
    let is_connected = matches!(row.liveness, Liveness::Connected { .. });
    // A restarted agent of the same supervisor is the same executor, seen before its old
    // session was missed.
    let is_same = row.incarnation == register.incarnation
        || (row.machine_boot_id == register.machine_boot_id
            && row.supervisor_boot_id == register.supervisor_boot_id);
    if is_connected && !is_same {
        return Err(Rejected::IdentityInUse { name: row.name.clone() });
    }
    Ok(())
}

fn check(register: &RegisterExecutor) -> Result<(), Rejected> {
    if register.name.is_empty() {
        return Err(bad("name", "of an executor is empty"));
    }
    limit("bytes of the executor's name", register.name.len(), TEXT_BYTES_MAX)?;
    limit("bytes of the executor's address", register.address.len(), TEXT_BYTES_MAX)?;
    limit("storage paths", register.paths.len(), LIST_MAX)?;
    limit("capabilities", register.capabilities.len(), LIST_MAX)?;
    limit("notes", register.notes.len(), LIST_MAX)?;
    limit("GPUs", register.inventory.gpus.len(), LIST_MAX)?;
    limit("named resources", register.inventory.named.len(), LIST_MAX)?;
    limit("verifying keys", register.verifying_key_digests.len(), LIST_MAX)?;
    limit("held attempts", register.held_tokens.len(), HELD_MAX)?;
    // All but the held attempts goes into one row.
    let bytes = minicbor::to_vec(register).map_or(usize::MAX, |bytes| bytes.len());
    let held = register.held_tokens.len().saturating_mul(9);
    limit("bytes of the registration", bytes.saturating_sub(held), ROW_BYTES_MAX)?;
    let devices: BTreeSet<u32> = register.inventory.gpus.iter().map(|gpu| gpu.device).collect();
    if devices.len() != register.inventory.gpus.len() {
        return Err(bad("gpus", "list a device twice"));
    }
    Ok(())
}
