//! **Purpose**: labels: whole groups through the driver of PC1, and ranges of one layer.
//!
//! **Invariants**: a range is labelled with both layers full-size and filled with random labels, and
//! its labels are hashed and written like a layer, so that it costs what a part of a layer costs.

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use hesper_benches::kernels::outcome::{Outcome, Spent};
use hesper_benches::random::Random;
use hesper_sdr::label::{self, Width};
use hesper_sdr::{Graph, Lockstep, group, parents};
use serde_json::json;

use crate::watch::{Watch, thread_ns};

/// The id of the graph: the registered proof's number in its first byte, as the peer has it.
pub fn porep_id(sector_bytes: u64) -> [u8; 32] {
    let mut id = [0; 32];
    id[0] = match sector_bytes {
        0x800 => 5,
        0x2000_0000 => 7,
        _ => 6,
    };
    id
}

pub fn open_parents(
    dir: &Path,
    sector_bytes: u64,
    threads: NonZeroUsize,
) -> Result<parents::Table> {
    let graph = Graph::of_sector_bytes(sector_bytes, porep_id(sector_bytes))?;
    Ok(parents::prepare(dir, &graph, threads.get())?)
}

/// The id of sector `index` of a group; the peer labels sector 0.
pub fn replica_id(index: usize) -> [u8; 32] {
    let mut id = [0x11; 32];
    id[0] = u8::try_from(index % 256).unwrap_or(0);
    id
}

#[derive(Args)]
pub struct Whole {
    #[arg(long)]
    bytes: u64,
    #[arg(long, default_value_t = 2)]
    layers: u32,
    #[arg(long)]
    sectors: usize,
    /// Takes one directory for each sector
    #[arg(long)]
    out: PathBuf,
}

impl Whole {
    pub fn run(&self, parents: &Path, threads: NonZeroUsize) -> Result<Outcome> {
        // The peer opens its table before its clock starts as well.
        let table = open_parents(parents, self.bytes, threads)?;
        let nodes = u64::from(table.graph().nodes());
        let mut sectors = Vec::new();
        for index in 0..self.sectors {
            let dir = self.out.join(index.to_string());
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("could not make `{}`", dir.display()))?;
            let cancel = Arc::new(AtomicBool::new(false));
            sectors.push(group::Sector { replica_id: replica_id(index), dir, have: 0, cancel });
        }
        let count = self.sectors as u64;
        let request = group::Request::new(&table, self.layers, sectors);

        let watch = Watch::start();
        let mut first_layer = None;
        let mut digests: Vec<String> = Vec::new();
        let mut failed = None;
        group::run(&request, &mut |event| match event {
            group::Event::Started { layer: 2, .. } => first_layer = Some(watch.spent(0)),
            group::Event::Layer { sector: 0, blake3, .. } => digests.push(hex::encode(blake3)),
            group::Event::Ended { sector, result: Err(error) } => failed = Some((sector, error)),
            _ => {}
        })?;
        if let Some((sector, error)) = failed {
            return Err(error).with_context(|| format!("sector {sector} of the group failed"));
        }
        let width = Width::for_sectors(self.sectors).context("no kernel is that wide")?;
        let backend = label::best_backend(width);
        let labels = nodes * count * u64::from(self.layers);
        let mut outcome = watch.finish(labels, format!("{backend} x {width}"))?;

        if let Some(first) = first_layer {
            outcome.later_layers = Some(Spent {
                cpu_ns: outcome.whole.cpu_ns - first.cpu_ns,
                wall_ns: outcome.whole.wall_ns - first.wall_ns,
                units: labels / u64::from(self.layers) * u64::from(self.layers - 1),
            });
        }
        outcome.digest = Some(digests.join(","));
        outcome.kernel = Some(kernel_alone(&table, self.sectors, width)?);
        Ok(outcome)
    }
}

/// The label kernel after the run, with buffers of at most 1 GiB.
fn kernel_alone(table: &parents::Table, sectors: usize, width: Width) -> Result<Spent> {
    const NODES_MAX: u32 = 1 << 20;
    let small;
    let table = if table.graph().nodes() <= NODES_MAX {
        table
    } else {
        // Parents of a smaller graph: those of the large one would lie outside of the buffers.
        small = parents::Table::in_memory(&Graph::new(NODES_MAX, *table.graph().porep_id())?, 2);
        &small
    };
    let nodes = table.graph().nodes();
    let mut run = Layers::random(nodes, width)?;
    run.label(table, sectors, nodes / 4..nodes / 4 + nodes / 4)
}

#[derive(Args)]
pub struct Part {
    #[arg(long)]
    bytes: u64,
    #[arg(long)]
    sectors: usize,
    /// Consecutive nodes, from the middle of layer 2
    #[arg(long)]
    nodes: u32,
    /// Takes one file for each sector
    #[arg(long)]
    out: PathBuf,
}

impl Part {
    pub fn run(&self, parents: &Path, threads: NonZeroUsize) -> Result<Outcome> {
        let table = open_parents(parents, self.bytes, threads)?;
        let nodes = table.graph().nodes();
        ensure!(self.nodes <= nodes, "a layer has {nodes} nodes only");
        let width = Width::for_sectors(self.sectors).context("no kernel is that wide")?;
        let mut layers = Layers::random(nodes, width)?;
        let mut files = Vec::new();
        for sector in 0..self.sectors {
            let path = self.out.join(format!("part-{sector}.dat"));
            let file = File::create(&path)
                .with_context(|| format!("could not make `{}`", path.display()))?;
            files.push((file, blake3::Hasher::new()));
        }
        let first = (nodes - self.nodes) / 2;
        // The pages of the table come from the disc once, not in the measured part: a whole run reads
        // each row once in order, which read-ahead hides.
        let touched: u32 =
            table.rows(first..first + self.nodes).iter().step_by(1024).fold(0, |a, b| a ^ b);
        std::hint::black_box(touched);

        let watch = Watch::start();
        let kernel = layers.label_and_write(&table, &mut files, first..first + self.nodes)?;
        let labels = u64::from(self.nodes) * self.sectors as u64;
        let backend = format!("{} x {width}", label::best_backend(width));
        let mut outcome = watch.finish(labels, backend)?;
        outcome.kernel = Some(kernel);
        let digests: Vec<String> =
            files.iter().map(|(_, hasher)| hasher.finalize().to_hex().to_string()).collect();
        outcome.other.insert("blake3".to_owned(), json!(digests));
        Ok(outcome)
    }
}

const LABEL_BYTES: usize = 32;
/// Nodes of one call of the kernel.
const PIECE: u32 = 8192;

/// Two layers of a group in memory, both random.
struct Layers {
    width: Width,
    current: Lockstep,
    previous: Lockstep,
}

impl Layers {
    fn random(nodes: u32, width: Width) -> Result<Layers> {
        let mut current = Lockstep::new(nodes, width.lanes())?;
        let mut previous = Lockstep::new(nodes, width.lanes())?;
        for (seed, layer) in [(1, &mut current), (2, &mut previous)] {
            let mut random = Random::new(seed);
            for pair in layer.words_mut().chunks_exact_mut(2) {
                let drawn = random.draw();
                pair[0] = drawn as u32;
                pair[1] = (drawn >> 32) as u32;
            }
        }
        Ok(Layers { width, current, previous })
    }

    /// The kernel alone. The range is given to it in pieces, as the driver does.
    fn label(
        &mut self,
        table: &parents::Table,
        sectors: usize,
        nodes: Range<u32>,
    ) -> Result<Spent> {
        let replica_ids: Vec<[u8; 32]> = (0..sectors).map(replica_id).collect();
        let labels = u64::from(nodes.end - nodes.start) * sectors as u64;
        let watch = Watch::start();
        let begun = thread_ns();
        for piece in pieces(nodes, PIECE) {
            self.label_piece(table, &replica_ids, piece);
        }
        let wall_ns = watch.spent(0).wall_ns;
        Ok(Spent { cpu_ns: thread_ns() - begun, wall_ns, units: labels })
    }

    fn label_piece(&mut self, table: &parents::Table, replica_ids: &[[u8; 32]], piece: Range<u32>) {
        let request = label::Request {
            layer: 2,
            replica_ids,
            nodes: piece.clone(),
            parents: table.rows(piece),
        };
        label::label_nodes(
            label::best_backend(self.width),
            self.width,
            &request,
            self.current.words_mut(),
            Some(self.previous.words()),
        );
    }

    /// The labels of a piece as bytes, lane by lane.
    fn copy_out(&self, piece: Range<u32>, lanes: &mut [Vec<u8>]) {
        for lane in lanes.iter_mut() {
            lane.resize(piece.len() * LABEL_BYTES, 0);
        }
        // In parts that the second-level cache holds, since each lane passes over all of it.
        for part in pieces(piece.clone(), 512) {
            let first = (part.start - piece.start) as usize * LABEL_BYTES;
            let bytes = first..first + part.len() * LABEL_BYTES;
            for (lane, out) in lanes.iter_mut().enumerate() {
                self.current.copy_lane_out(lane, part.clone(), &mut out[bytes.clone()]);
            }
        }
    }

    /// The kernel, and what a layer needs besides: its bytes in order, their hash, the file.
    fn label_and_write(
        &mut self,
        table: &parents::Table,
        files: &mut [(File, blake3::Hasher)],
        nodes: Range<u32>,
    ) -> Result<Spent> {
        let replica_ids: Vec<[u8; 32]> = (0..files.len()).map(replica_id).collect();
        let mut kernel = Spent {
            units: u64::from(nodes.end - nodes.start) * files.len() as u64,
            ..Spent::default()
        };
        let mut lanes = vec![Vec::new(); files.len()];
        for piece in pieces(nodes, PIECE) {
            let (begun, watch) = (thread_ns(), std::time::Instant::now());
            self.label_piece(table, &replica_ids, piece.clone());
            kernel.cpu_ns += thread_ns() - begun;
            kernel.wall_ns += u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.copy_out(piece, &mut lanes);
            for (bytes, (file, hasher)) in lanes.iter().zip(files.iter_mut()) {
                hasher.update(bytes);
                file.write_all(bytes).context("could not write a part of a layer")?;
            }
        }
        for (file, _) in files.iter() {
            file.sync_all().context("could not flush a part of a layer")?;
        }
        if kernel.cpu_ns == 0 {
            bail!("the range is too short to be measured");
        }
        Ok(kernel)
    }
}

fn pieces(nodes: Range<u32>, piece: u32) -> impl Iterator<Item = Range<u32>> {
    let end = nodes.end;
    nodes.step_by(piece as usize).map(move |first| first..(first + piece).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_range_once() {
        let all: Vec<_> = pieces(100..20_000, 8192).collect();
        assert_eq!(all, [100..8292, 8292..16_484, 16_484..20_000]);
        assert_eq!(pieces(5..5, 7).count(), 0);
    }

    #[test]
    fn a_range_is_written_and_hashed_lane_by_lane() {
        let graph = Graph::new(1 << 12, porep_id(0x80_0000)).expect("graph");
        let table = parents::Table::in_memory(&graph, 1);
        let mut layers = Layers::random(graph.nodes(), Width::Two).expect("layers");
        let dir = tempfile::tempdir().expect("dir");
        let mut files: Vec<(File, blake3::Hasher)> = (0..2)
            .map(|lane| {
                let file = File::create(dir.path().join(lane.to_string())).expect("file");
                (file, blake3::Hasher::new())
            })
            .collect();
        let spent = layers.label_and_write(&table, &mut files, 1000..3000).expect("labelled");
        assert_eq!(spent.units, 4000);
        for (lane, (_, hasher)) in files.iter().enumerate() {
            let mut expected = vec![0; 2000 * 32];
            layers.current.copy_lane_out(lane, 1000..3000, &mut expected);
            let written = std::fs::read(dir.path().join(lane.to_string())).expect("read");
            assert_eq!(written, expected);
            assert_eq!(hasher.finalize(), blake3::hash(&expected));
        }
    }
}
