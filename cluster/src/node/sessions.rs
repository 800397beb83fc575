//! **Purpose**: the live streams of the executors that are connected to this leader.
//!
//! **Invariants**
//! - At most one stream per executor; a newer one of the same instance replaces the older.
//! - Nothing here is state that matters: a new leader starts with no streams, and every executor
//!   dials in again with all that it holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hesper_protos::executor::{
    Cancel, CancelBatch, NodeMessage, OutputChunk, Progress, ReadOutput, node_message,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for one executor before it counts as stuck.
const QUEUE_MAX: usize = 4_096;
/// How long a read of a task's output may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// All live streams.
#[derive(Default)]
pub struct Sessions {
    live: Mutex<BTreeMap<u64, Live>>,
    opened: AtomicU64,
}

struct Live {
    instance: String,
    incarnation: u64,
    serial: StreamSerial,
    to_executor: mpsc::Sender<NodeMessage>,
    heard_at: Instant,
    reads: HashMap<u64, oneshot::Sender<OutputChunk>>,
    next_read: u64,
    progress: BTreeMap<u64, Progress>,
}

/// Tells the streams of one executor apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSerial(u64);

/// Why a task's output could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("executor {0} is not connected; its output can be read when it is back")]
    NotConnected(u64),
    #[error("executor {0} did not answer within {seconds} s; try again", seconds = READ_TIMEOUT.as_secs())]
    Timeout(u64),
    #[error("{0}")]
    Executor(String),
}

impl Sessions {
    /// Whether another instance of this executor is connected and was heard within `patience`.
    pub fn taken_by_other(&self, id: u64, instance: &str, patience: Duration) -> bool {
        self.live.lock().get(&id).is_some_and(|live| {
            live.instance != instance
                && live.heard_at.elapsed() < patience
                && !live.to_executor.is_closed()
        })
    }

    /// Takes up a stream; the receiver feeds it. An older stream of this executor ends.
    pub fn open(
        &self,
        id: u64,
        instance: String,
        incarnation: u64,
    ) -> (StreamSerial, mpsc::Receiver<NodeMessage>) {
        let (to_executor, from_node) = mpsc::channel(QUEUE_MAX);
        let serial = StreamSerial(self.opened.fetch_add(1, Ordering::Relaxed));
        let live = Live {
            instance,
            incarnation,
            serial,
            to_executor,
            heard_at: Instant::now(),
            reads: HashMap::new(),
            next_read: 1,
            progress: BTreeMap::new(),
        };
        self.live.lock().insert(id, live);
        (serial, from_node)
    }

    /// Ends this stream; a newer one stays. Says whether there was one.
    pub fn close(&self, id: u64, serial: StreamSerial) -> bool {
        let mut live = self.live.lock();
        let is_ours = live.get(&id).is_some_and(|session| session.serial == serial);
        if is_ours {
            live.remove(&id);
        }
        is_ours
    }

    /// Ends every stream: this node leads no more.
    pub fn close_all(&self) {
        self.live.lock().clear();
    }

    pub fn heard(&self, id: u64) {
        if let Some(live) = self.live.lock().get_mut(&id) {
            live.heard_at = Instant::now();
        }
    }

    /// Executors with a stream, and the stream.
    pub fn connected(&self) -> Vec<(u64, StreamSerial)> {
        self.live.lock().iter().map(|(id, live)| (*id, live.serial)).collect()
    }

    /// Executors that were silent for longer than `patience`: id, stream, incarnation.
    pub fn silent(&self, patience: Duration) -> Vec<(u64, StreamSerial, u64)> {
        self.live
            .lock()
            .iter()
            .filter(|(_, live)| live.heard_at.elapsed() > patience)
            .map(|(id, live)| (*id, live.serial, live.incarnation))
            .collect()
    }

    /// Sends without waiting. A full queue closes the stream: the executor dials in again and is
    /// told everything from the state, so that one stuck machine delays nobody.
    pub fn send(&self, id: u64, message: node_message::Message) {
        self.send_from(id, || Some(message));
    }

    /// Sends what `make` says, made under the lock of the streams: what it reads from the applied
    /// state cannot be overtaken by an acknowledgement.
    pub fn send_from(&self, id: u64, make: impl FnOnce() -> Option<node_message::Message>) {
        let mut live = self.live.lock();
        let Some(session) = live.get(&id) else { return };
        let Some(message) = make() else { return };
        if session.to_executor.try_send(NodeMessage { message: Some(message) }).is_err() {
            tracing::warn!(executor_id = id, "stream is full or closed, dropping it");
            live.remove(&id);
        }
    }

    pub fn send_cancel(&self, id: u64, token: u64, reason: &str) {
        let cancel = Cancel { token, reason: reason.to_owned(), kill_now: false };
        self.send(id, node_message::Message::Cancel(CancelBatch { cancels: vec![cancel] }));
    }

    pub fn set_progress(&self, id: u64, progress: Progress) {
        if let Some(live) = self.live.lock().get_mut(&id) {
            live.progress.insert(progress.token, progress);
        }
    }

    pub fn end_progress(&self, id: u64, token: u64) {
        if let Some(live) = self.live.lock().get_mut(&id) {
            live.progress.remove(&token);
        }
    }

    /// The last progress of an attempt, as short text.
    pub fn progress(&self, id: u64, token: u64) -> String {
        let live = self.live.lock();
        match live.get(&id).and_then(|session| session.progress.get(&token)) {
            Some(progress) if progress.total > 0 => {
                format!("{} {}/{}", progress.step, progress.done, progress.total)
            }
            Some(progress) => progress.step.clone(),
            None => String::new(),
        }
    }

    /// Reads a part of an attempt's output through its executor's stream.
    ///
    /// # Errors
    /// The executor is away, silent, or has no such file.
    pub async fn read_output(
        &self,
        id: u64,
        token: u64,
        name: &str,
        offset: u64,
        length: u32,
    ) -> Result<OutputChunk, ReadError> {
        let (answer, answered) = oneshot::channel();
        let request = {
            let mut live = self.live.lock();
            let session = live.get_mut(&id).ok_or(ReadError::NotConnected(id))?;
            let request = session.next_read;
            session.next_read += 1;
            session.reads.insert(request, answer);
            request
        };
        let read = ReadOutput { request, token, name: name.to_owned(), offset, length };
        self.send(id, node_message::Message::ReadOutput(read));
        let chunk = tokio::time::timeout(READ_TIMEOUT, answered)
            .await
            .map_err(|_| {
                self.forget_read(id, request);
                ReadError::Timeout(id)
            })?
            .map_err(|_| ReadError::NotConnected(id))?;
        if chunk.error.is_empty() { Ok(chunk) } else { Err(ReadError::Executor(chunk.error)) }
    }

    /// Hands an answer to whoever waits for it.
    pub fn answer_read(&self, id: u64, chunk: OutputChunk) {
        let waiting =
            self.live.lock().get_mut(&id).and_then(|session| session.reads.remove(&chunk.request));
        if let Some(waiting) = waiting {
            // A reader that went away needs no answer.
            let _ = waiting.send(chunk);
        }
    }

    fn forget_read(&self, id: u64, request: u64) {
        if let Some(live) = self.live.lock().get_mut(&id) {
            live.reads.remove(&request);
        }
    }
}
