//! Events: what the leader's shell should look at. Each can be derived again from the state (see
//! the views), so losing them with a leader loses nothing.

use crate::model::{AttemptToken, ExecutorId, JobId, LeaseId, StopCause};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Send `State::lease_order` to the executors.
    LeaseGranted {
        lease: LeaseId,
        executors: Vec<ExecutorId>,
    },
    /// Tell the executor to stop the attempt; it answers `Finished` or `Gone`.
    CancelAttempt {
        executor: ExecutorId,
        token: AttemptToken,
        cause: StopCause,
    },
    JobChanged {
        job: JobId,
    },
    ExecutorChanged {
        executor: ExecutorId,
    },
    /// Nothing refers to these attempts' directories any more.
    Collect {
        executor: ExecutorId,
        tokens: Vec<AttemptToken>,
    },
    /// Tasks became ready or room became free: run the planner.
    ReadyWork,
}
