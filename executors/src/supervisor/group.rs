//! **Purpose**: the attempts of one process: usually one, several where sectors label in lockstep.
//!
//! **Invariants**
//! - The process is that of the first attempt; the others add their last argument to its own.
//! - An attempt leaves when it was cancelled while queued, or has ended on its own and its agent has
//!   confirmed that; the arguments of the process name it all the same.
//! - The process is ended for a cancel only when every attempt that is left is cancelled.
//!
//! **Source**: the contract of `hesper-proofs` (several orders of one process).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;

use camino::Utf8Path;
use hesper_protos::executor::exit::Kind;

use crate::protocol::{AttemptSpec, Ended, LeaseSpec};

/// Asks a process to drop the sector in whose directory it appears.
pub(crate) const CANCEL: &str = "cancel";

#[derive(Default)]
pub(crate) struct Group {
    members: Vec<Member>,
}

struct Member {
    spec: AttemptSpec,
    is_cancelled: bool,
    has_left: bool,
}

impl Group {
    /// The processes of a lease.
    pub(super) fn all_of(lease: &mut LeaseSpec) -> impl Iterator<Item = Group> + use<> {
        let member = |spec| Member { spec, is_cancelled: false, has_left: false };
        let members: Vec<Member> =
            std::mem::take(&mut lease.attempts).into_iter().map(member).collect();
        let groups: Vec<Group> = if lease.lockstep == Some(true) {
            vec![Group { members }]
        } else {
            members.into_iter().map(|member| Group { members: vec![member] }).collect()
        };
        groups.into_iter()
    }

    pub(super) fn first(&self) -> Option<&AttemptSpec> {
        self.members.first().map(|member| &member.spec)
    }

    /// Attempts that have not left.
    pub(super) fn live(&self) -> impl Iterator<Item = &AttemptSpec> {
        self.members.iter().filter(|member| !member.has_left).map(|member| &member.spec)
    }

    fn others(&self) -> impl Iterator<Item = &AttemptSpec> {
        self.members.iter().skip(1).map(|member| &member.spec)
    }

    pub(super) fn other_args(&self) -> impl Iterator<Item = &String> {
        self.others().filter_map(|spec| spec.args.last())
    }

    /// An attempt alone has its process to itself and cannot leave before it.
    pub(super) fn leave(&mut self, token: u64) {
        if self.members.len() < 2 {
            return;
        }
        for member in self.members.iter_mut().filter(|member| member.spec.token == token) {
            member.has_left = true;
        }
    }

    /// Cancels one attempt; whether nothing is left that should go on. Otherwise the process finds
    /// a file beside the order of the attempt.
    pub(super) fn cancel(&mut self, token: u64) -> bool {
        for member in self.members.iter_mut().filter(|member| member.spec.token == token) {
            member.is_cancelled = true;
        }
        let is_last = self.members.iter().all(|member| member.is_cancelled || member.has_left);
        if !is_last {
            let dir = self
                .members
                .iter()
                .find(|member| member.spec.token == token)
                .and_then(|member| member.spec.directory.as_ref());
            if let Some(dir) = dir
                && let Err(error) = File::create(Utf8Path::new(dir).join(CANCEL))
            {
                eprintln!(
                    "attempt {token} could not be cancelled alone: {error} in `{dir}`; it ends with its process"
                );
            }
        }
        is_last
    }

    /// Gives every attempt the output of the process under the usual names. On another file system
    /// that is a symbolic link, which ends with the directory of the first attempt.
    pub(super) fn share_output(&self) {
        let Some(from) = self.first().and_then(|spec| spec.output.as_ref()) else { return };
        for spec in self.others() {
            for name in ["stdout", "stderr"] {
                let Some(to) = &spec.output else { continue };
                let (of_process, own) =
                    (Utf8Path::new(from).join(name), Utf8Path::new(to).join(name));
                let linked = match fs::hard_link(&of_process, &own) {
                    Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                        symlink(&of_process, &own)
                    }
                    linked => linked,
                };
                if let Err(error) = linked {
                    eprintln!("the {name} of attempt {} stays in `{from}`: {error}", spec.token);
                }
            }
        }
    }

    /// The end of each attempt that has not left, from that of the process. What the process used is
    /// shared out evenly.
    pub(super) fn ends(mut self, process: &Ended) -> Vec<Ended> {
        let count = u64::try_from(self.members.len()).unwrap_or(1).max(1);
        let end = |member: &mut Member| {
            let mut ended = Ended {
                token: member.spec.token,
                tag: std::mem::take(&mut member.spec.tag),
                user_us: process.user_us / count,
                system_us: process.system_us / count,
                ..process.clone()
            };
            let has_own_end = [Kind::Exited, Kind::Signaled].map(|kind| kind as i32);
            if member.is_cancelled && has_own_end.contains(&process.kind) {
                ended.kind = Kind::Cancelled as i32;
            }
            ended
        };
        self.members.iter_mut().filter(|member| !member.has_left).map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(dir: &Utf8Path, lockstep: Option<bool>) -> LeaseSpec {
        let attempts = (1..=3).map(|token| {
            let own = dir.join(token.to_string()).into_string();
            fs::create_dir_all(&own).unwrap();
            AttemptSpec {
                token,
                program: "p".to_owned(),
                args: vec!["kernel".to_owned(), format!("{token}/order.json")],
                env: Vec::new(),
                directory: Some(own.clone()),
                output: Some(own),
                time_limit_ms: 0,
                tag: format!("tag {token}"),
            }
        });
        LeaseSpec {
            lease: 1,
            dir: dir.to_string(),
            env: Vec::new(),
            memory_bytes: 0,
            attempts: attempts.collect(),
            lockstep,
        }
    }

    fn tokens(group: &Group) -> Vec<u64> {
        group.live().map(|spec| spec.token).collect()
    }

    #[test]
    fn only_a_lockstep_lease_is_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        for lockstep in [None, Some(false)] {
            let groups: Vec<_> = Group::all_of(&mut lease(dir, lockstep)).collect();
            assert_eq!(groups.iter().map(tokens).collect::<Vec<_>>(), [[1], [2], [3]]);
            assert!(groups.iter().all(|group| group.other_args().next().is_none()));
        }
        let groups: Vec<_> = Group::all_of(&mut lease(dir, Some(true))).collect();
        assert_eq!(groups.iter().map(tokens).collect::<Vec<_>>(), [[1, 2, 3]]);
        let others: Vec<_> = groups[0].other_args().collect();
        assert_eq!(others, ["2/order.json", "3/order.json"]);
    }

    #[test]
    fn the_last_cancel_ends_the_process_and_the_others_leave_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut group = Group::all_of(&mut lease(dir, Some(true))).next().unwrap();
        assert!(!group.cancel(2));
        assert!(dir.join("2").join(CANCEL).exists());
        group.leave(1);
        assert_eq!(tokens(&group), [2, 3]);
        assert!(group.cancel(3), "one has left, one is cancelled");
        assert!(!dir.join("3").join(CANCEL).exists() && !dir.join("1").join(CANCEL).exists());

        let process = Ended { kind: Kind::Signaled as i32, user_us: 300, ..Ended::default() };
        let ends = group.ends(&process);
        let shown: Vec<_> =
            ends.iter().map(|end| (end.token, end.kind, end.user_us, end.tag.as_str())).collect();
        let cancelled = Kind::Cancelled as i32;
        assert_eq!(shown, [(2, cancelled, 100, "tag 2"), (3, cancelled, 100, "tag 3")]);
    }

    #[test]
    fn every_attempt_finds_the_output_of_the_process_on_whatever_file_system() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut lease = lease(dir, Some(true));
        // Usually another file system; where it is none the second is as the third.
        let other = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        lease.attempts[1].output = other.path().to_str().map(str::to_owned);
        for name in ["stdout", "stderr"] {
            fs::write(dir.join("1").join(name), name).unwrap();
        }
        let group = Group::all_of(&mut lease).next().unwrap();
        group.share_output();
        for own in [other.path(), dir.join("3").as_std_path()] {
            for name in ["stdout", "stderr"] {
                assert_eq!(fs::read_to_string(own.join(name)).unwrap(), name);
            }
        }
        let file = |path: &std::path::Path| fs::symlink_metadata(path.join("stdout")).unwrap();
        assert_eq!(
            file(dir.join("3").as_std_path()).ino(),
            file(dir.join("1").as_std_path()).ino()
        );
    }

    #[test]
    fn an_attempt_alone_stays_with_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut group = Group::all_of(&mut lease(dir, None)).next().unwrap();
        group.leave(1);
        assert_eq!(tokens(&group), [1]);
        assert!(group.cancel(1));
        let timed_out = Ended { kind: Kind::TimedOut as i32, ..Ended::default() };
        assert_eq!(
            group.ends(&timed_out)[0].kind,
            Kind::TimedOut as i32,
            "the first reason stands"
        );
    }
}
