//! **Purpose**: the small texts that people write: sizes, durations, ids, arrays, hexadecimal.
//!
//! **Invariants**
//! - Everything is an integer; text that does not fit is refused with the form that would, never
//!   rounded or guessed.

mod array;
mod ids;

pub use array::{format_array, parse_array};
pub use ids::{
    JobRef, Proof, format_miner, parse_dependency, parse_env, parse_hex32, parse_job,
    parse_job_ref, parse_miner, parse_named, parse_proof, parse_sectors,
};

use std::time::Duration;

/// A text that cannot be understood, and the form that could.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {form}")]
pub struct ValueError {
    /// What was given.
    pub text: String,
    /// What it should be.
    pub what: &'static str,
    /// How to write it.
    pub form: String,
}

impl ValueError {
    pub(crate) fn new(text: &str, what: &'static str, form: impl Into<String>) -> Self {
        ValueError { text: text.to_owned(), what, form: form.into() }
    }
}

const SIZE_FORM: &str = "write a whole number with B, KiB, MiB, GiB or TiB (K, M, G and T mean the same; KB, MB, GB, TB are powers of 1000)";
const DURATION_FORM: &str = "write whole numbers with ms, s, m, h or d, such as 30s or 1h30m";

/// Bytes from `512`, `1GiB`, `4M`, `2 TB`.
///
/// # Errors
/// When the number or the unit is not one of these, or the size does not fit 64 bits.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let bad = || ValueError::new(text, "size", SIZE_FORM);
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(bad()),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| ValueError::new(text, "size", "it does not fit 64 bits"))
}

/// The largest unit with at most one decimal: `1.5 GiB`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 5] =
        [("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (name, unit) in UNITS {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            let (whole, tenth) = (tenths / 10, tenths % 10);
            return if tenth == 0 {
                format!("{whole} {name}")
            } else {
                format!("{whole}.{tenth} {name}")
            };
        }
    }
    format!("{bytes} B")
}

/// A duration from `250ms`, `30s`, `1h30m`, `2d`; a bare number is refused because its unit would
/// be a guess.
///
/// # Errors
/// When a number or unit is not one of these, or the sum does not fit.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let bad = || ValueError::new(text, "duration", DURATION_FORM);
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        total_ms =
            number.checked_mul(factor).and_then(|ms| total_ms.checked_add(ms)).ok_or_else(bad)?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total_ms))
}

/// The two largest units: `1h 5m`, `3.2s`, `40ms`.
pub fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    if ms < 1_000 {
        format!("{ms}ms")
    } else if seconds < 60 {
        match ms % 1_000 / 100 {
            0 => format!("{seconds}s"),
            tenth => format!("{seconds}.{tenth}s"),
        }
    } else if minutes < 60 {
        format!("{minutes}m {}s", seconds % 60)
    } else if hours < 48 {
        format!("{hours}h {}m", minutes % 60)
    } else {
        format!("{}d {}h", hours / 24, hours % 24)
    }
}

/// `2026-11-22 09:45:00Z`, of Unix milliseconds; `-` for 0, which stands for "not yet".
pub fn format_time(unix_ms: u64) -> String {
    if unix_ms == 0 {
        return "-".to_owned();
    }
    let seconds = unix_ms / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// The Gregorian date of a day counted from 1970-01-01: years are counted from March, so that the
/// leap day is a year's last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes of an even number of hexadecimal digits, of either case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let read = |text| parse_size(text).map_err(|_| ());
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("512"), Ok(512));
        assert_eq!(read("512B"), Ok(512));
        assert_eq!(read("2KiB"), Ok(2048));
        assert_eq!(read("2k"), Ok(2048));
        assert_eq!(read(" 1 GiB "), Ok(1 << 30));
        assert_eq!(read("3GB"), Ok(3_000_000_000));
        assert_eq!(read("16777215TiB"), Ok(16_777_215 << 40));
        for bad in ["", "GiB", "-1", "1.5GiB", "1XB", "1 2", "16777216TiB", "99999999999999999999"]
        {
            assert_eq!(read(bad), Err(()), "{bad}");
        }
        assert!(parse_size("1.5GiB").unwrap_err().to_string().contains("whole number"));
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        let shown = [0, 1023, 1024, 1536, 2048, 34_359_738_368, u64::MAX].map(format_size);
        assert_eq!(shown, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "2 KiB", "32 GiB", "16383.9 PiB"]);
    }

    #[test]
    fn durations() {
        let read = |text| parse_duration(text).map(|d| d.as_millis()).map_err(|_| ());
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("250ms"), Ok(250));
        assert_eq!(read("30s"), Ok(30_000));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("1h 30m"), Ok(5_400_000));
        assert_eq!(read("2d"), Ok(172_800_000));
        for bad in ["", "5", "s", "1.5s", "-1s", "1y", "1h30", "99999999999999999d"] {
            assert_eq!(read(bad), Err(()), "{bad}");
        }
    }

    #[test]
    fn durations_are_shown_with_two_units() {
        let shown = [0, 999, 1_000, 3_250, 61_000, 3_900_000, 200_000_000]
            .map(|ms| format_duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["0ms", "999ms", "1s", "3.2s", "1m 1s", "1h 5m", "2d 7h"]);
    }

    #[test]
    fn times_are_shown_in_utc() {
        let shown = [0, 1, 951_782_400_000, 1_709_164_800_000, 1_795_340_700_000].map(format_time);
        assert_eq!(
            shown,
            [
                "-",
                "1970-01-01 00:00:00Z",
                "2000-02-29 00:00:00Z",
                "2024-02-29 00:00:00Z",
                "2026-11-22 09:45:00Z"
            ]
        );
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(to_hex(&[0, 1, 0xab]), "0001ab");
        assert_eq!(from_hex("0001aB"), Some(vec![0, 1, 0xab]));
        assert_eq!(from_hex(""), Some(vec![]));
        for bad in ["1", "0g", "+1", "äa"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
