//! **Purpose**: a client of a cluster: finds a node that answers, proves who the user is, and
//! repeats requests safely.
//!
//! **Invariants**
//! - Whatever changes state carries (session, sequence) and keeps it over every repetition, so that
//!   the cluster executes it at most once.
//! - A request is repeated only when the answer was lost or there was no leader; an answer that says
//!   no is final.
//! - Streams that break are opened again and go on where they were.

mod calls;
mod enrol;
mod error;
mod link;
mod streams;
mod transfer;

pub use calls::TokenWish;
pub use enrol::{EnrolError, Enrolled, enrol};
pub use error::{Error, KIND_HEADER, SESSION_EXPIRED};
pub use link::{Bearer, Link};
pub use streams::has_ended;
pub use transfer::{TransferError, hash_file};

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use hesper_protos::job::jobs_client::JobsClient;
use hesper_protos::job::{OpenSessionRequest, RequestId};
use tokio::sync::Mutex;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Response, Status};

use crate::config;
use crate::files;
use crate::identity::{Expect, Identity, client_tls, endpoint};
use crate::output::causes;
use error::Verdict;

const PAUSE_FIRST: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// A client of one cluster. Cloning is cheap and shares connections and session.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    session: Arc<Session>,
}

struct Shared {
    nodes: Vec<Node>,
    /// Index of the node that answered last.
    preferred: AtomicUsize,
    /// Absent on the local socket.
    identity: Option<Identity>,
    bearer: Bearer,
    connect_timeout: Duration,
    request_timeout: Duration,
}

struct Node {
    address: String,
    endpoint: Endpoint,
    link: Mutex<Option<Link>>,
}

#[derive(Default)]
struct Session {
    /// Opened with the first request that changes something.
    number: Mutex<Option<u64>>,
    sequence: AtomicU64,
}

impl Client {
    /// A client as its configuration says. Nothing is dialled before the first request.
    ///
    /// # Errors
    /// When the identity cannot be read or an address is malformed.
    pub fn connect(config: &config::Client) -> Result<Self, Error> {
        let identity = Identity::load(&config.identity)?;
        let client =
            Client::new(&config.nodes, identity, config.connect_timeout, config.request_timeout)?;
        Ok(match &config.token_file {
            Some(file) => client.with_bearer(Bearer::new(&files::read_text(file)?)?),
            None => client,
        })
    }

    /// A client with an identity at hand.
    ///
    /// # Errors
    /// When there is no address or one is malformed.
    pub fn new(
        nodes: &[String],
        identity: Identity,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Result<Self, Error> {
        if nodes.is_empty() {
            return Err(Error::NoNodes);
        }
        let tls = client_tls(&identity, Expect::Node);
        let nodes = nodes
            .iter()
            .map(|address| Ok((address.clone(), endpoint(address, &tls)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let identity = Some(identity);
        Ok(Client::made(nodes, identity, Bearer::default(), connect_timeout, request_timeout))
    }

    /// A client of the node on this machine, over its administration socket.
    ///
    /// # Errors
    /// When the path is none that a socket can have.
    pub fn local(
        socket: &Utf8Path,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Result<Self, Error> {
        let nodes = vec![(socket.to_string(), link::socket_endpoint(socket)?)];
        Ok(Client::made(nodes, None, Bearer::default(), connect_timeout, request_timeout))
    }

    fn made(
        nodes: Vec<(String, Endpoint)>,
        identity: Option<Identity>,
        bearer: Bearer,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Self {
        let nodes = nodes
            .into_iter()
            .map(|(address, endpoint)| Node { address, endpoint, link: Mutex::new(None) })
            .collect();
        let preferred = AtomicUsize::new(0);
        let shared =
            Shared { nodes, preferred, identity, bearer, connect_timeout, request_timeout };
        Client { shared: Arc::new(shared), session: Arc::default() }
    }

    fn remade(&self, bearer: Bearer, request_timeout: Duration) -> Self {
        let Shared { nodes, identity, connect_timeout, .. } = &*self.shared;
        let nodes =
            nodes.iter().map(|node| (node.address.clone(), node.endpoint.clone())).collect();
        Client::made(nodes, identity.clone(), bearer, *connect_timeout, request_timeout)
    }

    /// The same client that shows a token with each request.
    #[must_use]
    pub fn with_bearer(&self, bearer: Bearer) -> Self {
        self.remade(bearer, self.shared.request_timeout)
    }

    /// A client with a session of its own over the same connections: for callers that work at the
    /// same time and shall not share one window of sequence numbers.
    #[must_use]
    pub fn with_own_session(&self) -> Self {
        Client { shared: Arc::clone(&self.shared), session: Arc::default() }
    }

    /// The same client that repeats a request for another time while there is no leader.
    ///
    /// # Errors
    /// Never for a client that was made; the signature is that of making one.
    pub fn with_request_timeout(&self, request_timeout: Duration) -> Result<Self, Error> {
        Ok(self.remade(self.shared.bearer.clone(), request_timeout))
    }

    /// The identity that this client shows; none on the local socket.
    pub fn identity(&self) -> Option<&Identity> {
        self.shared.identity.as_ref()
    }

    /// A fresh id for a request that changes something. Opens the session if need be.
    ///
    /// # Errors
    /// When the cluster cannot be reached or refuses.
    pub async fn request_id(&self) -> Result<RequestId, Error> {
        let mut number = self.session.number.lock().await;
        let session = match *number {
            Some(session) => session,
            None => {
                let open = |link| async move {
                    JobsClient::new(link).open_session(OpenSessionRequest {}).await
                };
                let session = self.call(open).await?.session;
                self.session.sequence.store(0, Ordering::Relaxed);
                *number = Some(session);
                session
            }
        };
        let sequence = self.session.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(RequestId { session, sequence })
    }

    /// Runs a request that changes something under a fresh id. An expired session is forgotten, so
    /// that the next request opens another; the request itself is not repeated, because it may have
    /// been executed.
    async fn change<T, F, Fut>(&self, request: F) -> Result<T, Error>
    where
        F: Fn(Link, RequestId) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let id = self.request_id().await?;
        let result = self.call(|link| request(link, id)).await;
        if let Err(Error::SessionExpired { .. }) = &result {
            *self.session.number.lock().await = None;
        }
        result
    }

    /// Runs a request on some node, repeating it on others while the connection or the leader is
    /// missing.
    async fn call<T, F, Fut>(&self, request: F) -> Result<T, Error>
    where
        F: Fn(Link) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let Shared { nodes, preferred, bearer, connect_timeout, request_timeout, .. } =
            &*self.shared;
        let mut attempts = Attempts::new(nodes.len());
        loop {
            let at = preferred.load(Ordering::Relaxed) % nodes.len();
            let node = &nodes[at];
            let left = request_timeout.saturating_sub(attempts.started.elapsed());
            let failure = match tokio::time::timeout(left, attempt(node, bearer, &request)).await {
                Err(_elapsed) => {
                    Failure { cause: "it gave no answer in time".to_owned(), answered: true }
                }
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(Verdict::Final(error))) => return Err(error),
                Ok(Err(Verdict::Again(failure))) => failure,
            };
            tracing::debug!(
                node = node.address,
                cause = failure.cause,
                "request is repeated elsewhere"
            );
            attempts.note(at, failure);
            // Another task may have moved on already.
            let _lost_race = preferred.compare_exchange(
                at,
                (at + 1) % nodes.len(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            let patience = if attempts.answered { *request_timeout } else { *connect_timeout };
            if attempts.started.elapsed() >= patience {
                return Err(attempts.error(nodes));
            }
            if attempts.count.is_multiple_of(nodes.len()) {
                tokio::time::sleep(attempts.pause()).await;
            }
        }
    }
}

/// A failure after which another node is tried.
struct Failure {
    cause: String,
    /// A node answered, so the cluster is there.
    answered: bool,
}

struct Attempts {
    started: Instant,
    count: usize,
    answered: bool,
    causes: Vec<Option<String>>,
    next_pause: Duration,
}

impl Attempts {
    fn new(nodes: usize) -> Self {
        Attempts {
            started: Instant::now(),
            count: 0,
            answered: false,
            causes: vec![None; nodes],
            next_pause: PAUSE_FIRST,
        }
    }

    fn note(&mut self, at: usize, failure: Failure) {
        self.count += 1;
        self.answered |= failure.answered;
        self.causes[at] = Some(failure.cause);
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next_pause;
        self.next_pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    fn error(self, nodes: &[Node]) -> Error {
        let tried = nodes
            .iter()
            .zip(self.causes)
            .filter_map(|(node, cause)| Some(format!("{}: {}", node.address, cause?)))
            .collect();
        let waited = self.started.elapsed();
        if self.answered { Error::TimedOut { tried, waited } } else { Error::Unreachable { tried } }
    }
}

async fn attempt<T, F, Fut>(node: &Node, bearer: &Bearer, request: &F) -> Result<T, Verdict>
where
    F: Fn(Link) -> Fut,
    Fut: Future<Output = Result<Response<T>, Status>>,
{
    let link = node.link(bearer).await?;
    match request(link).await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => {
            let verdict = error::judge(status, &node.address);
            if matches!(verdict, Verdict::Again(Failure { answered: false, .. })) {
                *node.link.lock().await = None;
            }
            Err(verdict)
        }
    }
}

impl Node {
    async fn link(&self, bearer: &Bearer) -> Result<Link, Verdict> {
        let mut held = self.link.lock().await;
        if let Some(link) = &*held {
            return Ok(link.clone());
        }
        match self.endpoint.connect().await {
            Ok(channel) => {
                Ok(held.insert(InterceptedService::new(channel, bearer.clone())).clone())
            }
            Err(error) => Err(error::judge_connect(&causes(&error), &self.address)),
        }
    }
}

#[cfg(test)]
mod tests;
