//! **Purpose**: the agent's end of the socket to its supervisor, and the supervisor's start.
//!
//! **Invariants**: a link is up only after the supervisor told its whole state.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use camino::Utf8Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::config::Config;
use crate::frame;
use crate::protocol::{Notice, Request, State};
use crate::supervisor::control;

/// For a supervisor to come up: it may have to end what an earlier one left.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// A supervisor that ends at once ends for a reason that will not pass.
const STARTS_MAX: u32 = 3;
const POLL: Duration = Duration::from_millis(5);

/// The writing side; dropped, the supervisor goes on alone.
pub(crate) struct Link {
    out: mpsc::UnboundedSender<Vec<u8>>,
}

impl Link {
    /// Sends in order; when the link is down the request is lost, which the state at the next
    /// connection shows.
    pub(crate) fn send(&self, requests: &[Request]) {
        let mut bytes = Vec::new();
        for request in requests {
            frame::append_value(&mut bytes, request);
        }
        // A closed channel means a link that is down; its reader says so.
        let _ = self.out.send(bytes);
    }
}

/// Reads notices until the supervisor goes.
pub(crate) struct Notices {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Notices {
    /// The next notices; none at the end of the link.
    pub(crate) async fn next(&mut self) -> Option<Vec<Notice>> {
        loop {
            let notices = frame::drain(&mut self.buffer).ok()?;
            if !notices.is_empty() {
                return Some(notices);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// What [`open`] made.
pub(crate) struct Opened {
    pub(crate) link: Link,
    pub(crate) notices: Notices,
    pub(crate) state: State,
    /// Further notices that came with the state.
    pub(crate) first: Vec<Notice>,
    pub(crate) started: bool,
}

/// Connects to the directory's supervisor and starts one when there is none.
pub(crate) async fn open(config: &Config) -> io::Result<Opened> {
    let until = Instant::now() + START_PATIENCE;
    let mut starts = 0;
    loop {
        let stream = reach(config, until, &mut starts).await?;
        match greet(stream, starts > 0).await {
            Ok(opened) => return Ok(opened),
            // It may have been about to end when it was reached: the next one will not.
            Err(error) if Instant::now() > until => return Err(error),
            Err(error) => tracing::debug!(%error, "the supervisor did not answer"),
        }
        sleep(POLL).await;
    }
}

async fn reach(config: &Config, until: Instant, starts: &mut u32) -> io::Result<UnixStream> {
    let mut child: Option<tokio::process::Child> = None;
    loop {
        match connect(&config.data_dir) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => {}
        }
        if let Some(started) = &mut child
            && let Some(status) = started.try_wait()?
        {
            if *starts >= STARTS_MAX {
                let program = config.supervisor_command[0].display();
                return Err(io::Error::other(format!("`{program}` ended with {status}")));
            }
            child = None;
        }
        if child.is_none() && control::living(&config.data_dir)?.is_none() {
            *starts += 1;
            child = Some(spawn(config)?);
        }
        sleep(POLL).await;
    }
}

async fn greet(stream: UnixStream, started: bool) -> io::Result<Opened> {
    let (read, write) = stream.into_split();
    let mut notices = Notices { stream: read, buffer: Vec::new() };
    let first = timeout(START_PATIENCE, notices.next())
        .await
        .map_err(|_| {
            let silent = "it accepts connections but says nothing";
            io::Error::new(io::ErrorKind::TimedOut, silent)
        })?
        .ok_or_else(|| io::Error::other("it closed the connection"))?;
    let mut first = first.into_iter();
    let Some(Notice::State(state)) = first.next() else {
        return Err(io::Error::other("it did not begin with its state"));
    };
    let (out, rest) = mpsc::unbounded_channel();
    tokio::spawn(write_all(write, rest));
    Ok(Opened { link: Link { out }, notices, state, first: first.collect(), started })
}

fn connect(dir: &Utf8Path) -> io::Result<UnixStream> {
    let stream = control::connect(dir)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn spawn(config: &Config) -> io::Result<tokio::process::Child> {
    let (program, args) = config
        .supervisor_command
        .split_first()
        .ok_or_else(|| io::Error::other("no supervisor command is configured"))?;
    let log = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(config.data_dir.join(control::SUPERVISOR_LOG))?;
    // It leaves this process's session by itself. Dropping the handle leaves it running, and tokio
    // reaps it should it end first.
    tokio::process::Command::new(program)
        .args(args)
        .arg(&config.data_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

async fn write_all(mut stream: OwnedWriteHalf, mut rest: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(mut bytes) = rest.recv().await {
        while let Ok(more) = rest.try_recv() {
            bytes.extend_from_slice(&more);
        }
        if stream.write_all(&bytes).await.is_err() {
            return; // the reading side reports the end
        }
    }
}
