//! Hashing for a batch of sectors, and the proofs that come out.
//!
//! **Purpose**: make the rows again that tree R last does not keep, check all that was read up to
//! `comm_r`, and cut the paths.
//!
//! **Invariants**
//! - Rows of all segments of a batch are hashed together, and each kept group of siblings on its own
//!   rather than along a path: no hash waits for another one of its row, so all lanes are busy.
//! - A path is made of nodes that were checked only.
//!
//! **Source**: merkletree 0.23 `gen_cached_proof`, storage-proofs-post 19.1 `vanilla_proof`.

use hesper_poseidon::{Arity, Backend, hash_rows};

use super::proof::{InclusionProof, PathElement, SectorProof};
use super::read::{GROUP_BYTES, Group, Loaded, Plan};
use super::{Fault, Request, Sector};
use crate::encode::first_out_of_field;
use crate::shape::NODE_BYTES;

/// The proofs of a batch, with the sectors' places in the request.
pub(super) fn prove(
    plan: Plan,
    request: &Request<'_>,
    batch: &[Loaded],
) -> Vec<(usize, Result<SectorProof, Fault>)> {
    let rows = Rows::hash(plan, request.backend, batch);
    let tops = Tops::hash(plan, request.backend, batch);
    let (mut first_segment, mut first_group) = (0, 0);
    let mut proofs = Vec::with_capacity(batch.len());
    for (index, loaded) in batch.iter().enumerate() {
        let sector = &request.sectors[loaded.place];
        let view = View { plan, sector, loaded, rows: &rows, first_segment, first_group };
        let proof = view.check(&tops, index).map(|()| view.proof(&tops, index));
        proofs.push((loaded.place, proof));
        first_segment += loaded.segments.len();
        first_group += loaded.groups.len();
    }
    proofs
}

/// Rows above the leaves of all segments of a batch, and the hashes of all groups.
struct Rows {
    /// Row `r` of all segments at index `r - 1`, up to the row of one node for each segment.
    segments: Vec<Vec<u8>>,
    groups: Vec<u8>,
}

impl Rows {
    fn hash(plan: Plan, backend: Backend, batch: &[Loaded]) -> Rows {
        let count: usize = batch.iter().map(|loaded| loaded.segments.len()).sum();
        let bytes_of = |row: u32| (count * NODE_BYTES) << (3 * (plan.low - row));
        let mut first = vec![0; bytes_of(1)];
        let mut rest = &mut first[..];
        for loaded in batch {
            let (part, others) = rest.split_at_mut(loaded.leaves.len() / 8);
            hash_rows(backend, Arity::Eight, &loaded.leaves, part);
            rest = others;
        }
        let mut segments = vec![first];
        for row in 2..plan.low {
            let mut above = vec![0; bytes_of(row)];
            hash_rows(backend, Arity::Eight, &segments[row as usize - 2], &mut above);
            segments.push(above);
        }
        // The last row of the segments and the groups in one call: both are short.
        let mut input = segments[segments.len() - 1].clone();
        for loaded in batch {
            input.extend_from_slice(&loaded.siblings);
        }
        let mut top = vec![0; input.len() / 8];
        hash_rows(backend, Arity::Eight, &input, &mut top);
        let groups = top.split_off(bytes_of(plan.low));
        segments.push(top);
        Rows { segments, groups }
    }
}

/// The levels above the base trees, for all sectors of a batch.
struct Tops {
    /// Roots of groups of base trees; empty where there is one base tree.
    subs: Vec<u8>,
    /// The sectors' roots.
    roots: Vec<u8>,
    comm_r: Vec<u8>,
}

impl Tops {
    fn hash(plan: Plan, backend: Backend, batch: &[Loaded]) -> Tops {
        let mut roots: Vec<u8> =
            batch.iter().flat_map(|loaded| loaded.roots.iter().copied()).collect();
        let mut subs = Vec::new();
        if let Some(arity) = Arity::of(plan.shape.sub_arity()) {
            subs = above(backend, arity, &roots);
            roots.clone_from(&subs);
        }
        if let Some(arity) = Arity::of(plan.shape.top_arity()) {
            roots = above(backend, arity, &roots);
        }
        let pairs: Vec<u8> =
            batch.iter().flat_map(|loaded| [loaded.comm_c, loaded.comm_r_last]).flatten().collect();
        Tops { subs, roots, comm_r: above(backend, Arity::Two, &pairs) }
    }
}

fn above(backend: Backend, arity: Arity, row: &[u8]) -> Vec<u8> {
    let mut above = vec![0; row.len() / arity.len()];
    hash_rows(backend, arity, row, &mut above);
    above
}

/// One sector of a batch.
struct View<'a> {
    plan: Plan,
    sector: &'a Sector,
    loaded: &'a Loaded,
    rows: &'a Rows,
    /// Where the sector's segments and groups begin in those of the batch.
    first_segment: usize,
    first_group: usize,
}

impl View<'_> {
    /// Every node that was read must lead to the sector's commitments.
    fn check(&self, tops: &Tops, index: usize) -> Result<(), Fault> {
        let (plan, loaded) = (self.plan, self.loaded);
        let cache = || self.sector.cache.clone();
        // A hash takes its inputs modulo the order: equal hashes of nodes out of the field are not
        // enough, the library could not read the proof.
        let is_p_aux_in_field =
            first_out_of_field(&[loaded.comm_c, loaded.comm_r_last].concat()).is_none();
        if node(&tops.comm_r, index) != self.sector.comm_r || !is_p_aux_in_field {
            return Err(Fault::CommR { cache: cache() });
        }
        if node(&tops.roots, index) != loaded.comm_r_last
            || first_out_of_field(&loaded.roots).is_some()
        {
            return Err(Fault::CommRLast { cache: cache() });
        }
        for (place, group) in loaded.groups.iter().enumerate() {
            let leaf =
                group.tree * plan.shape.base_nodes() + (group.index << (3 * (group.row + 1)));
            let above = self.kept(group.tree, group.row + 1, group.index);
            if node(&self.rows.groups, self.first_group + place) != above
                || first_out_of_field(&loaded.siblings[place * GROUP_BYTES..][..GROUP_BYTES])
                    .is_some()
            {
                return Err(Fault::Tree { cache: cache(), row: group.row, leaf });
            }
        }
        if let Some(node) = first_out_of_field(&loaded.leaves) {
            let (segment, rest) =
                (node as u64 / plan.segment_leaves(), node as u64 % plan.segment_leaves());
            let leaf = loaded.segments[segment as usize] * plan.segment_leaves() + rest;
            return Err(Fault::Node { path: self.sector.sealed.clone(), leaf });
        }
        for (place, segment) in loaded.segments.iter().enumerate() {
            let leaf = segment * plan.segment_leaves();
            let (tree, local) = plan.place(leaf);
            let found = self.made(place, plan.low, 0);
            if found != self.kept(tree, plan.low, local >> (3 * plan.low)) {
                let sealed = self.sector.sealed.clone();
                return Err(Fault::Leaves { sealed, cache: cache(), leaf });
            }
        }
        Ok(())
    }

    fn proof(&self, tops: &Tops, index: usize) -> SectorProof {
        let loaded = self.loaded;
        SectorProof {
            sector_id: self.sector.id,
            comm_r: self.sector.comm_r,
            comm_c: loaded.comm_c,
            comm_r_last: loaded.comm_r_last,
            inclusion: self
                .sector
                .challenges
                .iter()
                .map(|leaf| self.inclusion(*leaf, tops, index))
                .collect(),
        }
    }

    fn inclusion(&self, leaf: u64, tops: &Tops, index: usize) -> InclusionProof {
        let (plan, shape) = (self.plan, self.plan.shape);
        let (tree, local) = plan.place(leaf);
        let segment = self
            .loaded
            .segments
            .binary_search(&(leaf / plan.segment_leaves()))
            .expect("the segment of each challenge was read");
        let base = (0..plan.top)
            .map(|row| {
                let (place, group) = (local >> (3 * row), local >> (3 * row + 3) << 3);
                let in_segment = plan.segment_leaves() >> (3 * row);
                let nodes = (group..group + 8).map(|place| {
                    if row < plan.low {
                        self.made(segment, row, place % in_segment)
                    } else {
                        self.kept(tree, row, place)
                    }
                });
                element(nodes, place - group)
            })
            .collect();
        let (sub_arity, top_arity) = (shape.sub_arity() as u64, shape.top_arity() as u64);
        let sub = (sub_arity > 0).then(|| {
            let first = tree / sub_arity * sub_arity;
            let nodes =
                (first..first + sub_arity).map(|tree| node(&self.loaded.roots, tree as usize));
            element(nodes, tree - first)
        });
        let top = (top_arity > 0).then(|| {
            let first = index * top_arity as usize;
            let nodes = (first..first + top_arity as usize).map(|place| node(&tops.subs, place));
            element(nodes, tree / sub_arity)
        });
        let leaf = self.made(segment, 0, local % plan.segment_leaves());
        InclusionProof { root: self.loaded.comm_r_last, leaf, base, sub, top }
    }

    /// A node of a segment: of its leaves or of the rows made from them.
    fn made(&self, segment: usize, row: u32, place: u64) -> [u8; 32] {
        let width = (self.plan.segment_leaves() >> (3 * row)) as usize;
        match row.checked_sub(1) {
            None => node(&self.loaded.leaves, segment * width + place as usize),
            Some(above) => node(
                &self.rows.segments[above as usize],
                (self.first_segment + segment) * width + place as usize,
            ),
        }
    }

    /// A node that tree R last keeps, above a challenged leaf or beside such a node.
    fn kept(&self, tree: u64, row: u32, place: u64) -> [u8; 32] {
        if row == self.plan.top {
            return node(&self.loaded.roots, tree as usize);
        }
        let group = Group { tree, row, index: place >> 3 };
        let at = self
            .loaded
            .groups
            .binary_search(&group)
            .expect("the groups above each challenge were read");
        node(&self.loaded.siblings, at * 8 + (place & 7) as usize)
    }
}

fn element(nodes: impl Iterator<Item = [u8; 32]>, place: u64) -> PathElement {
    let index = place as usize;
    let hashes = nodes.enumerate().filter(|(at, _)| *at != index).map(|(_, node)| node).collect();
    PathElement { hashes, index }
}

fn node(nodes: &[u8], index: usize) -> [u8; 32] {
    nodes.as_chunks::<NODE_BYTES>().0[index]
}
