//! Rates of the parents, the copying out and whole groups on this machine, for development.
//!
//! `cargo run --release -p hesper-sdr --example group_rate -- \
//! parents | copy | table [dir] | group [width] [log2 nodes] [dir]`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hesper_sdr::group::{self, Event, Sector};
use hesper_sdr::{Graph, Lockstep, parents};
use rustix::thread::ClockId;
use rustix::time::clock_gettime;

fn cpu(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The least CPU time of this thread over many runs.
fn least(mut work: impl FnMut()) -> Duration {
    let runs = (0..5).map(|_| {
        let start = cpu(ClockId::ThreadCPUTime);
        work();
        cpu(ClockId::ThreadCPUTime) - start
    });
    runs.min().unwrap_or_default()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |i: usize, default: u32| args.get(i).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    match args.first().map(String::as_str) {
        Some("parents") => parents_rate(),
        Some("copy") => copy_rate(),
        Some("table") => table_rate(args.get(1).map_or_else(std::env::temp_dir, PathBuf::from)),
        Some("group") => {
            let dir = args.get(3).map_or_else(std::env::temp_dir, PathBuf::from);
            group_rate(number(1, 16) as usize, number(2, 18), dir);
        }
        _ => println!("parents, copy, table or group"),
    }
}

fn graph(nodes: u32) -> Graph {
    let mut porep_id = [0; 32];
    porep_id[0] = 8;
    Graph::new(nodes, porep_id).expect("in range")
}

fn parents_rate() {
    for log in [18, 24, 30, 31] {
        let graph = graph(1 << log);
        for backend in parents::Backend::available() {
            let empty = least(|| parents::fill(backend, &graph, 0..0, &mut []));
            let first = graph.nodes() / 3;
            let nodes = (1 << 20).min(graph.nodes() / 2);
            let mut rows = vec![0; nodes as usize * 14];
            let full = least(|| parents::fill(backend, &graph, first..first + nodes, &mut rows));
            let per_node = full.saturating_sub(empty).as_nanos() as f64 / f64::from(nodes);
            println!("2^{log} {backend}: {per_node:.1} ns/node, tables {empty:?}");
        }
        let mut sum = 0;
        let scalar = least(|| {
            for node in 0..256 {
                sum ^= graph.parents(graph.nodes() / 3 + node)[13];
            }
        });
        println!("2^{log} scalar: {:.1} ns/node ({sum})", scalar.as_nanos() as f64 / 256.0);
    }
}

/// The table of 512 MiB: made with its published digest, and opened.
fn table_rate(dir: PathBuf) {
    let root = tempfile::tempdir_in(dir).expect("a directory");
    let mut porep_id = [0; 32];
    porep_id[0] = 7;
    let graph = Graph::new(1 << 24, porep_id).expect("in range");
    for _ in 0..2 {
        let (wall, start) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
        let table = parents::prepare(root.path(), &graph, 2).expect("a table");
        let time = cpu(ClockId::ProcessCPUTime) - start;
        let per_node = time.as_nanos() as f64 / f64::from(graph.nodes());
        println!("made {}: {per_node:.1} CPU ns/node, wall {:?}", table.was_made(), wall.elapsed());
    }
}

fn copy_rate() {
    for width in [1, 2, 4, 8, 16] {
        let nodes = 16384 / width as u32;
        let mut buffer = Lockstep::new(nodes, width).expect("memory");
        buffer.words_mut().iter_mut().zip(0..).for_each(|(word, i)| *word = i);
        let stride = nodes as usize * 32 + 64;
        let mut out = vec![0; stride * width];
        let time = least(|| buffer.copy_out(0..nodes, &mut out, stride));
        println!("width {width}: {:.2} ns/label", time.as_nanos() as f64 / 16384.0);
    }
}

fn group_rate(width: usize, log: u32, dir: PathBuf) {
    let table = parents::Table::in_memory(&graph(1 << log), 2);
    let root = tempfile::tempdir_in(dir).expect("a directory");
    let sectors = (0..width)
        .map(|i| {
            let dir = root.path().join(i.to_string());
            std::fs::create_dir(&dir).expect("makes it");
            Sector { replica_id: [i as u8; 32], dir, have: 0, cancel: Default::default() }
        })
        .collect();
    let request = group::Request::new(&table, 2, sectors);
    let (wall, start) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
    group::run(&request, &mut |event| match event {
        Event::Started { layer, width, .. } => {
            println!("layer {layer} width {width} at {:?}", wall.elapsed());
        }
        Event::Ended { sector, result } => println!("{sector}: {result:?} at {:?}", wall.elapsed()),
        _ => {}
    })
    .expect("starts");
    let time = cpu(ClockId::ProcessCPUTime) - start;
    let labels = (width << log) as f64 * 2.0;
    println!(
        "{:.1} CPU ns/label, {:.1} wall ns/label",
        time.as_nanos() as f64 / labels,
        wall.elapsed().as_nanos() as f64 / labels
    );
}
