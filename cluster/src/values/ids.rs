//! **Purpose**: ids and addresses as people write them: jobs, miners, sectors, proof types, hashes.

use std::fmt;

use hesper_protos::job::{Dependency, dependency::Kind};

use super::ValueError;

/// A job, or one task of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRef {
    /// The job's number.
    pub job: u64,
    /// The task's index, when one is named.
    pub task: Option<u32>,
}

/// A sector size with its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// 2 KiB: tests and demonstrations.
    S2KiB,
    /// 8 MiB: tests.
    S8MiB,
    /// 512 MiB: calibration networks.
    S512MiB,
    /// 32 GiB: production.
    S32GiB,
    /// 64 GiB: production.
    S64GiB,
}

impl Proof {
    const ALL: [(Proof, &str, u64); 5] = [
        (Proof::S2KiB, "2KiB", 2 << 10),
        (Proof::S8MiB, "8MiB", 8 << 20),
        (Proof::S512MiB, "512MiB", 512 << 20),
        (Proof::S32GiB, "32GiB", 32 << 30),
        (Proof::S64GiB, "64GiB", 64 << 30),
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        Proof::ALL.iter().find(|row| row.0 == self).map_or("2KiB", |row| row.1)
    }

    /// Bytes of a piece that fill the sector: 127 of each 128 bytes hold data, the rest is padding
    /// that keeps every field element below the curve's order.
    pub fn piece_bytes_max(self) -> u64 {
        let sector = Proof::ALL.iter().find(|row| row.0 == self).map_or(0, |row| row.2);
        sector / 128 * 127
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a sector size.
///
/// # Errors
/// When there is no proof of that size.
pub fn parse_proof(text: &str) -> Result<Proof, ValueError> {
    let wanted = super::parse_size(text).ok();
    Proof::ALL.into_iter().find(|row| wanted == Some(row.2)).map(|row| row.0).ok_or_else(|| {
        ValueError::new(text, "sector size", "it is one of 2KiB, 8MiB, 512MiB, 32GiB, 64GiB")
    })
}

/// Reads a miner's id address: `f01000`, `t01000` or `1000`.
///
/// # Errors
/// When it is another kind of address, or no number.
pub fn parse_miner(text: &str) -> Result<u64, ValueError> {
    let bad = |form: &str| ValueError::new(text, "miner address", form);
    let digits = match text.as_bytes() {
        [b'f' | b't', b'0', rest @ ..] if !rest.is_empty() => &text[2..],
        [b'f' | b't', b'1'..=b'4', ..] => {
            return Err(bad(
                "only id addresses name a miner here: write f0 or t0 and its number, such as f01000",
            ));
        }
        _ => text,
    };
    let number = plain(digits).ok_or_else(|| {
        bad("write f0 or t0 and its number, or the number alone, such as f01000 or 1000")
    })?;
    if number > i64::MAX.unsigned_abs() {
        return Err(bad("the number does not fit 63 bits"));
    }
    Ok(number)
}

/// A miner's id address as it is shown.
pub fn format_miner(miner: u64) -> String {
    format!("t0{miner}")
}

/// Reads a job's number.
///
/// # Errors
/// When it is none.
pub fn parse_job(text: &str) -> Result<u64, ValueError> {
    plain(text).filter(|job| *job > 0).ok_or_else(|| {
        ValueError::new(
            text,
            "job id",
            "it is a number from 1, as `hesper job submit` and `hesper job list` print it",
        )
    })
}

/// Reads a job's number with an optional task: `7`, `7.3` or `7_3`.
///
/// # Errors
/// When it is neither.
pub fn parse_job_ref(text: &str) -> Result<JobRef, ValueError> {
    let bad =
        || ValueError::new(text, "job or task id", "write a job's number, or job.task such as 7.3");
    let Some((job, task)) = text.split_once(['.', '_']) else {
        return Ok(JobRef { job: parse_job(text)?, task: None });
    };
    let job = parse_job(job).map_err(|_| bad())?;
    let task = plain(task).and_then(|task| u32::try_from(task).ok()).ok_or_else(bad)?;
    Ok(JobRef { job, task: Some(task) })
}

/// Reads a dependency: `7` (after success), `any:7` (after any end), `not-ok:7` (after failure),
/// with Slurm's words `afterok`, `afterany` and `afternotok` understood too.
///
/// # Errors
/// When the condition is unknown or the job's number is none.
pub fn parse_dependency(text: &str) -> Result<Dependency, ValueError> {
    let (condition, job) = text.split_once(':').unwrap_or(("ok", text));
    let kind = match condition {
        "ok" | "afterok" | "after-ok" => Kind::AfterOk,
        "any" | "afterany" | "after-any" => Kind::AfterAny,
        "not-ok" | "afternotok" | "after-not-ok" => Kind::AfterNotOk,
        _ => {
            return Err(ValueError::new(
                text,
                "dependency",
                "write a job's number, or ok:, any: or not-ok: before it",
            ));
        }
    };
    Ok(Dependency { job: parse_job(job)?, kind: kind.into() })
}

/// Reads sector numbers: `1,2,5-7`.
///
/// # Errors
/// When a part is no number, a range runs backwards, or there are more than 2,349, which is what
/// one partition of the largest sectors holds.
pub fn parse_sectors(text: &str) -> Result<Vec<u64>, ValueError> {
    const SECTORS_MAX: u64 = 2_349;
    let bad = |form: &str| ValueError::new(text, "list of sectors", form);
    let form = "write numbers or ranges separated by commas, such as 1,2,5-7";
    let mut sectors = std::collections::BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first = plain(first).ok_or_else(|| bad(form))?;
        let last = plain(last).ok_or_else(|| bad(form))?;
        if first > last {
            return Err(bad("a range runs backwards; write the smaller number first"));
        }
        if last - first >= SECTORS_MAX {
            return Err(bad("it names more than 2,349 sectors; make several proofs"));
        }
        sectors.extend(first..=last);
    }
    if u64::try_from(sectors.len()).unwrap_or(u64::MAX) > SECTORS_MAX {
        return Err(bad("it names more than 2,349 sectors; make several proofs"));
    }
    Ok(sectors.into_iter().collect())
}

/// Reads 32 bytes as 64 hexadecimal digits, with or without `0x`; returned in lower case.
///
/// # Errors
/// When it is anything else.
pub fn parse_hex32(text: &str) -> Result<String, ValueError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match super::from_hex(digits) {
        Some(bytes) if bytes.len() == 32 => Ok(super::to_hex(&bytes)),
        _ => Err(ValueError::new(text, "32-byte value", "write 64 hexadecimal digits")),
    }
}

/// Reads `NAME=COUNT` of a named resource.
///
/// # Errors
/// When the name is empty or holds odd characters, or the count is no number.
pub fn parse_named(text: &str) -> Result<(String, u64), ValueError> {
    let bad = || ValueError::new(text, "named resource", "write name=count, such as licence=2");
    let (name, count) = text.split_once('=').ok_or_else(bad)?;
    crate::identity::check_name("the resource", name).map_err(|_| bad())?;
    Ok((name.to_owned(), plain(count).ok_or_else(bad)?))
}

/// Reads `NAME=VALUE` of an environment variable.
///
/// # Errors
/// When there is no `=`, the name is empty or holds other characters than letters, digits and `_`,
/// or the value holds a zero byte.
pub fn parse_env(text: &str) -> Result<(String, String), ValueError> {
    let bad = || ValueError::new(text, "environment variable", "write NAME=value");
    let (name, value) = text.split_once('=').ok_or_else(bad)?;
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if !fits || !begins || value.contains('\0') {
        return Err(bad());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A number in digits alone; `u64::from_str` would accept a leading `+`.
fn plain(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn miners() {
        for good in ["f01000", "t01000", "1000", "f0001000"] {
            assert_eq!(parse_miner(good).unwrap(), 1000, "{good}");
        }
        assert_eq!(format_miner(1000), "t01000");
        for bad in [
            "",
            "f0",
            "t0x",
            "x01000",
            "-1",
            "+1",
            "f01000 ",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert!(parse_miner(bad).is_err(), "{bad}");
        }
        let error = parse_miner("f1abjxfbp274xpdqcpuaykwkfb43omjotacm2p3za").unwrap_err();
        assert!(error.to_string().contains("only id addresses"), "{error}");
    }

    #[test]
    fn jobs_and_tasks() {
        assert_eq!(parse_job_ref("7").unwrap(), JobRef { job: 7, task: None });
        assert_eq!(parse_job_ref("7.3").unwrap(), JobRef { job: 7, task: Some(3) });
        assert_eq!(parse_job_ref("7_0").unwrap(), JobRef { job: 7, task: Some(0) });
        for bad in
            ["", "0", "-1", "a", "7.", ".3", "7.3.1", "7.4294967296", "18446744073709551616", "+7"]
        {
            assert!(parse_job_ref(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dependencies() {
        let read = |text| parse_dependency(text).map(|d| (d.job, d.kind())).map_err(|_| ());
        assert_eq!(read("7"), Ok((7, Kind::AfterOk)));
        assert_eq!(read("any:7"), Ok((7, Kind::AfterAny)));
        assert_eq!(read("afternotok:7"), Ok((7, Kind::AfterNotOk)));
        for bad in ["", "soon:7", "any:", "any:x"] {
            assert_eq!(read(bad), Err(()), "{bad}");
        }
    }

    #[test]
    fn proofs_and_what_fits_in_them() {
        assert_eq!(parse_proof("2KiB").unwrap(), Proof::S2KiB);
        assert_eq!(parse_proof("2048").unwrap(), Proof::S2KiB);
        assert_eq!(parse_proof("32g").unwrap().as_str(), "32GiB");
        assert_eq!(Proof::S2KiB.piece_bytes_max(), 2032);
        for bad in ["", "1KiB", "3GiB", "big"] {
            assert!(parse_proof(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sector_lists() {
        assert_eq!(parse_sectors("3,1,5-7,6").unwrap(), [1, 3, 5, 6, 7]);
        for bad in ["", "1,", "a", "7-5", "0-2349", "0-18446744073709551615"] {
            assert!(parse_sectors(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_sectors("0-2348").unwrap().len(), 2_349);
    }

    #[test]
    fn hashes_variables_and_named_resources() {
        let digits = "AB".repeat(32);
        assert_eq!(parse_hex32(&digits).unwrap(), digits.to_lowercase());
        assert_eq!(parse_hex32(&format!("0x{digits}")).unwrap(), digits.to_lowercase());
        assert!(parse_hex32("ab").is_err());
        assert_eq!(parse_named("licence=2").unwrap(), ("licence".into(), 2));
        assert_eq!(parse_env("A=b=c").unwrap(), ("A".into(), "b=c".into()));
        for bad in ["", "a", "=1", "a b=1"] {
            assert!(parse_named(bad).is_err(), "{bad}");
            assert!(parse_env(bad).is_err(), "{bad}");
        }
        assert!(parse_env("1A=x").is_err());
    }
}
