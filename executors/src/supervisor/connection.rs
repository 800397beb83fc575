//! **Purpose**: the supervisor's end of the socket to its agent.
//!
//! **Invariants**
//! - Never blocks. An agent that does not read is dropped at [`BUFFER_BYTES_MAX`]; it gets the whole
//!   state when it connects again, so nothing is lost.
//! - A notice is sent after the journal write of the same turn.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use crate::frame;
use crate::protocol::{Notice, Request};

const BUFFER_BYTES_MAX: usize = 64 << 20;
/// What leaves at once, however long ago the last write was.
const FLUSH_BYTES: usize = 32 << 10;

pub(crate) struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    flushed_at: Option<Instant>,
    flush_at: Option<Instant>,
    /// The socket took no more; nothing is written until it is writable again.
    is_blocked: bool,
    /// Whether writability is asked of epoll.
    waits_to_write: bool,
}

/// What came from the agent.
pub(crate) struct Heard {
    pub(crate) requests: Vec<Request>,
    /// The agent is gone, with the reason when it is worth a line.
    pub(crate) gone: Option<Option<String>>,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            flushed_at: None,
            flush_at: None,
            is_blocked: false,
            waits_to_write: false,
        })
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// When gathered notices want to leave.
    pub(crate) fn flush_at(&self) -> Option<Instant> {
        self.flush_at
    }

    pub(crate) fn push(&mut self, notice: &Notice) {
        frame::append_value(&mut self.output, notice);
    }

    pub(crate) fn writable(&mut self) {
        self.is_blocked = false;
    }

    /// Reads what has come. What an agent said before it went is still done.
    pub(crate) fn read(&mut self) -> Heard {
        let mut chunk = [0_u8; 64 << 10];
        let mut gone = None;
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => gone = Some(None),
                Ok(bytes) => {
                    self.input.extend_from_slice(&chunk[..bytes]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => gone = Some(Some(error.to_string())),
            }
            break;
        }
        match frame::drain(&mut self.input) {
            Ok(requests) => Heard { requests, gone },
            Err(()) => {
                let reason = "it sent bytes that are no request".to_owned();
                Heard { requests: Vec::new(), gone: Some(Some(reason)) }
            }
        }
    }

    /// Writes what is due; `false` when the agent must be dropped.
    pub(crate) fn flush(&mut self, epoll: &OwnedFd, key: u64, gather: Duration) -> bool {
        self.flush_at = None;
        if self.output.is_empty() || self.is_blocked {
            return self.output.len() <= BUFFER_BYTES_MAX;
        }
        let now = Instant::now();
        if let Some(flushed_at) = self.flushed_at
            && self.output.len() < FLUSH_BYTES
            && now < flushed_at + gather
        {
            self.flush_at = Some(flushed_at + gather);
            return true;
        }
        self.flushed_at = Some(now);
        let mut written = 0;
        let alive = loop {
            if written == self.output.len() {
                break true;
            }
            match self.stream.write(&self.output[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
            }
        };
        self.output.drain(..written);
        let was_blocked = std::mem::replace(&mut self.is_blocked, !self.output.is_empty());
        if !alive || was_blocked == self.is_blocked && !self.waits_to_write {
            return alive;
        }
        self.waits_to_write = self.is_blocked;
        let wanted = if self.is_blocked {
            epoll::EventFlags::IN | epoll::EventFlags::OUT
        } else {
            epoll::EventFlags::IN
        };
        epoll::modify(epoll, &self.stream, epoll::EventData::new_u64(key), wanted).is_ok()
    }
}
