//! **Purpose**: what a data directory belongs to: which cluster, which node, in which format.
//!
//! **Invariants**
//! - A directory that a newer version wrote is refused, never read by guess.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};

/// The newest format of a node's data directory that this version writes and reads.
pub const CARD_FORMAT: u32 = 1;

const CARD_FILE: &str = "node.json";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// There is none.
    #[error(
        "`{data_dir}` is not the data directory of a node; make one with `hesper node init` or `hesper node join`"
    )]
    Missing {
        /// The directory.
        data_dir: Utf8PathBuf,
    },
    /// It could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not parse.
    #[error(
        "`{path}` is damaged: {reason}; restore it from a backup, or move the directory away and join again under a new name"
    )]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// It is of a later version.
    #[error(
        "`{data_dir}` has format {found}, written by a newer version of hesper; this one knows up to {known}: install the newer version"
    )]
    Newer {
        /// The directory.
        data_dir: Utf8PathBuf,
        /// Its format.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// It belongs elsewhere.
    #[error(
        "`{data_dir}` belongs to cluster {found}, not to {expected}; use another data directory"
    )]
    OtherCluster {
        /// The directory.
        data_dir: Utf8PathBuf,
        /// Its cluster.
        found: String,
        /// The cluster that was wanted.
        expected: String,
    },
}

/// Written once when a node founds or joins a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCard {
    /// See [`CARD_FORMAT`].
    pub format: u32,
    /// The cluster's replicated identity.
    pub cluster_id: String,
    /// This node's number; never reused in the cluster.
    pub node_id: u64,
    /// This node's name.
    pub name: String,
    /// Where other nodes and clients reach it.
    pub address: String,
    /// Whether it began the cluster, and so may initialise an empty log.
    pub founder: bool,
    /// Other nodes known when this was written; a node that joins asks them to add it.
    pub nodes: Vec<String>,
}

impl NodeCard {
    /// Reads the card of a data directory.
    ///
    /// # Errors
    /// When there is none, it is damaged, or of a newer format.
    pub fn load(data_dir: &Utf8Path) -> Result<Self, CardError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = data_dir.join(CARD_FILE);
        let text = files::read_text(&path).map_err(|error| {
            if error.is_missing() {
                CardError::Missing { data_dir: data_dir.to_owned() }
            } else {
                error.into()
            }
        })?;
        let damaged = |error: serde_json::Error| CardError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        };
        let Format { format: found } = serde_json::from_str(&text).map_err(damaged)?;
        if found > CARD_FORMAT {
            return Err(CardError::Newer {
                data_dir: data_dir.to_owned(),
                found,
                known: CARD_FORMAT,
            });
        }
        serde_json::from_str(&text).map_err(damaged)
    }

    /// Writes the card.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn store(&self, data_dir: &Utf8Path) -> Result<(), CardError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| CardError::Damaged {
            path: data_dir.join(CARD_FILE),
            reason: error.to_string(),
        })?;
        files::make_private_dir(data_dir)?;
        Ok(files::write_private(&data_dir.join(CARD_FILE), text.as_bytes())?)
    }

    /// Whether a data directory has a card at all.
    pub fn exists(data_dir: &Utf8Path) -> bool {
        data_dir.join(CARD_FILE).exists()
    }

    /// Checks that the directory belongs to `cluster_id`.
    ///
    /// # Errors
    /// When it belongs to another cluster.
    pub fn expect_cluster(&self, data_dir: &Utf8Path, cluster_id: &str) -> Result<(), CardError> {
        if self.cluster_id == cluster_id {
            return Ok(());
        }
        Err(CardError::OtherCluster {
            data_dir: data_dir.to_owned(),
            found: self.cluster_id.clone(),
            expected: cluster_id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> NodeCard {
        NodeCard {
            format: CARD_FORMAT,
            cluster_id: "c1".into(),
            node_id: 1,
            name: "n1".into(),
            address: "127.0.0.1:7100".into(),
            founder: true,
            nodes: vec![],
        }
    }

    #[test]
    fn a_card_is_read_back_and_bound_to_its_cluster() {
        let home = tempfile::tempdir().unwrap();
        let data_dir = Utf8Path::from_path(home.path()).unwrap();
        assert!(matches!(NodeCard::load(data_dir), Err(CardError::Missing { .. })));
        card().store(data_dir).unwrap();
        let read = NodeCard::load(data_dir).unwrap();
        assert_eq!(read, card());
        assert!(read.expect_cluster(data_dir, "c1").is_ok());
        assert!(matches!(read.expect_cluster(data_dir, "c2"), Err(CardError::OtherCluster { .. })));
    }

    #[test]
    fn newer_and_damaged_directories_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let data_dir = Utf8Path::from_path(home.path()).unwrap();
        let write = |text: &str| std::fs::write(data_dir.join(CARD_FILE), text).unwrap();
        write(r#"{"format": 99, "something": "unknown to us"}"#);
        assert!(matches!(NodeCard::load(data_dir), Err(CardError::Newer { found: 99, .. })));
        write(r#"{"format": 1, "cluster_id""#);
        assert!(matches!(NodeCard::load(data_dir), Err(CardError::Damaged { .. })));
    }
}
