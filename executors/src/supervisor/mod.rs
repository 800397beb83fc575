//! **Purpose**: the supervisor: a small process that outlives the agent, starts attempts, waits for
//! them and keeps how they ended until the agent has that on disc.
//!
//! **Invariants**
//! - One supervisor per data directory, by lock. It is the parent of every attempt's process, so
//!   exit status, signal and usage come from the kernel and are never guessed.
//! - An end is in the journal before the agent hears of it, and held until confirmed.
//! - A token is never run twice by one supervisor.
//! - One thread, no polling: it sleeps until a child ends, the agent speaks or a limit is over.
//! - With no agent and nothing to hold it ends itself.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::executor::exit::Kind;
use rustix::event::{Timespec, epoll};

use crate::protocol::{AttemptSpec, Ended, LeaseSpec, Live, Notice, Request, State};
use crate::recent::Recent;

mod connection;
pub(crate) mod control;
pub(crate) mod group;
mod journal;
mod orphans;
pub(crate) mod slot;

use connection::{Connection, Heard};
use journal::{Journal, Left};
use slot::{Next, Slot, now_ms};

const NO_CGROUP: &str =
    "no delegated cgroup: memory limits are used for admission and are not enforced";
const LISTENER: u64 = u64::MAX;
const AGENT: u64 = u64::MAX - 1;
/// Under load notices gather this long; when it is quiet they leave at once.
const GATHER: Duration = Duration::from_millis(4);
/// How long a supervisor without agent and work waits for one to come back.
const IDLE: Duration = Duration::from_secs(30);

/// Runs the supervisor of `dir` until it is told to stop or nothing is left to do.
#[must_use]
pub fn run(dir: &Utf8Path) -> ExitCode {
    match serve(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supervisor of `{dir}` stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the supervisor of `dir` and everything that it runs; `false` when there was none.
///
/// # Errors
/// When the supervisor is there but cannot be told.
pub fn stop(dir: &Utf8Path) -> io::Result<bool> {
    use std::io::{Read, Write};
    let mut stream = match control::connect(dir) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(false),
                _ => Err(error),
            };
        }
    };
    let mut request = Vec::new();
    crate::frame::append_value(&mut request, &Request::Stop);
    stream.write_all(&request)?;
    // The supervisor closes the socket when it is done; what it says before is of no interest here.
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(true),
    }
}

fn serve(dir: &Utf8Path) -> io::Result<()> {
    // Fails where this process already leads a group, which serves the same end.
    let _ = rustix::process::setsid();
    std::fs::create_dir_all(dir)?;
    let dir = dir.canonicalize_utf8()?;
    let Ok(_lock) = control::lock(&dir, control::SUPERVISOR_LOCK)? else {
        return Ok(()); // another one serves already, which is all that was wanted
    };
    std::env::set_current_dir("/")?;
    let mut supervisor = Supervisor::recover(&dir)?;
    let listener = control::bind(&dir)?;
    listener.set_nonblocking(true)?;
    control::write(&dir, &supervisor.boot_id)?;
    supervisor.serve(&listener)
}

struct Supervisor {
    boot_id: String,
    notes: Vec<String>,
    epoll: std::os::fd::OwnedFd,
    journal: Journal,
    slots: BTreeMap<u64, Slot>,
    /// Key of a watched process -> its lease. A key is used once: an event that comes late belongs to
    /// no later attempt of the same slot.
    watched: BTreeMap<u64, u64>,
    next_key: u64,
    /// Ended and not confirmed.
    ended: BTreeMap<u64, Ended>,
    recent: Recent,
    agent: Option<Connection>,
    stopping: bool,
    journal_failed: bool,
}

impl Supervisor {
    /// Takes over a directory: ends what an earlier supervisor left and says that it is lost.
    fn recover(dir: &Utf8PathBuf) -> io::Result<Supervisor> {
        let boot_id = control::random_id();
        let machine = control::machine_boot_id();
        let (mut journal, mut left) = Journal::open(dir)?;
        let mut notes = vec![NO_CGROUP.to_owned()];
        if let Some((earlier, machine_then)) = &left.boot
            && *machine_then == machine
        {
            let killed = orphans::kill(earlier)?;
            if killed > 0 {
                notes.push(format!(
                    "an earlier supervisor ended early; {killed} of its processes were ended"
                ));
            }
        }
        for (_, live) in std::mem::take(&mut left.live) {
            let message = if live.started_at_ms == 0 {
                "the supervisor ended before this attempt was started"
            } else {
                "the supervisor or the machine ended while this attempt ran; its exit status is not known"
            };
            let ended = Ended {
                token: live.token,
                lease: live.lease,
                started_at_ms: live.started_at_ms,
                ended_at_ms: now_ms(),
                kind: Kind::Lost as i32,
                message: message.to_owned(),
                tag: live.tag,
                ..Ended::default()
            };
            left.ended.insert(live.token, ended);
        }
        let ended = left.ended.clone();
        left.boot = Some((boot_id.clone(), machine));
        journal.rewrite(left)?;
        let mut recent = Recent::default();
        for token in ended.keys() {
            recent.insert(*token);
        }
        Ok(Supervisor {
            boot_id,
            notes,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            journal,
            slots: BTreeMap::new(),
            watched: BTreeMap::new(),
            next_key: 0,
            ended,
            recent,
            agent: None,
            stopping: false,
            journal_failed: false,
        })
    }

    fn serve(&mut self, listener: &UnixListener) -> io::Result<()> {
        epoll::add(
            &self.epoll,
            listener,
            epoll::EventData::new_u64(LISTENER),
            epoll::EventFlags::IN,
        )?;
        let mut idle_since = Some(Instant::now());
        loop {
            let is_idle = self.agent.is_none() && self.slots.is_empty() && self.ended.is_empty();
            idle_since = if is_idle { idle_since.or_else(|| Some(Instant::now())) } else { None };
            let idle_until = idle_since.map(|since| since + IDLE);
            if self.stopping && self.slots.is_empty() {
                return Ok(());
            }
            if idle_until.is_some_and(|until| until <= Instant::now()) {
                return Ok(());
            }
            let mut events = Vec::with_capacity(64);
            let timeout = self.next_wake().into_iter().chain(idle_until).min().map(timespec_until);
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => {
                        if let Err(error) = self.accept(listener) {
                            eprintln!("an agent could not be let in: {error}");
                        }
                    }
                    AGENT => self.hear(event.flags),
                    key => self.reap(key),
                }
            }
            self.expire();
            self.flush();
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let notices = self.agent.as_ref().and_then(Connection::flush_at);
        self.slots.values().filter_map(Slot::deadline).chain(notices).min()
    }

    fn accept(&mut self, listener: &UnixListener) -> io::Result<()> {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        // The newer agent holds the agent's lock; what the older one had not heard is in the state.
        self.agent = None;
        let mut agent = Connection::new(stream)?;
        epoll::add(
            &self.epoll,
            agent.stream(),
            epoll::EventData::new_u64(AGENT),
            epoll::EventFlags::IN,
        )?;
        agent.push(&Notice::State(self.state()));
        self.agent = Some(agent);
        Ok(())
    }

    fn state(&self) -> State {
        State {
            boot_id: self.boot_id.clone(),
            notes: self.notes.clone(),
            running: self.slots.values().flat_map(Slot::running).collect(),
            queued: self.slots.values().flat_map(Slot::queued).collect(),
            ended: self.ended.values().cloned().collect(),
            lockstep: Some(true),
        }
    }

    fn hear(&mut self, flags: epoll::EventFlags) {
        let Some(agent) = &mut self.agent else {
            return;
        };
        if flags.contains(epoll::EventFlags::OUT) {
            agent.writable();
        }
        let Heard { requests, gone } = agent.read();
        if let Some(reason) = gone {
            if let Some(reason) = reason {
                eprintln!("agent dropped: {reason}");
            }
            self.agent = None;
        }
        for request in requests {
            match request {
                Request::Start(lease) => self.start(lease),
                Request::Cancel { token, kill_now } => self.cancel(token, kill_now),
                Request::Confirm(tokens) => self.confirm(&tokens),
                Request::Stop => self.stop(),
            }
        }
    }

    fn start(&mut self, mut lease: LeaseSpec) {
        lease.attempts.retain(|attempt| self.recent.insert(attempt.token));
        if lease.attempts.is_empty() || self.stopping {
            return;
        }
        lease.env.push((orphans::MARK.to_owned(), self.boot_id.clone()));
        let id = lease.lease;
        self.journal.accepted(lease.attempts.iter().map(|spec| accepted(id, spec)).collect());
        match self.slots.get_mut(&id) {
            Some(slot) => slot.append(lease),
            None => {
                self.slots.insert(id, Slot::new(lease));
            }
        }
        self.advance(id);
    }

    /// Starts the next attempt of a slot that runs nothing; forgets a slot that has none.
    fn advance(&mut self, lease: u64) {
        loop {
            let Some(slot) = self.slots.get_mut(&lease) else {
                return;
            };
            if slot.is_running() {
                return;
            }
            match slot.start_next() {
                Next::Idle => {
                    self.slots.remove(&lease);
                    return;
                }
                Next::Failed(ended) => ended.into_iter().for_each(|ended| self.record(ended)),
                Next::Started { tokens, pid, at_ms } => {
                    let key = self.next_key;
                    self.next_key += 1;
                    self.watched.insert(key, lease);
                    let watched = slot.pidfd().map(|pidfd| {
                        epoll::add(
                            &self.epoll,
                            pidfd,
                            epoll::EventData::new_u64(key),
                            epoll::EventFlags::IN,
                        )
                    });
                    if let Some(Err(error)) = watched {
                        eprintln!("could not watch process {pid}: {error}; it is ended");
                        slot.kill();
                        slot.reap().into_iter().for_each(|ended| self.record(ended));
                        continue;
                    }
                    for token in tokens {
                        self.journal.started(token, pid, at_ms);
                        self.tell(&Notice::Started { token, pid, at_ms });
                    }
                }
            }
        }
    }

    fn reap(&mut self, key: u64) {
        let Some(lease) = self.watched.remove(&key) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(&lease) else {
            return;
        };
        if let Some(pidfd) = slot.pidfd() {
            // Closing is not enough: a child of another slot that is just being started may hold a
            // copy of the descriptor until its exec is through, and with it the watch.
            let _ = epoll::delete(&self.epoll, pidfd);
        }
        let ended = slot.reap();
        // The slot is refilled before anything is written: its next task waits for no bookkeeping.
        self.advance(lease);
        ended.into_iter().for_each(|ended| self.record(ended));
    }

    fn record(&mut self, ended: Ended) {
        self.journal.ended(&ended);
        if self.agent.is_some() {
            self.tell(&Notice::Ended(ended.clone()));
        }
        self.ended.insert(ended.token, ended);
    }

    fn tell(&mut self, notice: &Notice) {
        if let Some(agent) = &mut self.agent {
            agent.push(notice);
        }
    }

    fn cancel(&mut self, token: u64, kill_now: bool) {
        let found = self.slots.values_mut().find_map(|slot| slot.cancel(token, kill_now));
        if let Some(ended) = found {
            self.record(ended);
        }
    }

    fn confirm(&mut self, tokens: &[u64]) {
        for token in tokens {
            if self.ended.remove(token).is_none() {
                self.slots.values_mut().for_each(|slot| slot.confirm(*token));
            }
        }
        self.journal.confirmed(tokens);
    }

    fn stop(&mut self) {
        self.stopping = true;
        let running: Vec<u64> = self
            .slots
            .values()
            .flat_map(|slot| slot.queued().chain(slot.running()))
            .map(|live| live.token)
            .collect();
        for token in running {
            self.cancel(token, true);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for slot in self.slots.values_mut() {
            slot.expire(now);
        }
    }

    /// The end of a turn: first the journal, then the agent.
    fn flush(&mut self) {
        if let Err(error) = self.write_journal() {
            // A full disc must not end what runs: the ends stay in memory and are told to the agent,
            // and the write is tried again in the next turn.
            if !self.journal_failed {
                eprintln!(
                    "the journal cannot be written: {error}; free space in the data directory"
                );
            }
            self.journal_failed = true;
        } else {
            self.journal_failed = false;
        }
        if let Some(agent) = &mut self.agent
            && !agent.flush(&self.epoll, AGENT, GATHER)
        {
            self.agent = None;
        }
    }

    fn write_journal(&mut self) -> io::Result<()> {
        if !self.journal.is_long() {
            return self.journal.write();
        }
        let live = self.slots.values().flat_map(|slot| slot.running().chain(slot.queued()));
        self.journal.rewrite(Left {
            boot: Some((self.boot_id.clone(), control::machine_boot_id())),
            live: live.map(|live| (live.token, live)).collect(),
            ended: self.ended.clone(),
        })
    }
}

fn accepted(lease: u64, spec: &AttemptSpec) -> Live {
    Live { token: spec.token, lease, tag: spec.tag.clone(), ..Live::default() }
}

fn timespec_until(until: Instant) -> Timespec {
    let left = until.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}
