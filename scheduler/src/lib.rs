//! The scheduler of Hesper as a pure, replicated state machine, and its planner.
//!
//! Purpose: decide what runs where. `State::apply` carries out one committed command;
//! `State::plan` proposes grants as a pure function; the shell around it does all input and output.
//!
//! Invariants (each has a check in `State::validate` or a property test):
//! - apply is total: a bad command is answered with `Reply::Rejected`, never panics; equal
//!   commands give equal states and equal rows; the state loaded from rows equals the one in memory;
//! - tokens, job ids and executor ids are strictly increasing and never reused;
//! - resources are never over-granted; an attempt is charged until its process is known dead;
//! - at most one attempt of a task is current, and only it, or an adopted result, ends the task;
//! - what an owner's leases hold grows only within its quota, at any log index;
//! - every pending task has a reason.
//!
//! Deliberately absent: clock, randomness, files, sockets, threads, logging, the wire.
#![forbid(unsafe_code)]

mod apply;
mod command;
mod event;
mod index;
pub mod memory;
mod model;
mod planner;
mod reply;
mod sealing;
mod state;
mod table;
mod validate;
mod view;

pub use command::{
    Command, Edge, ExecutorDisconnected, Grant, NumberedReport, Prove, ProveKind, RegisterExecutor,
    ReportBatch, SealSector, SetAdmission, SetOwnerLimits, SubmitGraph,
};
pub use event::Event;
pub use model::{
    Admission, ArraySpec, AttemptRow, AttemptToken, CommandWork, Configuration,
    ConfigurationChange, Demand, Dependency, DependencyKind, Digest, EndedTaskRow, ExecutorId,
    ExecutorRow, Exit, ExitKind, FileEntry, Finished, Gpu, Holding, Inventory, JobId, JobKind,
    JobRow, JobSpec, JobState, Kernels, LeaseId, LeaseRow, Liveness, Manifest, MetaRow, MinerRow,
    OldJobRow, Outcome, OwnerLimits, OwnerUsage, PC1_GROUP_MAX, PastAttempt, PathRole, Piece,
    ProcessUsage, ProofType, Range, Report, SectorId, SectorRow, Shortage, SpecRow, Stage,
    StageNode, StageWork, Started, StopCause, StoragePath, SupersedeAfter, TaskId, TaskRow,
    TaskState, UnixMillis, Usage, WidthBound, Work, shortage,
};
pub use planner::{Explanation, Plan, PlanBudget};
pub use reply::{GrantRefusal, RefusedGrant, Rejected, Reply, Retry};
pub use sealing::{demand_of, derived_challenge, lockstep_demand};
pub use state::{Context, Principal, Role, RowSource, State};
pub use table::{LoadError, Row, Store, TableId};
pub use validate::BrokenInvariant;
pub use view::{
    AttemptOrder, CancelOrder, Counters, InputFile, JobStatus, JobView, LeaseOrder, LocatedFile,
    Source, StageOrder, TaskCounts, TaskStatus, TaskView, WorkOrder,
};
