//! **Purpose**: attempts that share a process: PC1 of several sectors in lockstep.
//!
//! **Invariants**
//! - Each attempt keeps its own directory, order, report and inputs; only process and output are shared.
//! - An attempt that ends before its process is reported with what the process had used until then,
//!   shared out evenly.
//!
//! **Source**: the contract of `hesper-proofs` (several orders of one process).

use std::fs;

use hesper_protos::executor::exit::Kind;

use super::{Place, Tag};
use crate::protocol::{AttemptSpec, Ended};
use crate::supervisor::slot::now_ms;

/// Linux gives the times in `/proc` in hundredths of a second on every machine.
const TICK_US: u64 = 10_000;

/// Makes prepared attempts one process; the first is its leader.
pub(crate) fn join(specs: &mut [AttemptSpec]) {
    let Some((leader, Some(output))) =
        specs.first().map(|spec| (spec.token, super::dir_of(&spec.tag)))
    else {
        return;
    };
    let attempts = u64::try_from(specs.len()).unwrap_or(u64::MAX);
    for (index, spec) in (0..).zip(specs) {
        // The tags were written by `prepare` in this process.
        let Ok(mut tag) = serde_json::from_str::<Tag>(&spec.tag) else { continue };
        tag.group = Some(Place { leader, index, attempts, output: output.clone() });
        if let Ok(text) = serde_json::to_string(&tag) {
            spec.tag = text;
        }
    }
}

/// What the agent knows of an attempt that shares a process.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) place: Place,
    tag: String,
    /// 0 until it runs.
    pub(crate) pid: u32,
    pub(crate) started_at_ms: u64,
}

impl Member {
    /// From a tag; none when the attempt has a process of its own.
    pub(crate) fn of_tag(tag: &str) -> Option<Member> {
        let place = serde_json::from_str::<Tag>(tag).ok()?.group?;
        Some(Member { place, tag: tag.to_owned(), pid: 0, started_at_ms: 0 })
    }

    /// The end of an attempt that has left its report while its process goes on for others.
    pub(crate) fn ended(&self, token: u64) -> Ended {
        let (user_us, system_us) = times(self.pid).unwrap_or_default();
        let bytes =
            |name: &str| fs::metadata(self.place.output.join(name)).map_or(0, |found| found.len());
        Ended {
            token,
            started_at_ms: self.started_at_ms,
            ended_at_ms: now_ms(),
            // Its report says the rest.
            kind: Kind::Exited as i32,
            user_us: self.place.share(user_us),
            system_us: self.place.share(system_us),
            rss_max_bytes: rss_max_bytes(self.pid).unwrap_or_default(),
            stdout_bytes: bytes("stdout"),
            stderr_bytes: bytes("stderr"),
            tag: self.tag.clone(),
            ..Ended::default()
        }
    }
}

/// User and system time of a live process. The pid cannot have been reused: its parent, the
/// supervisor, has not said that it is dead.
fn times(pid: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold spaces and parentheses: fields are counted from the last one.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok().map(|ticks| ticks * TICK_US);
    Some((next()?, next()?))
}

fn rss_max_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_this_process_can_be_read() {
        let pid = std::process::id();
        assert!(times(pid).is_some());
        assert!(rss_max_bytes(pid).unwrap() > 1 << 20);
        assert_eq!(times(0), None);
    }

    fn spec(token: u64, dir: &camino::Utf8Path) -> AttemptSpec {
        AttemptSpec {
            token,
            program: String::new(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            output: None,
            time_limit_ms: 0,
            tag: format!("{{\"dir\":\"{dir}\",\"bytes_fetched\":3}}"),
        }
    }

    #[test]
    fn joined_attempts_know_their_place() {
        let mut specs = [spec(7, "/d/7".into()), spec(9, "/d/9".into())];
        assert!(Member::of_tag(&specs[1].tag).is_none());
        join(&mut specs);
        let member = Member::of_tag(&specs[1].tag).unwrap();
        assert_eq!((member.place.leader, member.place.index), (7, 1));
        assert_eq!(member.place.output, "/d/7");
        assert_eq!(super::super::dir_of(&specs[1].tag).unwrap(), "/d/9");
    }

    #[test]
    fn attempts_that_end_one_after_the_other_are_charged_no_more_than_the_process_used() {
        let dir = tempfile::tempdir().unwrap();
        let dir = camino::Utf8Path::from_path(dir.path()).unwrap();
        fs::write(dir.join("stdout"), "12345").unwrap();
        let mut specs: Vec<AttemptSpec> = (1..=4).map(|token| spec(token, dir)).collect();
        join(&mut specs);
        let shares = specs.iter().map(|spec| {
            let member = Member::of_tag(&spec.tag).unwrap();
            assert_eq!(member.ended(spec.token).stdout_bytes, 5, "what all of them printed");
            // Each asks when fewer of the others are left.
            member.place.share(1_000)
        });
        assert_eq!(shares.sum::<u64>(), 1_000);
    }
}
