//! **Purpose**: bit fields between RLE+ bytes and the run lengths that Lotus prints.
//!
//! **Source**: the Filecoin specification, appendix "RLE+ bitset encoding"; go-bitfield's JSON.

use fvm_ipld_bitfield::BitField;
use serde_json::Value;

/// Runs in one bit field; an honest one has at most a few per sector.
const RUNS_MAX: usize = 1 << 20;

/// `[2, 3]` for the bits 2, 3 and 4; `[0]` for none.
pub fn to_json(bytes: &[u8]) -> Result<Value, String> {
    let field = BitField::from_bytes(bytes).map_err(|error| error.to_string())?;
    let mut runs = Vec::new();
    let mut at = 0;
    for range in field.ranges() {
        runs.push(range.start - at);
        runs.push(range.end - range.start);
        at = range.end;
    }
    if runs.is_empty() {
        runs.push(0);
    }
    Ok(runs.into())
}

/// Reads [`to_json`].
pub fn from_json(json: &Value) -> Result<Vec<u8>, String> {
    let runs = json.as_array().ok_or("it must be an array of run lengths")?;
    if runs.len() > RUNS_MAX {
        return Err(format!("{} runs are too many, at most {RUNS_MAX}", runs.len()));
    }
    let mut ranges = Vec::new();
    let mut at = 0u64;
    for (index, run) in runs.iter().enumerate() {
        let length = run.as_u64().ok_or_else(|| format!("run {index} is no number"))?;
        let end = at.checked_add(length).ok_or("the runs are longer than 2^64 bits")?;
        if length == 0 && index > 0 {
            return Err(format!("run {index} is empty; only the first may be"));
        }
        if index % 2 == 1 {
            ranges.push(at..end);
        }
        at = end;
    }
    let field = BitField::from_ranges(fvm_ipld_bitfield::iter::Ranges::new(ranges));
    Ok(field.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn runs_and_bytes_are_the_same_field() {
        for runs in [json!([0]), json!([0, 1]), json!([2, 3]), json!([1, 5, 10, 1])] {
            assert_eq!(to_json(&from_json(&runs).unwrap()).unwrap(), runs);
        }
    }

    #[test]
    fn an_empty_run_inside_is_refused() {
        assert!(from_json(&json!([1, 0, 2])).unwrap_err().contains("run 1"));
        assert!(from_json(&json!([1, u64::MAX])).unwrap_err().contains("2^64"));
    }
}
