//! The wallet: keys, policy, sign log, and the session to the pool.

pub mod keystore;
pub mod object;
pub mod policy;
pub mod protect;
pub mod rpc;
pub mod session;
pub mod signlog;
pub mod slash;
pub mod wallet;

pub use object::ObjectType;
pub use wallet::{
    Caller, Clock, DecodeParams, OpenError, Order, Permission, Refusal, RefusalKind, Scope,
    Settings, SignRequest, SystemClock, Wallet,
};
