//! **Purpose**: what the agent and its supervisor say to each other over the Unix socket.
//!
//! **Invariants**
//! - The first frame from the supervisor after `accept` is [`Notice::State`].
//! - An attempt of a process that runs several may be confirmed before the process ends: it has then
//!   ended on its own and is not spoken of again.
//! - An [`Ended`] record stays with the supervisor until the agent has confirmed its token.
//! - Fields are numbered and only appended: agent and supervisor may be of different versions.

use minicbor::{Decode, Encode};

/// One attempt to run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AttemptSpec {
    /// The fencing token; never used twice.
    #[n(0)]
    pub token: u64,
    /// Path or name of the program.
    #[n(1)]
    pub program: String,
    /// Arguments after the program.
    #[n(2)]
    pub args: Vec<String>,
    /// Variables of this attempt, on top of the lease's.
    #[n(3)]
    pub env: Vec<(String, String)>,
    /// Working directory; none: an own empty one below the lease's directory.
    #[n(4)]
    pub directory: Option<String>,
    /// Directory for files `stdout` and `stderr`; none: packed into the lease's `out` and `err`.
    #[n(5)]
    pub output: Option<String>,
    /// 0: none.
    #[n(6)]
    pub time_limit_ms: u64,
    /// Given back in [`Ended`]; means something to the agent alone.
    #[n(7)]
    pub tag: String,
}

/// A slot with its attempts, which run one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LeaseSpec {
    #[n(0)]
    pub lease: u64,
    /// Directory of the lease: packed output, index, own directories.
    #[n(1)]
    pub dir: String,
    /// Variables of all attempts.
    #[n(2)]
    pub env: Vec<(String, String)>,
    /// Memory limit; enforced where a delegated cgroup exists. 0: none.
    #[n(3)]
    pub memory_bytes: u64,
    #[n(4)]
    pub attempts: Vec<AttemptSpec>,
    /// All attempts run together in one process: that of the first, whose arguments are followed by
    /// the last argument of each other one.
    #[n(5)]
    pub lockstep: Option<bool>,
}

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    #[n(0)]
    Start(#[n(0)] LeaseSpec),
    #[n(1)]
    Cancel {
        #[n(0)]
        token: u64,
        #[n(1)]
        kill_now: bool,
    },
    /// The ends of these attempts are safe in the agent's outbox.
    #[n(2)]
    Confirm(#[n(0)] Vec<u64>),
    /// Kill everything, then end.
    #[n(3)]
    Stop,
}

/// From the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Notice {
    #[n(0)]
    State(#[n(0)] State),
    #[n(1)]
    Started {
        #[n(0)]
        token: u64,
        #[n(1)]
        pid: u32,
        #[n(2)]
        at_ms: u64,
    },
    #[n(2)]
    Ended(#[n(0)] Ended),
}

/// All that a supervisor knows when an agent connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// New at each start of a supervisor.
    #[n(0)]
    pub boot_id: String,
    /// What works less well on this machine, in words.
    #[n(1)]
    pub notes: Vec<String>,
    #[n(2)]
    pub running: Vec<Live>,
    #[n(3)]
    pub queued: Vec<Live>,
    #[n(4)]
    pub ended: Vec<Ended>,
    /// Whether this supervisor can run several attempts in one process.
    #[n(5)]
    pub lockstep: Option<bool>,
}

/// An attempt that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Live {
    #[n(0)]
    pub token: u64,
    #[n(1)]
    pub lease: u64,
    #[n(2)]
    pub tag: String,
    /// 0 while queued.
    #[n(3)]
    pub pid: u32,
    #[n(4)]
    pub started_at_ms: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Ended {
    #[n(0)]
    pub token: u64,
    #[n(1)]
    pub lease: u64,
    #[n(2)]
    pub started_at_ms: u64,
    #[n(3)]
    pub ended_at_ms: u64,
    /// `exit::Kind` of the executor session.
    #[n(4)]
    pub kind: i32,
    #[n(5)]
    pub code: i32,
    #[n(6)]
    pub signal: i32,
    #[n(7)]
    pub message: String,
    #[n(8)]
    pub user_us: u64,
    #[n(9)]
    pub system_us: u64,
    #[n(10)]
    pub rss_max_bytes: u64,
    #[n(11)]
    pub stdout_bytes: u64,
    #[n(12)]
    pub stderr_bytes: u64,
    #[n(13)]
    pub tag: String,
}
