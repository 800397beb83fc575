//! The words of the scheduler: ids, demands, work, rows, reports. Data only.

mod configuration;
mod ids;
mod lockstep;
mod owner;
mod places;
mod report;
mod resources;
mod rows;
mod work;

pub use configuration::{Configuration, ConfigurationChange, PC1_GROUP_MAX, SupersedeAfter};
pub use ids::{AttemptToken, Digest, ExecutorId, JobId, LeaseId, SectorId, TaskId, UnixMillis};
pub use lockstep::WidthBound;
pub use owner::{OwnerLimits, OwnerUsage};
pub(crate) use owner::{QuotaShortage, quota_shortage};
pub use places::{Admission, ExecutorRow, Liveness, Manifest, MinerRow, Piece, SectorRow};
pub use report::{Exit, ExitKind, Finished, ProcessUsage, Report, Started};
pub(crate) use resources::hold;
pub use resources::{
    Demand, Gpu, Holding, Inventory, PathRole, Shortage, StoragePath, Usage, shortage,
};
pub use rows::{
    AttemptRow, EndedTaskRow, JobRow, JobState, LeaseRow, MetaRow, OldJobRow, Outcome, PastAttempt,
    SpecRow, StopCause, TaskRow, TaskState,
};
pub use work::{
    ArraySpec, CommandWork, Dependency, DependencyKind, FileEntry, JobKind, JobSpec, Kernels,
    ProofType, Range, Stage, StageNode, StageWork, Work,
};
