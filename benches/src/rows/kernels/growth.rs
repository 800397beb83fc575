//! **Purpose**: how the rate of a row changes with the size of the sector.

use crate::row::Row;

const SIZES: [&str; 3] = ["8MiB", "16MiB", "512MiB"];
const FAMILIES: [&str; 2] = ["sdr_16", "tree_c_r"];

/// One line for each family of which at least two sizes were measured.
pub fn notes(rows: &[Row]) -> Vec<String> {
    FAMILIES.iter().filter_map(|family| note(family, rows)).collect()
}

fn note(family: &str, rows: &[Row]) -> Option<String> {
    let rate_at = |size: &&'static str| {
        let name = format!("{family}_{size}");
        rows.iter().find(|row| row.name == name).map(|row| (*size, row.ours))
    };
    let measured: Vec<(&str, f64)> = SIZES.iter().filter_map(rate_at).collect();
    let (first, others) = measured.split_first()?;
    if others.is_empty() {
        return None;
    }
    let parts: Vec<String> = others
        .iter()
        .map(|(size, rate)| format!("{size} {:.3} of the rate at {}", rate / first.1, first.0))
        .collect();
    Some(format!("growth of {family}: {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Setting;
    use crate::stats::Better;

    fn row(name: &str, ours: f64) -> Row {
        let setting = Setting { machine: "m".to_owned(), load: 0.0, commit: "c".to_owned() };
        Row::median(name, "1/s", Better::Higher, &[ours], None, &setting).expect("row")
    }

    #[test]
    fn larger_sectors_are_compared_with_the_smallest() {
        let rows =
            [row("sdr_16_512MiB", 75.0), row("sdr_16_8MiB", 100.0), row("tree_c_r_8MiB", 1.0)];
        assert_eq!(notes(&rows), ["growth of sdr_16: 512MiB 0.750 of the rate at 8MiB"]);
    }
}
