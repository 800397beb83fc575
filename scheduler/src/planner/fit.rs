//! Room on executors during one planning pass, and the choice among them. The reasons that
//! `explain` shows come from here.

use std::collections::BTreeMap;

use crate::apply::{is_available, serves};
use crate::index::Shape;
use crate::model::{
    Admission, Demand, ExecutorId, ExecutorRow, Liveness, Shortage, Usage, hold, shortage,
};
use crate::state::State;

use super::wish::Wish;

/// Free room of the executors that take work, as the pass uses it up.
pub(crate) struct Rooms<'a> {
    state: &'a State,
    rooms: BTreeMap<ExecutorId, Room<'a>>,
}

struct Room<'a> {
    row: &'a ExecutorRow,
    used: Usage,
    /// Kept free for a shape that has waited long.
    reserved: Option<Demand>,
}

pub(crate) enum Choice {
    Take(ExecutorId),
    /// There is room, but waiting for this executor moves so many bytes less.
    WaitFor {
        executor: ExecutorId,
        bytes: u64,
    },
    /// No executor that takes work has room now.
    Full,
}

impl<'a> Rooms<'a> {
    pub fn new(state: &'a State) -> Self {
        let rooms = state
            .executors
            .iter()
            .filter(|(_, row)| is_available(row))
            .map(|(&id, row)| (id, Room { row, used: state.usage(id), reserved: None }))
            .collect();
        Self { state, rooms }
    }

    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub fn take(&mut self, executor: ExecutorId, demand: &Demand) {
        if let Some(room) = self.rooms.get_mut(&executor) {
            let holding = hold(demand, &room.row.inventory, &room.used);
            room.used.add(&holding);
        }
    }

    /// The best executor for one task of the shape. `avoid` is a preference, the wish a bounded one.
    pub fn choose(&self, shape: &Shape, avoid: &[ExecutorId], wish: Option<&Wish>) -> Choice {
        let mut best: Option<((bool, u64, u64, u32), ExecutorId)> = None;
        let mut nearest: Option<(u64, ExecutorId)> = None;
        for (&id, room) in &self.rooms {
            if !serves(room.row, &shape.owner) {
                continue;
            }
            let bytes = wish.map_or(0, |wish| wish.bytes_to(id));
            let is_avoided = avoid.contains(&id);
            if self.blocked(id, room, shape).is_some() {
                let could = never_fits(room.row, &shape.demand).is_none();
                if could && !is_avoided && nearest.is_none_or(|(least, _)| bytes < least) {
                    nearest = Some((bytes, id));
                }
                continue;
            }
            let load =
                room.used.cores.saturating_mul(1000) / u64::from(room.row.inventory.cores.max(1));
            let rank = (is_avoided, bytes, load, room.used.leases);
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, id));
            }
        }
        let Some(((_, bytes, _, _), executor)) = best else {
            return Choice::Full;
        };
        if let (Some(wish), Some((nearest_bytes, nearest))) = (wish, nearest) {
            let spared = bytes.saturating_sub(nearest_bytes);
            if spared > 0 && wish.is_worth_waiting(spared) {
                return Choice::WaitFor { executor: nearest, bytes: spared };
            }
        }
        Choice::Take(executor)
    }

    /// Why a task of the shape cannot go to a connected and open executor now.
    fn blocked(&self, id: ExecutorId, room: &Room<'_>, shape: &Shape) -> Option<Block> {
        if let Some(short) = never_fits(room.row, &shape.demand) {
            return Some(Block::Never(short));
        }
        let row = room.row;
        if let Some(short) = shortage(&shape.demand, &row.inventory, &row.paths, &room.used) {
            // Distinguishes what the pass itself has just planned from what leases hold.
            return Some(Block::Full(short, self.state.usage(id).leases));
        }
        let reserved = room.reserved.as_ref().filter(|reserved| **reserved != shape.demand)?;
        let both = shape.demand.plus(reserved);
        shortage(&both, &row.inventory, &row.paths, &room.used).map(|_| Block::Reserved)
    }

    /// Keeps room on the executor that could run the shape and has the fewest leases.
    pub fn reserve(&mut self, shape: &Shape) {
        let candidate = self
            .rooms
            .iter()
            .filter(|(_, room)| room.reserved.is_none() && serves(room.row, &shape.owner))
            .filter(|(_, room)| never_fits(room.row, &shape.demand).is_none())
            .min_by_key(|(id, room)| (room.used.leases, **id))
            .map(|(&id, _)| id);
        if let Some(room) = candidate.and_then(|id| self.rooms.get_mut(&id)) {
            room.reserved = Some(shape.demand.clone());
        }
    }

    /// How many tasks of the shape all executors together could run if they were empty.
    pub fn slots(&self, shape: &Shape) -> u64 {
        let demand = &shape.demand;
        self.rooms
            .values()
            .filter(|room| serves(room.row, &shape.owner))
            .map(|room| {
                let inventory = &room.row.inventory;
                let per = |total: u64, each: u64| total.checked_div(each).unwrap_or(u64::MAX);
                let gpus = u64::try_from(inventory.gpus.len()).unwrap_or(u64::MAX);
                demand
                    .named
                    .iter()
                    .map(|(name, each)| per(inventory.named.get(name).copied().unwrap_or(0), *each))
                    .chain([
                        per(inventory.cores.into(), demand.cores.into()),
                        per(inventory.memory_bytes, demand.memory_bytes),
                        per(gpus, demand.gpus.into()),
                    ])
                    .min()
                    .unwrap_or(0)
            })
            .fold(0, u64::saturating_add)
    }

    /// The reason for one executor, in words.
    pub fn reason(&self, id: ExecutorId, row: &ExecutorRow, shape: &Shape) -> String {
        match row.liveness {
            Liveness::Connected { awaiting: None } => {}
            Liveness::Connected { awaiting: Some(_) } => {
                return "has not come back since the leader changed".to_owned();
            }
            Liveness::Disconnected { .. } => return "is disconnected".to_owned(),
            Liveness::Lost { .. } => return "is lost".to_owned(),
        }
        match row.admission {
            Admission::Open => {}
            Admission::Cordoned | Admission::Draining => {
                let because = match row.admission_reason.as_str() {
                    "" => String::new(),
                    reason => format!(": {reason}"),
                };
                return format!("is {}{because}", row.admission.name());
            }
        }
        if !serves(row, &shape.owner) {
            return format!("runs only work of `{}`", row.owner);
        }
        if row.shrunk {
            return "came back with less than its leases hold".to_owned();
        }
        let Some(room) = self.rooms.get(&id) else {
            return "takes no work".to_owned();
        };
        match self.blocked(id, room, shape) {
            None => "has room".to_owned(),
            Some(Block::Never(short)) => format!(
                "can never run it: it needs {} {} and there are {} in all",
                short.needed, short.resource, short.available
            ),
            Some(Block::Full(short, leases)) => format!(
                "has {} of the needed {} {} free beside {leases} leases",
                short.available, short.needed, short.resource
            ),
            Some(Block::Reserved) => "keeps its room for work that has waited longer".to_owned(),
        }
    }
}

enum Block {
    Never(Shortage),
    Full(Shortage, u32),
    Reserved,
}

/// What the executor lacks even when it is empty. Room on discs comes and goes, so it counts
/// only against the capacity.
pub(super) fn never_fits(row: &ExecutorRow, demand: &Demand) -> Option<Shortage> {
    let without_disc = Demand { disc_bytes: 0, ..demand.clone() };
    shortage(&without_disc, &row.inventory, &row.paths, &Usage::default()).or_else(|| {
        let capacity = row
            .paths
            .iter()
            .map(|path| path.capacity_bytes.saturating_sub(path.reserve_bytes))
            .max()
            .unwrap_or(0);
        (demand.disc_bytes > capacity).then(|| Shortage {
            resource: "disc bytes".to_owned(),
            needed: demand.disc_bytes,
            available: capacity,
        })
    })
}
