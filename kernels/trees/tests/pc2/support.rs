//! A sector's inputs, and its trees built node by node.

use std::fs;
use std::path::{Path, PathBuf};

use hesper_poseidon::{Arity, Backend, hash_rows};
use hesper_trees::pc2::{Commitments, Outcome, Request};
use hesper_trees::{Shape, layer_name, pc2};
use tempfile::TempDir;

pub type Node = [u8; 32];

/// Inputs of PC2 in a directory of their own.
pub struct Sector {
    pub dir: TempDir,
    pub shape: Shape,
    pub layers: Vec<Vec<u8>>,
    pub data: Vec<u8>,
}

impl Sector {
    pub fn new(sector_bytes: u64, layers: usize) -> Self {
        let shape = Shape::of_sector_bytes(sector_bytes).expect("a known size");
        let nodes = usize::try_from(shape.nodes()).expect("a small sector");
        let layers: Vec<_> = (1..=layers as u64).map(|seed| elements(nodes, seed)).collect();
        let data = elements(nodes, 1000);
        let dir = tempfile::tempdir().expect("a directory");
        for (index, layer) in layers.iter().enumerate() {
            fs::write(dir.path().join(layer_name(index + 1)), layer).expect("written");
        }
        fs::write(dir.path().join("unsealed"), &data).expect("written");
        fs::create_dir(dir.path().join("cache")).expect("created");
        Self { dir, shape, layers, data }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn cache(&self, name: &str) -> PathBuf {
        self.path("cache").join(name)
    }

    pub fn request(&self, backend: Backend, threads: usize) -> Request {
        Request {
            shape: self.shape,
            layers: (1..=self.layers.len()).map(|layer| self.path(&layer_name(layer))).collect(),
            data: self.path("unsealed"),
            sealed: self.path("sealed"),
            cache_dir: self.path("cache"),
            threads,
            memory_bytes_max: 0,
            backend,
        }
    }

    pub fn run(&self, backend: Backend, threads: usize) -> Outcome {
        pc2::run(&self.request(backend, threads), &|_| true).expect("PC2 runs")
    }

    /// Names in the directory of outputs, and whether there is a sealed file of any name.
    pub fn made(&self) -> Vec<String> {
        let names = |dir: &Path| -> Vec<String> {
            let entries = fs::read_dir(dir).expect("a directory");
            entries
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect()
        };
        let mut made = names(&self.path("cache"));
        made.extend(names(self.dir.path()).into_iter().filter(|name| name.starts_with("sealed")));
        made.sort();
        made
    }
}

/// Field elements that need no reduction; every 16th is next to the field's order, so that sums
/// wrap.
fn elements(nodes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(nodes * 32);
    for node in 0..nodes {
        let mut element = [0; 32];
        for word in element.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut value = state;
            value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(value ^ (value >> 31)).to_le_bytes());
        }
        element[31] &= 0x3f;
        if node % 16 == 3 {
            element = words_to_bytes(ORDER);
            element[0] = 0;
        }
        bytes.extend(element);
    }
    bytes
}

/// What PC2 must make, by the definition of each node.
pub struct Expected {
    pub sealed: Vec<u8>,
    pub tree_c: Vec<Vec<u8>>,
    pub tree_r_last: Vec<Vec<u8>>,
    pub commitments: Commitments,
}

impl Expected {
    pub fn of(sector: &Sector) -> Self {
        let shape = sector.shape;
        let last = sector.layers.last().expect("a layer");
        let sealed: Vec<Node> =
            nodes(last).iter().zip(nodes(&sector.data)).map(|(a, b)| add(*a, b)).collect();
        let columns: Vec<Node> = (0..sealed.len())
            .map(|node| {
                let column: Vec<Node> =
                    sector.layers.iter().map(|layer| nodes(layer)[node]).collect();
                hash(&column)
            })
            .collect();
        let (tree_c, comm_c) = trees(shape, &columns, 0);
        // The lowest row in the files of tree R: its leaves are the sealed file.
        let lowest = if shape.base_nodes() == 64 { 2 } else { 3 };
        let (tree_r_last, comm_r_last) = trees(shape, &sealed, lowest);
        let comm_r = hash(&[comm_c, comm_r_last]);
        let commitments = Commitments { comm_c, comm_r_last, comm_r };
        Self { sealed: sealed.concat(), tree_c, tree_r_last, commitments }
    }
}

fn nodes(bytes: &[u8]) -> Vec<Node> {
    bytes.chunks(32).map(|node| node.try_into().expect("32 bytes")).collect()
}

fn trees(shape: Shape, leaves: &[Node], lowest: usize) -> (Vec<Vec<u8>>, Node) {
    let (mut files, mut roots) = (Vec::new(), Vec::new());
    for leaves in leaves.chunks(leaves.len() / shape.base_trees()) {
        let mut rows = vec![leaves.to_vec()];
        while rows[rows.len() - 1].len() > 1 {
            rows.push(rows[rows.len() - 1].chunks(8).map(hash).collect());
        }
        files.push(rows[lowest..].concat().concat());
        roots.push(rows[rows.len() - 1][0]);
    }
    if shape.sub_arity() > 0 {
        roots = roots.chunks(shape.sub_arity()).map(hash).collect();
    }
    if shape.top_arity() > 0 {
        roots = roots.chunks(shape.top_arity()).map(hash).collect();
    }
    assert_eq!(roots.len(), 1);
    (files, roots[0])
}

fn hash(nodes: &[Node]) -> Node {
    let arity = match nodes.len() {
        2 => Arity::Two,
        8 => Arity::Eight,
        11 => Arity::Eleven,
        other => panic!("no hash of {other} nodes"),
    };
    let mut output = [0; 32];
    hash_rows(Backend::Portable, arity, nodes.as_flattened(), &mut output);
    output
}

/// The order of the field, least significant word first.
const ORDER: [u64; 4] =
    [0xffff_ffff_0000_0001, 0x53bd_a402_fffe_5bfe, 0x3339_d808_09a1_d805, 0x73ed_a753_299d_7d48];

fn words_to_bytes(words: [u64; 4]) -> Node {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn add(a: Node, b: Node) -> Node {
    let words = |node: Node| -> [u64; 4] {
        std::array::from_fn(|index| {
            u64::from_le_bytes(node[index * 8..index * 8 + 8].try_into().expect("8 bytes"))
        })
    };
    let (a, b) = (words(a), words(b));
    let (mut sum, mut carry) = ([0; 4], false);
    for index in 0..4 {
        let (more, first) = a[index].overflowing_add(b[index]);
        let (more, second) = more.overflowing_add(u64::from(carry));
        (sum[index], carry) = (more, first || second);
    }
    assert!(!carry, "two elements are below 2^256 together");
    if sum.iter().rev().ge(ORDER.iter().rev()) {
        let mut borrow = false;
        for index in 0..4 {
            let (less, first) = sum[index].overflowing_sub(ORDER[index]);
            let (less, second) = less.overflowing_sub(u64::from(borrow));
            (sum[index], borrow) = (less, first || second);
        }
    }
    words_to_bytes(sum)
}
