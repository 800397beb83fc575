//! **Purpose**: one node's share of one limit: spend it, draw more, give back what lies idle.
//!
//! **Invariants**
//! - Never spends more in a window than the replicated state says that the node holds in it.
//! - Until the state has answered this process once, draws repeat one sequence number and want nothing:
//!   an earlier process may have drawn more than this one knows, and only the fence tells. After that
//!   the numbers jump, so that nothing the earlier process left on the way is taken for ours.
//! - One draw is under way at a time; an answer that never comes costs nothing but what it would have
//!   brought, and the next draw heals that, because draws say what is kept.
//! - What lay idle for half a second is given back, so it reaches another node within a second.
//!
//! Time is the node's estimate of state time. An estimate that runs ahead or behind cannot break the
//! cap: a share counts for the window that the state granted it in.

use crate::command::Draw;
use crate::model::{Limit, ShareRow};
use crate::reply::{Rejected, Reply, Share};

/// Half of the time after which an idle share is given back.
const HALF_IDLE_MS: u64 = 250;
/// After a draw that brought nothing, the next one waits so long.
const RETRY_MS: u64 = 100;
/// A share that lies idle elsewhere is here by then.
const MOVE_MS: u64 = 1_000;
/// Draws that follow each other within this time ask for twice as much each.
const BURST_MS: u64 = 500;
/// A draw whose outcome is not reported for so long is taken for lost.
const FLIGHT_MS_MAX: u64 = 5_000;
/// More sequence numbers than a process can have on the way.
const PROCESS_STRIDE: u64 = 1 << 32;

/// Answer to one call that is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    Taken,
    /// Propose this draw, report its outcome, then take again.
    Draw(Draw),
    /// A draw is under way: take again when it is answered.
    Pending,
    Exhausted {
        retry_at_ms: u64,
    },
}

/// A draw under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    sequence: u64,
    since_ms: u64,
}

/// After a draw that brought nothing.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// No draw before.
    until_ms: u64,
    /// What callers are told.
    retry_at_ms: u64,
}

/// One node's share of one limit.
#[derive(Clone, Debug)]
pub struct LocalBudget {
    node: u64,
    limit: u64,
    cap: u64,
    window_ms: u64,
    window: u64,
    /// Spent and unspent.
    held: u64,
    used: u64,
    sequence: u64,
    /// Whether `sequence` and `held` are what the state says of this node, not a guess of the start.
    is_sure: bool,
    flight: Option<Flight>,
    pause: Option<Pause>,
    /// Callers that wait for the draw under way.
    waiting: u64,
    /// What the next draw asks for at least.
    burst: u64,
    drawn_ms: u64,
    /// The least that was unspent, in this half of the idle time and in the one before it.
    low: u64,
    low_before: u64,
    half: u64,
}

impl LocalBudget {
    /// Takes up what the state says; what this node held before counts as spent, because an earlier
    /// process may have spent it.
    pub fn new(node: u64, id: u64, limit: &Limit, share: Option<&ShareRow>, now_ms: u64) -> Self {
        let window = limit.window_at(now_ms);
        let share = share.copied().unwrap_or_default();
        let held = if share.window == window { share.granted } else { 0 };
        Self {
            node,
            limit: id,
            cap: limit.cap,
            window_ms: limit.window_ms.max(1),
            window,
            held,
            used: held,
            sequence: share.sequence,
            is_sure: false,
            flight: None,
            pause: None,
            waiting: 0,
            burst: 1,
            drawn_ms: 0,
            low: 0,
            low_before: 0,
            half: now_ms / HALF_IDLE_MS,
        }
    }

    /// The window that is being spent, and how much of it is.
    pub fn spent(&self) -> (u64, u64) {
        (self.window, self.used)
    }

    /// Takes up a changed cap.
    pub fn follow(&mut self, limit: &Limit) {
        if self.cap != limit.cap {
            self.cap = limit.cap;
            self.pause = None;
        }
    }

    /// Spends one, or says how to get it.
    pub fn take(&mut self, now_ms: u64) -> Take {
        self.pass_to(now_ms);
        if self.used < self.held {
            self.used += 1;
            self.low = self.low.min(self.held - self.used);
            return Take::Taken;
        }
        if self.flight.is_some() {
            self.waiting += 1;
            return Take::Pending;
        }
        if let Some(pause) = self.pause.filter(|pause| now_ms < pause.until_ms) {
            return Take::Exhausted { retry_at_ms: pause.retry_at_ms };
        }
        Take::Draw(self.draw(now_ms))
    }

    /// Undoes a [`Take::Taken`] of the same moment.
    pub(crate) fn undo(&mut self) {
        self.used = self.used.saturating_sub(1);
    }

    /// Gives back what lay idle; to be called about every 100 ms.
    pub fn poll(&mut self, now_ms: u64) -> Option<Draw> {
        self.pass_to(now_ms);
        let half = now_ms / HALF_IDLE_MS;
        if half == self.half {
            return None;
        }
        // A half that nobody looked at says nothing about what was idle in it.
        let is_next = half == self.half + 1;
        let idle = if is_next { self.low.min(self.low_before) } else { 0 };
        self.low_before = if is_next { self.low } else { 0 };
        self.half = half;
        let unspent = self.held - self.used;
        self.low = unspent;
        if idle == 0 || self.flight.is_some() {
            return None;
        }
        self.held -= idle.min(unspent);
        self.low = self.held - self.used;
        self.low_before = self.low_before.min(self.low);
        self.burst = 1;
        Some(self.proposal(now_ms, 0))
    }

    /// Takes up the outcome of a draw; `None`: it is not known and never will be.
    pub fn answered(&mut self, now_ms: u64, draw: &Draw, answer: Option<&Reply>) {
        if self.flight.is_none_or(|flight| flight.sequence != draw.sequence) {
            return;
        }
        self.land();
        match answer {
            Some(Reply::Share(share)) => self.take_up(now_ms, draw, share),
            Some(Reply::Rejected(Rejected::StaleShare(share))) => self.recover(share),
            Some(Reply::Rejected(Rejected::OtherWindow { window, .. })) => {
                if *window > self.window {
                    self.open(*window);
                } else {
                    self.pause(now_ms + RETRY_MS, now_ms + RETRY_MS);
                }
            }
            Some(_) | None => self.pause(now_ms + RETRY_MS, now_ms + MOVE_MS),
        }
    }

    /// Ends the draw under way; its number is free again if nobody answered it yet.
    fn land(&mut self) {
        self.flight = None;
        if !self.is_sure {
            self.sequence -= 1;
        }
    }

    fn take_up(&mut self, now_ms: u64, draw: &Draw, share: &Share) {
        self.become_sure(share);
        if share.window != self.window {
            return;
        }
        let gained = share.granted.saturating_sub(draw.keep);
        self.held = share.granted.max(self.used);
        if gained > 0 || draw.want == 0 {
            return;
        }
        let end = self.window_end_ms();
        if share.spare_elsewhere > 0 {
            let retry_at_ms = end.min(now_ms + MOVE_MS);
            return self.pause(end.min(now_ms + RETRY_MS), retry_at_ms);
        }
        // All is spent. Looking again now and then notices a limit that was raised.
        self.pause(end.min(now_ms + MOVE_MS), end);
    }

    /// The state knows something else of this node than this process does: an earlier process drew or
    /// gave back. All that the state grants counts as spent; keeping more than that would be refused
    /// again and again.
    fn recover(&mut self, share: &Share) {
        self.become_sure(share);
        if share.window != self.window {
            return;
        }
        self.held = share.granted;
        self.used = share.granted;
    }

    fn become_sure(&mut self, share: &Share) {
        self.sequence = self.sequence.max(share.sequence);
        if !self.is_sure {
            self.is_sure = true;
            self.sequence = self.sequence.saturating_add(PROCESS_STRIDE);
        }
    }

    fn pause(&mut self, until_ms: u64, retry_at_ms: u64) {
        self.pause = Some(Pause { until_ms, retry_at_ms });
    }

    /// Opens the window of this moment and gives up a draw that was never answered.
    fn pass_to(&mut self, now_ms: u64) {
        let window = now_ms / self.window_ms;
        if window > self.window {
            self.open(window);
        }
        if self.flight.is_some_and(|flight| now_ms >= flight.since_ms + FLIGHT_MS_MAX) {
            self.land();
        }
    }

    /// Windows only go forward: what was spent in a later one is not forgotten.
    fn open(&mut self, window: u64) {
        self.window = window;
        self.held = 0;
        self.used = 0;
        self.low = 0;
        self.low_before = 0;
        self.pause = None;
    }

    fn window_end_ms(&self) -> u64 {
        self.window.saturating_add(1).saturating_mul(self.window_ms)
    }

    fn draw(&mut self, now_ms: u64) -> Draw {
        if !self.is_sure {
            return self.proposal(now_ms, 0);
        }
        let is_burst = now_ms < self.drawn_ms.saturating_add(BURST_MS);
        self.burst = if is_burst { self.burst.saturating_mul(2) } else { 1 };
        // A quarter at once leaves something to the others when load comes up everywhere.
        self.burst = self.burst.min((self.cap / 4).max(1));
        self.drawn_ms = now_ms;
        let want = self.burst.max(self.waiting + 1);
        self.waiting = 0;
        self.proposal(now_ms, want)
    }

    fn proposal(&mut self, now_ms: u64, want: u64) -> Draw {
        self.sequence += 1;
        self.pause = None;
        self.flight = Some(Flight { sequence: self.sequence, since_ms: now_ms });
        Draw {
            node: self.node,
            limit: self.limit,
            window: self.window,
            sequence: self.sequence,
            keep: self.held,
            used: self.used,
            want,
        }
    }
}
