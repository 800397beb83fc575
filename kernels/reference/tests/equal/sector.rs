//! **Purpose**: sectors that the library sealed, to be compared with and worked on.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::library::{Library, bytes32};

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;

/// One size of every tree shape.
pub const SMALL: [u64; 4] = [2 * KIB, 4 * KIB, 16 * KIB, 32 * KIB];

/// The kind of a sector: size and layers.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub size: u64,
    pub layers: u32,
}

/// Every kind that is compared whole.
pub const KINDS: [Kind; 6] = [
    Kind { size: 2 * KIB, layers: 2 },
    Kind { size: 4 * KIB, layers: 2 },
    Kind { size: 16 * KIB, layers: 2 },
    Kind { size: 32 * KIB, layers: 2 },
    Kind { size: 16 * KIB, layers: 11 },
    Kind { size: 32 * KIB, layers: 11 },
];

impl Kind {
    /// 5 to 9 are the registered numbers; sizes without one take that of 2 KiB.
    pub fn porep_id(self) -> [u8; 32] {
        let mut id = [0; 32];
        id[0] = if self.size == 8 * MIB { 6 } else { 5 };
        id
    }

    /// The fields that requests share.
    pub fn request(self) -> Value {
        json!({
            "size": self.size,
            "layers": self.layers,
            "porep_id": hex::encode(self.porep_id()),
        })
    }

    pub fn nodes(self) -> u32 {
        u32::try_from(self.size / 32).expect("few nodes")
    }
}

/// `base` with the fields of `more`.
pub fn with(mut base: Value, more: Value) -> Value {
    let fields = base.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        fields.insert(name.clone(), value.clone());
    }
    base
}

/// Bytes from a seed.
pub fn drawn(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 32);
    let mut counter = 0_u64;
    while bytes.len() < len {
        let block = blake3::hash(&[seed.to_le_bytes(), counter.to_le_bytes()].concat());
        bytes.extend_from_slice(block.as_bytes());
        counter += 1;
    }
    bytes.truncate(len);
    bytes
}

/// Field elements from a seed: the top two bits of each 32 bytes are clear. The first nodes are edge
/// values: 0, 1, p - 1.
pub fn drawn_elements(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = drawn(seed, len);
    for element in bytes.chunks_exact_mut(32) {
        element[31] &= 0x3f;
    }
    let modulus_less_one =
        hex::decode("00000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73")
            .expect("a constant");
    bytes[..32].fill(0);
    bytes[32..64].fill(0);
    bytes[32] = 1;
    if len >= 96 {
        // The edge of the field has its top bits set, as unsealed data never has; sealed has.
        bytes[64..96].copy_from_slice(&modulus_less_one);
        bytes[95] &= 0x3f;
    }
    bytes
}

/// A sector that the library sealed.
pub struct Sector {
    pub kind: Kind,
    pub number: u64,
    pub ticket: [u8; 32],
    pub prover_id: [u8; 32],
    pub comm_d: [u8; 32],
    pub replica_id: [u8; 32],
    /// What `pc2` printed; `Null` when it was not asked for.
    pub sealed_line: Value,
    /// The unsealed sector.
    pub data: PathBuf,
    /// Layers and trees of the library.
    pub cache: PathBuf,
    /// The sealed sector of the library.
    pub sealed: PathBuf,
}

/// A directory with a library in it.
pub struct Workshop {
    pub root: TempDir,
    pub library: Library,
}

impl Workshop {
    pub fn new() -> Self {
        let root = TempDir::new().expect("a temporary directory");
        let library = Library::new(root.path());
        Self { root, library }
    }

    /// An existing new directory.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Labels of a sector, and its tree D.
    pub fn label(&self, kind: Kind, number: u64) -> Sector {
        let dir = self.dir(&format!("library-{number}-{}-{}", kind.size, kind.layers));
        let cache = dir.join("cache");
        fs::create_dir_all(&cache).expect("a cache directory");
        let data = dir.join("data");
        let len = usize::try_from(kind.size).expect("a small sector");
        fs::write(&data, drawn_elements(number, len)).expect("writing the data");

        let request = with(kind.request(), json!({ "data": data, "out": cache }));
        let comm_d = bytes32(&self.library.call("tree-d", &request), "comm_d");
        let mut sector = Sector {
            kind,
            number,
            ticket: [0x17; 32],
            prover_id: prover_id(),
            comm_d,
            replica_id: [0; 32],
            sealed_line: Value::Null,
            sealed: dir.join("sealed"),
            data,
            cache,
        };
        sector.replica_id = hesper_sdr::replica_id(
            &sector.prover_id,
            number,
            &sector.ticket,
            &comm_d,
            &kind.porep_id(),
        );
        let request = with(
            kind.request(),
            json!({ "replica_id": hex::encode(sector.replica_id), "out": sector.cache }),
        );
        self.library.call("sdr", &request);
        sector
    }

    /// A sector after PC2.
    pub fn seal(&self, kind: Kind, number: u64) -> Sector {
        let mut sector = self.label(kind, number);
        sector.sealed_line = self.library.call(
            "pc2",
            &with(
                kind.request(),
                json!({ "data": sector.data, "cache": sector.cache, "replica": sector.sealed }),
            ),
        );
        sector
    }
}

/// A field element that no shortcut guesses.
pub fn prover_id() -> [u8; 32] {
    let mut id = [0x2a; 32];
    id[31] = 0x0d;
    id
}

impl Sector {
    pub fn layer(&self, layer: u32) -> PathBuf {
        self.cache.join(format!("sc-02-data-layer-{layer}.dat"))
    }

    pub fn comm_r(&self) -> [u8; 32] {
        bytes32(&self.sealed_line, "comm_r")
    }
}
