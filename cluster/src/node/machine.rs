//! **Purpose**: the one machine that the log drives: scheduler and enrolment side by side.
//!
//! **Invariants**
//! - A module sees only its own commands and tables; they share no rows.
//! - Commands and replies begin with the number of their module.

use std::any::Any;
use std::sync::Arc;

use hesper_consensus::{
    ApplyContext, LoadError, Machine, MachineFactory, NodeId, Output, RowSource,
};
use hesper_scheduler as scheduler;
use hesper_scheduler::{Event, Principal, State, TableId, UnixMillis};

use super::enrolment::{self, Enrolment};

/// Number of the scheduler in commands and replies.
const SCHEDULER: u8 = 1;
/// Separates the parts of a principal in the log.
const SEPARATOR: char = '\u{1f}';

/// Events of one command, in order.
pub type Events = Vec<Event>;

/// Everything that is replicated.
pub struct ClusterMachine {
    pub scheduler: State,
    pub enrolment: Enrolment,
}

/// A command for one of the modules.
pub enum Command {
    Scheduler(Box<scheduler::Command>),
    Enrolment(enrolment::Command),
}

/// What a module answered.
#[derive(Debug)]
pub enum Reply {
    Scheduler(scheduler::Reply),
    Enrolment(enrolment::Reply),
}

/// The bytes of a reply were not those of this version.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's answer could not be read ({0}); do all nodes run the same version?")]
pub struct UnreadableReply(String);

impl Command {
    /// Bytes for the log: module number, then the module's own encoding.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Command::Scheduler(command) => with_module(SCHEDULER, &command.encode()),
            Command::Enrolment(command) => {
                with_module(enrolment::MODULE, &enrolment::encode(command))
            }
        }
    }
}

impl Reply {
    /// # Errors
    /// The bytes are not a reply that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadableReply> {
        let unreadable = |error: minicbor::decode::Error| UnreadableReply(error.to_string());
        match bytes.split_first() {
            Some((&SCHEDULER, reply)) => {
                scheduler::Reply::decode(reply).map(Reply::Scheduler).map_err(unreadable)
            }
            Some((&enrolment::MODULE, reply)) => {
                minicbor::decode(reply).map(Reply::Enrolment).map_err(unreadable)
            }
            Some((_, text)) => Err(UnreadableReply(String::from_utf8_lossy(text).into_owned())),
            None => Err(UnreadableReply("it is empty".to_owned())),
        }
    }
}

fn with_module(module: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len() + 1);
    all.push(module);
    all.extend_from_slice(bytes);
    all
}

/// A principal as text for the log.
pub fn encode_principal(principal: &Principal) -> String {
    let role = match principal.role {
        scheduler::Role::Node => "node",
        scheduler::Role::Executor => "executor",
        scheduler::Role::Client => "client",
        scheduler::Role::Admin => "admin",
    };
    format!("{role}{SEPARATOR}{}{SEPARATOR}{}", principal.name, principal.owner)
}

/// Reads [`encode_principal`]; anything else is a client that owns nothing.
fn decode_principal(text: &str) -> Principal {
    let mut parts = text.split(SEPARATOR);
    let role = match parts.next() {
        Some("node") => scheduler::Role::Node,
        Some("executor") => scheduler::Role::Executor,
        Some("admin") => scheduler::Role::Admin,
        _ => scheduler::Role::Client,
    };
    let name = parts.next().unwrap_or_default().to_owned();
    let owner = parts.next().unwrap_or_default().to_owned();
    Principal { name, owner, role }
}

/// Rows of the scheduler, written into the batch of the entry.
struct Rows<'a, 'b>(&'a mut Output<'b>);

impl scheduler::Store for Rows<'_, '_> {
    fn put(&mut self, table: TableId, key: &[u8], row: &[u8]) {
        self.0.put(table.0, key.to_vec(), row.to_vec());
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.0.delete(table.0, key.to_vec());
    }

    fn get(&mut self, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(table.0, key)
    }
}

impl ClusterMachine {
    fn apply_scheduler(
        &mut self,
        context: &scheduler::Context<'_>,
        bytes: &[u8],
        out: &mut Output<'_>,
    ) {
        let command = match scheduler::Command::decode(bytes) {
            Ok(command) => command,
            Err(error) => return reject_unreadable(&error, out),
        };
        let mut events = Events::new();
        let reply = self.scheduler.apply(context, command, &mut Rows(out), &mut events);
        out.reply = with_module(SCHEDULER, &reply.encode());
        publish(events, out);
    }

    fn apply_enrolment(&mut self, now_ms: u64, bytes: &[u8], out: &mut Output<'_>) {
        let command = match minicbor::decode(bytes) {
            Ok(command) => command,
            Err(error) => return reject_unreadable(&error, out),
        };
        let reply = self.enrolment.apply(now_ms, command, &mut |table, key, row| match row {
            Some(row) => out.put(table, key.to_vec(), row),
            None => out.delete(table, key.to_vec()),
        });
        out.reply = with_module(enrolment::MODULE, &enrolment::encode(&reply));
    }
}

fn reject_unreadable(error: &minicbor::decode::Error, out: &mut Output<'_>) {
    let text = format!("a command could not be read: {error}");
    out.reply = with_module(0, text.as_bytes());
}

fn publish(events: Events, out: &mut Output<'_>) {
    if !events.is_empty() {
        out.event(Arc::new(events));
    }
}

impl Machine for ClusterMachine {
    fn apply(&mut self, context: &ApplyContext<'_>, command: &[u8], out: &mut Output<'_>) {
        match command.split_first() {
            Some((&SCHEDULER, bytes)) => {
                let principal = decode_principal(context.principal);
                self.apply_scheduler(&scheduler_context(context, &principal), bytes, out);
            }
            Some((&enrolment::MODULE, bytes)) => self.apply_enrolment(context.now_ms, bytes, out),
            Some(_) | None => out.reply = with_module(0, b"no module has this number"),
        }
    }

    fn tick(&mut self, context: &ApplyContext<'_>, out: &mut Output<'_>) {
        let principal = Principal::node("");
        let mut events = Events::new();
        let context = scheduler_context(context, &principal);
        self.scheduler.tick(&context, &mut Rows(out), &mut events);
        publish(events, out);
    }

    fn leader_started(&mut self, context: &ApplyContext<'_>, node: NodeId, out: &mut Output<'_>) {
        let principal = Principal::node("");
        let mut events = Events::new();
        let context = scheduler_context(context, &principal);
        self.scheduler.leader_started(&context, node, &mut Rows(out), &mut events);
        publish(events, out);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn scheduler_context<'a>(
    context: &ApplyContext<'_>,
    principal: &'a Principal,
) -> scheduler::Context<'a> {
    scheduler::Context {
        index: context.index,
        position: context.position,
        now: UnixMillis(context.now_ms),
        principal,
    }
}

/// Makes the machine from its rows.
pub struct Factory;

struct SchedulerRows<'a> {
    rows: &'a mut dyn RowSource,
    error: Option<LoadError>,
}

impl scheduler::RowSource for SchedulerRows<'_> {
    fn for_each(&mut self, table: TableId, row: &mut dyn FnMut(&[u8], &[u8])) {
        if self.error.is_none() {
            self.error = self.rows.for_each(table.0, row).err();
        }
    }
}

impl MachineFactory for Factory {
    fn load(&self, rows: &mut dyn RowSource) -> Result<Box<dyn Machine>, LoadError> {
        let mut source = SchedulerRows { rows, error: None };
        let scheduler = State::load(&mut source);
        if let Some(error) = source.error {
            return Err(error);
        }
        let scheduler = scheduler.map_err(|error| LoadError::Contradiction(error.to_string()))?;
        let mut enrolment = Enrolment::default();
        for table in [enrolment::TOKENS, enrolment::CONSTANTS] {
            let mut bad = None;
            rows.for_each(table, &mut |key, row| {
                if bad.is_none() {
                    bad = enrolment.load_row(table, key, row).err();
                }
            })?;
            if let Some(reason) = bad {
                return Err(LoadError::Row { table, reason });
            }
        }
        Ok(Box::new(ClusterMachine { scheduler, enrolment }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_survives_the_log() {
        let principal =
            Principal { name: "alice".into(), owner: "acme".into(), role: scheduler::Role::Client };
        assert_eq!(decode_principal(&encode_principal(&principal)), principal);
    }

    #[test]
    fn a_malformed_principal_owns_nothing() {
        let principal = decode_principal("garbage");
        assert_eq!(principal.role, scheduler::Role::Client);
        assert!(!principal.may_touch("acme"));
    }
}
