//! What tasks ask for, what executors have, what leases hold.
//!
//! Invariants: all amounts are integers; GPUs are identities (a device number is held by at most
//! one lease); disc is charged against the storage path with the most room.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

/// What one task needs while it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Encode, Decode)]
pub struct Demand {
    #[n(0)]
    pub cores: u32,
    #[n(1)]
    pub memory_bytes: u64,
    #[n(2)]
    pub gpus: u32,
    #[n(3)]
    pub named: BTreeMap<String, u64>,
    /// Space that the attempt's directory may take.
    #[n(4)]
    pub disc_bytes: u64,
}

impl Demand {
    /// The sum of two demands, saturating.
    pub fn plus(&self, other: &Self) -> Self {
        let mut named = self.named.clone();
        for (name, amount) in &other.named {
            let entry = named.entry(name.clone()).or_default();
            *entry = entry.saturating_add(*amount);
        }
        Self {
            cores: self.cores.saturating_add(other.cores),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            gpus: self.gpus.saturating_add(other.gpus),
            named,
            disc_bytes: self.disc_bytes.saturating_add(other.disc_bytes),
        }
    }
}

/// What an executor has in all, as it reported it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Inventory {
    #[n(0)]
    pub cores: u32,
    #[n(1)]
    pub memory_bytes: u64,
    #[n(2)]
    pub gpus: Vec<Gpu>,
    #[n(3)]
    pub named: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Gpu {
    #[n(0)]
    pub device: u32,
    #[n(1)]
    pub model: String,
    #[n(2)]
    pub memory_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StoragePath {
    #[n(0)]
    pub id: String,
    #[n(1)]
    pub role: PathRole,
    #[n(2)]
    pub capacity_bytes: u64,
    #[n(3)]
    pub reserve_bytes: u64,
    #[n(4)]
    pub free_bytes: u64,
}

impl StoragePath {
    /// Bytes that work may still take here.
    pub fn room(&self) -> u64 {
        self.free_bytes.saturating_sub(self.reserve_bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum PathRole {
    #[n(0)]
    Seal,
    #[n(1)]
    Store,
    #[n(2)]
    Both,
}

/// What a lease holds on its executor until all its attempts have ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Holding {
    #[n(0)]
    pub cores: u32,
    #[n(1)]
    pub memory_bytes: u64,
    #[n(2)]
    pub gpus: Vec<u32>,
    #[n(3)]
    pub named: BTreeMap<String, u64>,
    #[n(4)]
    pub disc_bytes: u64,
}

/// The sum of the holdings on one executor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    pub cores: u64,
    pub memory_bytes: u64,
    pub gpus: BTreeSet<u32>,
    pub named: BTreeMap<String, u64>,
    pub disc_bytes: u64,
    pub leases: u32,
}

impl Usage {
    pub(crate) fn add(&mut self, holding: &Holding) {
        self.cores += u64::from(holding.cores);
        self.memory_bytes = self.memory_bytes.saturating_add(holding.memory_bytes);
        self.gpus.extend(holding.gpus.iter().copied());
        for (name, amount) in &holding.named {
            *self.named.entry(name.clone()).or_default() += amount;
        }
        self.disc_bytes = self.disc_bytes.saturating_add(holding.disc_bytes);
        self.leases += 1;
    }

    pub(crate) fn remove(&mut self, holding: &Holding) {
        self.cores = self.cores.saturating_sub(u64::from(holding.cores));
        self.memory_bytes = self.memory_bytes.saturating_sub(holding.memory_bytes);
        for device in &holding.gpus {
            self.gpus.remove(device);
        }
        for (name, amount) in &holding.named {
            let left = self.named.get(name).map_or(0, |held| held.saturating_sub(*amount));
            if left == 0 {
                self.named.remove(name);
            } else {
                self.named.insert(name.clone(), left);
            }
        }
        self.disc_bytes = self.disc_bytes.saturating_sub(holding.disc_bytes);
        self.leases = self.leases.saturating_sub(1);
    }
}

/// The first resource that does not suffice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    pub resource: String,
    pub needed: u64,
    pub available: u64,
}

/// Checks `demand` against an executor's inventory less `used`. With an empty `used` it answers
/// whether the executor could ever run it (disc excepted: room changes with time).
pub fn shortage(
    demand: &Demand,
    inventory: &Inventory,
    paths: &[StoragePath],
    used: &Usage,
) -> Option<Shortage> {
    let short = |resource: &str, needed: u64, total: u64, used: u64| {
        let available = total.saturating_sub(used);
        (needed > available).then(|| Shortage { resource: resource.to_owned(), needed, available })
    };
    let first = short("cores", demand.cores.into(), inventory.cores.into(), used.cores)
        .or_else(|| {
            short("memory bytes", demand.memory_bytes, inventory.memory_bytes, used.memory_bytes)
        })
        .or_else(|| {
            if demand.gpus == 0 {
                return None;
            }
            let free = inventory.gpus.iter().filter(|gpu| !used.gpus.contains(&gpu.device)).count();
            short("gpus", demand.gpus.into(), u64::try_from(free).unwrap_or(u64::MAX), 0)
        })
        .or_else(|| {
            demand.named.iter().find_map(|(name, amount)| {
                let total = inventory.named.get(name).copied().unwrap_or(0);
                short(name, *amount, total, used.named.get(name).copied().unwrap_or(0))
            })
        });
    if first.is_some() || demand.disc_bytes == 0 {
        return first;
    }
    let room = paths.iter().map(StoragePath::room).max().unwrap_or(0);
    short("disc bytes", demand.disc_bytes, room, used.disc_bytes)
}

/// Turns a demand that fits into a holding, with the lowest free GPU numbers.
pub(crate) fn hold(demand: &Demand, inventory: &Inventory, used: &Usage) -> Holding {
    let mut free: Vec<u32> = inventory
        .gpus
        .iter()
        .map(|gpu| gpu.device)
        .filter(|device| !used.gpus.contains(device))
        .collect();
    free.sort_unstable();
    free.truncate(usize::try_from(demand.gpus).unwrap_or(usize::MAX));
    Holding {
        cores: demand.cores,
        memory_bytes: demand.memory_bytes,
        gpus: free,
        named: demand.named.clone(),
        disc_bytes: demand.disc_bytes,
    }
}
