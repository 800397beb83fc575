//! **Purpose**: a replicated log, the state it makes, and the membership of the nodes that hold it: the
//! only crate that knows openraft and RocksDB.
//!
//! **Invariants**
//! - What is answered is durable on a quorum and applied.
//! - A request of a session is executed at most once, however often it is sent.
//! - No caller needs a type of openraft or RocksDB.
//!
//! **Source**: Ongaro, "Consensus: Bridging Theory and Practice" (2014); openraft 0.10.0-alpha.37.

mod clock;
mod codec;
mod config;
mod consensus;
mod data_dir;
mod device;
mod error;
mod leader;
mod log_store;
mod machine;
mod members;
mod network;
mod node;
mod proposer;
mod start;
mod state;
mod state_machine;
mod status;
mod stop;
mod types;
mod wal;

pub use config::{ClusterId, Config};
pub use consensus::{Consensus, Request};
pub use error::{MembershipError, ProposeError, ReadError, Retry, StartError};
pub use machine::{
    ApplyContext, Event, LoadError, Machine, MachineFactory, MemoryRows, Output, Row, RowSource,
    TABLES_MAX,
};
pub use members::Member;
pub use network::{ConnectError, Connector, RaftService};
pub use node::{Applied, Leadership, LeadershipToken};
pub use state::{Published, StateHash};
pub use status::Status;
pub use stop::StopReason;
pub use types::{LogIndex, NodeId};

/// Parts for the tests of this crate, not for use.
#[doc(hidden)]
pub mod testing {
    pub use crate::device::{CrashImage, Device, DeviceFile, FileDevice, SimDevice, TraceOp};
    pub use crate::log_store::LogStore;
    pub use crate::state::{SnapshotStore, State};
    pub use crate::state_machine::StateMachine;
    pub use crate::stop::StopSignal;
    pub use crate::types::{
        CommittedLeaderId, EncodedBatch, Entry, LogId, Membership, Payload, Types, Vote,
    };
    pub use crate::wal::{Wal, WalError, WalOptions};
}
