//! **Purpose**: the row format of the results file and the table that a person reads.
//!
//! **Invariants**: the field names are a stable interface; a row without a peer has `peer` null; a
//! run of some rows replaces these rows in the file and keeps the others.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::machine::Setting;
use crate::stats::{self, Better};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub ours: f64,
    pub peer: Option<f64>,
    pub peer_name: Option<String>,
    pub peer_version: Option<String>,
    /// Above 1: ours is better.
    pub ratio: Option<f64>,
    pub unit: String,
    pub min: f64,
    pub max: f64,
    pub samples: usize,
    pub machine: String,
    /// One-minute load average when the row began.
    pub load: f64,
    pub commit: String,
    /// What only some rows have; absent in the file where a row has none.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Columns of the rows about kernels. Rates have the unit of their row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extra {
    /// Which part of the derived bound of this machine ours reaches: 1 is the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_share: Option<f64>,
    /// The rate of the kernel alone, without files and their hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_only: Option<f64>,
    /// The peer as its default build is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_default: Option<f64>,
    /// The rate by wall time instead of CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_wall: Option<f64>,
    /// Peak resident memory of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_mib: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_rss_mib: Option<f64>,
}

impl Extra {
    fn columns(&self) -> [Option<f64>; 7] {
        [
            self.bound_share,
            self.kernel_only,
            self.peer_default,
            self.wall,
            self.peer_wall,
            self.rss_mib,
            self.peer_rss_mib,
        ]
    }

    /// As precise as the other numbers of a row.
    pub fn rounded(mut self) -> Extra {
        for value in [
            &mut self.bound_share,
            &mut self.kernel_only,
            &mut self.peer_default,
            &mut self.wall,
            &mut self.peer_wall,
            &mut self.rss_mib,
            &mut self.peer_rss_mib,
        ] {
            *value = value.map(round);
        }
        self
    }
}

/// What a peer reached, measured in turn with ours.
pub struct Peer {
    pub name: String,
    pub version: String,
    pub samples: Vec<f64>,
}

impl Row {
    /// A row whose number is the median of `samples`.
    pub fn median(
        name: &str,
        unit: &str,
        better: Better,
        samples: &[f64],
        peer: Option<&Peer>,
        setting: &Setting,
    ) -> Result<Row> {
        let ours = stats::median(samples).with_context(|| format!("`{name}` has no samples"))?;
        Row::value(name, unit, better, ours, samples, peer, setting)
    }

    /// A row whose number was computed from `samples` in another way, such as a percentile.
    pub fn value(
        name: &str,
        unit: &str,
        better: Better,
        ours: f64,
        samples: &[f64],
        peer: Option<&Peer>,
        setting: &Setting,
    ) -> Result<Row> {
        let (Some(min), Some(max)) = (stats::min(samples), stats::max(samples)) else {
            bail!("`{name}` has no samples");
        };
        let theirs = match peer {
            Some(peer) => Some(
                stats::median(&peer.samples)
                    .with_context(|| format!("`{name}`: the peer {} has no samples", peer.name))?,
            ),
            None => None,
        };
        Ok(Row {
            name: name.to_owned(),
            ours: round(ours),
            peer: theirs.map(round),
            peer_name: peer.map(|peer| peer.name.clone()),
            peer_version: peer.map(|peer| peer.version.clone()),
            ratio: theirs.and_then(|theirs| better.ratio(ours, theirs)).map(round),
            unit: unit.to_owned(),
            min: round(min),
            max: round(max),
            samples: samples.len(),
            machine: setting.machine.clone(),
            load: setting.load,
            commit: setting.commit.clone(),
            extra: Extra::default(),
        })
    }
}

/// Four significant digits: more would claim a precision that no run has.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return value.round();
    }
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Puts the new rows into the file; rows of other names stay. The file is replaced by rename.
pub fn write(path: &Path, new: &[Row]) -> Result<()> {
    let mut rows = match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str::<Vec<Row>>(&text).with_context(|| {
            format!("`{}` is not a list of rows; remove it and run again", path.display())
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read `{}`", path.display()));
        }
    };
    for row in new {
        match rows.iter_mut().find(|old| old.name == row.name) {
            Some(old) => *old = row.clone(),
            None => rows.push(row.clone()),
        }
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("could not make `{}`", parent.display()))?;
    }
    let draft = path.with_extension("json.tmp");
    let text = serde_json::to_string_pretty(&rows)? + "\n";
    fs::write(&draft, text).with_context(|| format!("could not write `{}`", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("could not rename to `{}`", path.display()))
}

/// The table that is printed, one line a row; rows with more columns have them in a second one.
pub fn table(rows: &[Row]) -> String {
    let text = main_table(rows);
    let more: Vec<&Row> = rows.iter().filter(|row| row.extra != Extra::default()).collect();
    if more.is_empty() {
        return text;
    }
    let header = [
        "row",
        "unit",
        "bound share",
        "kernel only",
        "peer default build",
        "wall",
        "peer wall",
        "MiB",
        "peer MiB",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for row in more {
        let mut cells = vec![row.name.clone(), row.unit.clone()];
        cells.extend(row.extra.columns().map(number));
        lines.push(cells);
    }
    format!("{text}\n{}", align(&lines, &[2, 3, 4, 5, 6, 7, 8]))
}

fn main_table(rows: &[Row]) -> String {
    let header = ["row", "ours", "peer", "ratio", "unit", "min", "max", "n", "load", "against"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for row in rows {
        let against = match (&row.peer_name, &row.peer_version) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            _ => "-".to_owned(),
        };
        lines.push(vec![
            row.name.clone(),
            number(Some(row.ours)),
            number(row.peer),
            row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}x")),
            row.unit.clone(),
            number(Some(row.min)),
            number(Some(row.max)),
            row.samples.to_string(),
            format!("{:.1}", row.load),
            against,
        ]);
    }
    align(&lines, &[1, 2, 3, 5, 6, 7, 8])
}

/// Lines of equally many cells, with the columns of `right` flush right.
fn align(lines: &[Vec<String>], right: &[usize]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match right.contains(&column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting { machine: "test".to_owned(), load: 0.5, commit: "abc".to_owned() }
    }

    fn peer(samples: &[f64]) -> Peer {
        Peer { name: "etcd".to_owned(), version: "3.4.23".to_owned(), samples: samples.to_vec() }
    }

    #[test]
    fn a_row_has_exactly_the_documented_fields() {
        let row = Row::median(
            "r",
            "1/s",
            Better::Higher,
            &[1.0, 3.0, 2.0],
            Some(&peer(&[1.0])),
            &setting(),
        );
        let json = serde_json::to_value(row.expect("row")).expect("json");
        let mut names: Vec<&String> = json.as_object().expect("object").keys().collect();
        names.sort();
        assert_eq!(
            names,
            [
                "commit",
                "load",
                "machine",
                "max",
                "min",
                "name",
                "ours",
                "peer",
                "peer_name",
                "peer_version",
                "ratio",
                "samples",
                "unit"
            ]
        );
        assert_eq!((json["ours"].as_f64(), json["ratio"].as_f64()), (Some(2.0), Some(2.0)));
        assert_eq!((json["min"].as_f64(), json["max"].as_f64()), (Some(1.0), Some(3.0)));
        assert_eq!(json["samples"], 3);
    }

    #[test]
    fn a_row_without_a_peer_says_null() {
        let row = Row::median("r", "ms", Better::Lower, &[4.0], None, &setting()).expect("row");
        let json = serde_json::to_value(row).expect("json");
        assert!(json["peer"].is_null() && json["ratio"].is_null() && json["peer_name"].is_null());
    }

    #[test]
    fn lower_is_better_for_times() {
        let row = Row::median("r", "ms", Better::Lower, &[4.0], Some(&peer(&[8.0])), &setting())
            .expect("row");
        assert_eq!(row.ratio, Some(2.0));
    }

    #[test]
    fn no_samples_is_an_error() {
        assert!(Row::median("r", "ms", Better::Lower, &[], None, &setting()).is_err());
        assert!(
            Row::median("r", "ms", Better::Lower, &[1.0], Some(&peer(&[])), &setting()).is_err()
        );
    }

    #[test]
    fn rounds_to_four_digits() {
        assert_eq!(round(1234.56), 1235.0);
        assert_eq!(round(0.012_345_6), 0.012_35);
        assert_eq!(round(99_999.4), 99_999.0);
        assert_eq!(round(0.0), 0.0);
    }

    #[test]
    fn a_second_write_replaces_rows_of_the_same_name_only() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("results/latest.json");
        let row = |name: &str, ours: f64| {
            Row::median(name, "ms", Better::Lower, &[ours], None, &setting()).expect("row")
        };
        write(&path, &[row("a", 1.0), row("b", 2.0)]).expect("first");
        write(&path, &[row("b", 3.0)]).expect("second");
        let rows: Vec<Row> =
            serde_json::from_str(&fs::read_to_string(&path).expect("read")).expect("rows");
        assert_eq!(rows, [row("a", 1.0), row("b", 3.0)]);
    }

    #[test]
    fn a_file_that_is_no_list_of_rows_is_left_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("latest.json");
        fs::write(&path, "{}").expect("write");
        assert!(write(&path, &[]).is_err());
        assert_eq!(fs::read_to_string(&path).expect("read"), "{}");
    }

    #[test]
    fn the_table_is_aligned() {
        let rows = [
            Row::median(
                "raft_commits_1",
                "1/s",
                Better::Higher,
                &[1200.0],
                Some(&peer(&[800.0])),
                &setting(),
            )
            .expect("row"),
            Row::median("node_rss_mib", "MiB", Better::Lower, &[120.0], None, &setting())
                .expect("row"),
        ];
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("1.50x") && lines[1].ends_with("etcd 3.4.23"));
        assert_eq!(lines[1].find("1/s"), lines[2].find("MiB"));
    }
}
