//! **Purpose**: what commands share in their requests: sizes, graph, layers.
//!
//! **Invariants**: sizes are the ones for which the library has a tree shape; the number of layers
//! is set before the library first reads it.
//!
//! **Source**: `filecoin-proofs` constants.

use anyhow::{Context as _, Result, bail, ensure};
use filecoin_proofs::{LAYERS, PoRepConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use storage_proofs_core::api_version::ApiVersion;

/// Calls `$function::<Tree>(..)` with the tree shape of a sector size.
macro_rules! with_shape {
    ($bytes:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $bytes {
            bytes if filecoin_proofs::is_sector_shape_base(bytes) =>
                $function::<filecoin_proofs::SectorShapeBase>($($argument),*),
            bytes if filecoin_proofs::is_sector_shape_sub2(bytes) =>
                $function::<filecoin_proofs::SectorShapeSub2>($($argument),*),
            bytes if filecoin_proofs::is_sector_shape_sub8(bytes) =>
                $function::<filecoin_proofs::SectorShapeSub8>($($argument),*),
            bytes if filecoin_proofs::is_sector_shape_top2(bytes) =>
                $function::<filecoin_proofs::SectorShapeTop2>($($argument),*),
            bytes => Err(anyhow::anyhow!("the library knows no sectors of {bytes} bytes")),
        }
    };
}
pub(crate) use with_shape;

/// Reads a request given as JSON or as `@` and the path of a file with JSON.
pub fn parse<T: DeserializeOwned>(argument: &str) -> Result<T> {
    let text = match argument.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("could not read the request in `{path}`"))?,
        None => argument.to_owned(),
    };
    serde_json::from_str(&text).context("the request could not be parsed")
}

/// 32 bytes written as hex.
#[derive(Clone, Copy)]
pub struct Bytes32(pub [u8; 32]);

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// The sector kind: size, graph, layers.
#[derive(Clone, Copy, Deserialize)]
pub struct Kind {
    /// Sector size in bytes.
    pub size: u64,
    /// The 32-byte PoRep id; the published one of the size where it is absent.
    pub porep_id: Option<Bytes32>,
    /// Layers; the library's own number where it is absent.
    pub layers: Option<usize>,
}

impl Kind {
    pub fn nodes(&self) -> u64 {
        self.size / 32
    }

    pub fn porep_id(&self) -> Result<[u8; 32]> {
        if let Some(id) = self.porep_id {
            return Ok(id.0);
        }
        let number = match self.size {
            0x800 => 5,
            0x80_0000 => 6,
            0x2000_0000 => 7,
            0x8_0000_0000 => 8,
            0x10_0000_0000 => 9,
            size => bail!("there is no registered proof for {size} bytes; give `porep_id`"),
        };
        let mut id = [0; 32];
        id[0] = number;
        Ok(id)
    }

    /// The number of layers that the library will use.
    pub fn layers_in_force(&self) -> Result<usize> {
        if let Some(layers) = self.layers {
            return Ok(layers);
        }
        LAYERS
            .read()
            .map_err(|_| anyhow::anyhow!("the table of layers is poisoned"))?
            .get(&self.size)
            .copied()
            .with_context(|| format!("the library knows no sectors of {} bytes", self.size))
    }

    /// The library's configuration; sets the number of layers for this process.
    pub fn config(&self) -> Result<PoRepConfig> {
        ensure!(
            filecoin_proofs::SUPPORTED_SECTOR_SIZES.contains(&self.size),
            "the library knows no sectors of {} bytes",
            self.size
        );
        if let Some(layers) = self.layers {
            LAYERS
                .write()
                .map_err(|_| anyhow::anyhow!("the table of layers is poisoned"))?
                .insert(self.size, layers);
        }
        Ok(PoRepConfig::new_groth16(self.size, self.porep_id()?, ApiVersion::V1_1_0))
    }
}

/// The next number of SplitMix64, for inputs that a caller can repeat.
pub fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
