//! Why a PC1 group is as wide as it is.

use std::fmt;

use minicbor::{Decode, Encode};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What bounded the width of a group that labels in lockstep, as the planner saw it. Kept for people:
/// no decision depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum WidthBound {
    /// As many as the configuration allows.
    #[n(0)]
    Configured,
    /// No more sectors waited.
    #[n(1)]
    Waiting,
    /// The executor had no room for all that waited.
    #[n(2)]
    Room {
        #[n(0)]
        resource: String,
        #[n(1)]
        free: u64,
        /// Sectors that waited, at most the configured width.
        #[n(2)]
        wanted: u32,
        /// What so many would need.
        #[n(3)]
        needed: u64,
    },
    /// The owner's quota had no room for all that waited.
    #[n(3)]
    Quota {
        #[n(0)]
        resource: String,
        #[n(1)]
        free: u64,
        #[n(2)]
        wanted: u32,
        #[n(3)]
        needed: u64,
    },
}

impl WidthBound {
    /// The reason in words; `executor` is the name of the one that runs the group.
    pub(crate) fn reason(&self, executor: &str, width: u32) -> String {
        match self {
            Self::Configured => format!("pc1_group_max is {width}"),
            Self::Waiting => "no more sectors waited for it".to_owned(),
            Self::Room { resource, free, wanted, needed } => format!(
                "executor {executor} had {} free, {wanted} would need {}",
                Amount { amount: *free, resource },
                Amount { amount: *needed, resource }
            ),
            Self::Quota { resource, free, wanted, needed } => format!(
                "the owner's quota had {} left, {wanted} would need {}",
                Amount { amount: *free, resource },
                Amount { amount: *needed, resource }
            ),
        }
    }
}

/// Bytes with a unit; memory, the usual case, without its name.
struct Amount<'a> {
    amount: u64,
    resource: &'a str,
}

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amount, resource } = *self;
        let Some(what) = resource.strip_suffix("bytes") else {
            return write!(f, "{amount} {resource}");
        };
        let (unit, name) = if amount < GIB { (MIB, "MiB") } else { (GIB, "GiB") };
        // One decimal in integers.
        let tenths = amount % unit * 10 / unit;
        write!(f, "{}.{tenths} {name}", amount / unit)?;
        match what.trim_end() {
            "memory" => Ok(()),
            other => write!(f, " of {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_amounts_with_units() {
        let room = |resource: &str, free, needed| WidthBound::Room {
            resource: resource.to_owned(),
            free,
            wanted: 16,
            needed,
        };
        let memory = room("memory bytes", 9 * GIB + 150 * MIB, 17 * GIB - 60 * MIB);
        assert_eq!(memory.reason("e1", 8), "executor e1 had 9.1 GiB free, 16 would need 16.9 GiB");
        assert_eq!(
            room("disc bytes", 10 * MIB, 16 * MIB + MIB / 2).reason("e1", 8),
            "executor e1 had 10.0 MiB of disc free, 16 would need 16.5 MiB of disc"
        );
        assert_eq!(
            room("licence", 1, 2).reason("e1", 1),
            "executor e1 had 1 licence free, 16 would need 2 licence"
        );
    }
}
