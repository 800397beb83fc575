//! Room on executors during one planning pass, and the choice among them. The reasons that
//! `explain` shows come from here.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use crate::apply::{is_available, serves};
use crate::index::Shape;
use crate::model::{
    Admission, Demand, ExecutorId, ExecutorRow, Liveness, ProofType, Shortage, Usage, hold,
    shortage,
};
use crate::sealing::lockstep_demand;
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
    /// How often this pass has changed it.
    changes: u32,
    /// The last answer of [`Rooms::width`] since the last change, with its question.
    width: Cell<Option<(ProofType, u32, u32)>>,
}

impl Room<'_> {
    fn changed(&mut self) {
        self.changes += 1;
        self.width.set(None);
    }
}

/// Smaller is better: on an executor to avoid, bytes to move, waiting sectors that find no room,
/// load, leases.
type Rank = (bool, u64, u32, u64, u32);

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
            .map(|(&id, row)| {
                let (used, width) = (state.usage(id), Cell::new(None));
                (id, Room { row, used, reserved: None, changes: 0, width })
            })
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
            room.changed();
        }
    }

    /// Grows when the pass takes or keeps room of the executor: a choice of it holds until then, since
    /// the others can only have become worse.
    pub fn changes(&self, id: ExecutorId) -> u32 {
        self.rooms.get(&id).map_or(0, |room| room.changes)
    }

    /// The best executor for one task of the shape. `avoid` is a preference, the wish a bounded one.
    pub fn choose(&self, shape: &Shape, avoid: &[ExecutorId], wish: Option<&Wish>) -> Choice {
        // Sectors in lockstep cost less each, so an executor with room for more of those that wait
        // comes before an emptier one.
        let waiting = shape.lockstep.map_or(0, |_| {
            let queued = self.state.index.queue.get(shape).map_or(0, BTreeSet::len);
            let most = self.state.meta.configuration.pc1_group_max();
            u32::try_from(queued).unwrap_or(u32::MAX).clamp(1, most)
        });
        let mut best: Option<(Rank, ExecutorId)> = None;
        let mut nearest: Option<(u64, ExecutorId)> = None;
        for (&id, room) in &self.rooms {
            if !serves(room.row, &shape.owner) {
                continue;
            }
            let bytes = wish.map_or(0, |wish| wish.bytes_to(id));
            let is_avoided = avoid.contains(&id);
            // Neither the best nor the nearest: the rest, which costs more, does not matter.
            if best.is_some_and(|((avoided, least, ..), _)| (avoided, least) < (is_avoided, bytes))
            {
                continue;
            }
            if self.blocked(id, room, shape).is_some() {
                let could = never_fits(room.row, &shape.demand).is_none();
                if could && !is_avoided && nearest.is_none_or(|(least, _)| bytes < least) {
                    nearest = Some((bytes, id));
                }
                continue;
            }
            let load =
                room.used.cores.saturating_mul(1000) / u64::from(room.row.inventory.cores.max(1));
            let missing = match shape.lockstep {
                Some(proof) => waiting - self.width(id, proof, waiting),
                None => 0,
            };
            let rank = (is_avoided, bytes, missing, load, room.used.leases);
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, id));
            }
        }
        let Some(((_, bytes, ..), executor)) = best else {
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

    /// How many sectors, at most `most`, the executor could label in lockstep now.
    pub fn width(&self, id: ExecutorId, proof: ProofType, most: u32) -> u32 {
        let Some(room) = self.rooms.get(&id) else { return 0 };
        if let Some((_, _, width)) =
            room.width.get().filter(|(of, up_to, _)| (*of, *up_to) == (proof, most))
        {
            return width;
        }
        let one = lockstep_demand(proof, 1);
        let reserved = room.reserved.as_ref().filter(|reserved| **reserved != one);
        let fits = |width: u32| {
            let demand = lockstep_demand(proof, width);
            let demand = reserved.map_or(demand.clone(), |reserved| demand.plus(reserved));
            shortage(&demand, &room.row.inventory, &room.row.paths, &room.used).is_none()
        };
        // The demand grows with the width: halving finds the largest that fits.
        let (mut fitting, mut failing) = (0, most + 1);
        while failing - fitting > 1 {
            let middle = fitting + (failing - fitting) / 2;
            if fits(middle) {
                fitting = middle;
            } else {
                failing = middle;
            }
        }
        room.width.set(Some((proof, most, fitting)));
        fitting
    }

    /// What the executor lacks for `demand`.
    pub fn short(&self, id: ExecutorId, demand: &Demand) -> Option<Shortage> {
        let room = self.rooms.get(&id)?;
        let (inventory, paths) = (&room.row.inventory, &room.row.paths);
        shortage(demand, inventory, paths, &room.used).or_else(|| {
            shortage(&demand.plus(room.reserved.as_ref()?), inventory, paths, &room.used)
        })
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
            room.changed();
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
