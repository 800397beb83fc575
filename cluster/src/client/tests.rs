//! The client against fake servers with real TLS on loopback.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use hesper_protos::cluster::enrolment_server::{Enrolment, EnrolmentServer};
use hesper_protos::cluster::{EnrolReply, EnrolRequest};
use hesper_protos::job::jobs_server::{Jobs, JobsServer};
use hesper_protos::job::*;
use hesper_protos::sector::LocateReply;
use hesper_protos::transfer::transfer_server::{Transfer, TransferServer};
use hesper_protos::transfer::{Chunk, PutChunk, PutReply, ReadRequest, StatReply, StatRequest};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::{Request, Streaming};

use super::*;
use crate::identity::{Authority, JoinToken, Peer, Role, Subject, peer, server_tls};

type Stream<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

/// What a fake node does, in order; the last behaviour repeats.
#[derive(Default)]
struct Fake {
    submits: StdMutex<VecDeque<Result<u64, Status>>>,
    seen: StdMutex<Vec<(RequestId, Peer)>>,
    waits: StdMutex<VecDeque<Vec<Result<Job, Status>>>>,
    logs: StdMutex<VecDeque<Vec<Result<LogChunk, Status>>>>,
}

#[tonic::async_trait]
impl Jobs for Fake {
    type WaitStream = Stream<Job>;
    type LogsStream = Stream<LogChunk>;

    async fn open_session(
        &self,
        _: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionReply>, Status> {
        Ok(Response::new(OpenSessionReply { session: 7 }))
    }
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitReply>, Status> {
        let caller = peer(&request)?;
        caller.require(&[Role::Client, Role::Admin], "submit a job")?;
        let id = request.into_inner().id.unwrap();
        self.seen.lock().unwrap().push((id, caller));
        let job = self.submits.lock().unwrap().pop_front().unwrap_or(Ok(1))?;
        Ok(Response::new(SubmitReply { job, index: 1 }))
    }
    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        Ok(Response::new(ListReply::default()))
    }
    async fn show(&self, request: Request<ShowRequest>) -> Result<Response<Job>, Status> {
        Err(Status::not_found(format!("job {} does not exist", request.into_inner().job)))
    }
    async fn tasks(&self, _: Request<TasksRequest>) -> Result<Response<TasksReply>, Status> {
        Ok(Response::new(TasksReply::default()))
    }
    async fn wait(&self, _: Request<ShowRequest>) -> Result<Response<Self::WaitStream>, Status> {
        let stream = self.waits.lock().unwrap().pop_front().unwrap_or_default();
        Ok(Response::new(tokio_stream::iter(stream)))
    }
    async fn cancel(&self, _: Request<CancelRequest>) -> Result<Response<CancelReply>, Status> {
        Ok(Response::new(CancelReply::default()))
    }
    async fn explain(&self, _: Request<ExplainRequest>) -> Result<Response<ExplainReply>, Status> {
        Ok(Response::new(ExplainReply::default()))
    }
    async fn logs(&self, _: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let stream = self.logs.lock().unwrap().pop_front().unwrap_or_default();
        Ok(Response::new(tokio_stream::iter(stream)))
    }
}

/// Signs whoever knows the secret, once.
struct FakeEnrolment {
    authority: Authority,
    secret_digest: StdMutex<Option<[u8; 32]>>,
}

#[tonic::async_trait]
impl Enrolment for FakeEnrolment {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let request = request.into_inner();
        let digest = JoinToken::digest_of(&request.token)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut expected = self.secret_digest.lock().unwrap();
        if expected.take() != Some(digest) {
            return Err(Status::failed_precondition("the token was used already"));
        }
        let subject = Subject::new(&request.name, "acme", request.role.parse().unwrap()).unwrap();
        Ok(Response::new(EnrolReply {
            certificate_pem: self.authority.sign(&request.csr_pem, &subject).unwrap(),
            ca_pem: self.authority.ca_pem().to_owned(),
            cluster_id: "c1".into(),
            ..EnrolReply::default()
        }))
    }
}

/// Serves one file in two parts: the first answer breaks after half of it.
struct FakeTransfer {
    bytes: Vec<u8>,
    breaks: StdMutex<bool>,
    stored: Arc<StdMutex<Vec<u8>>>,
}

#[tonic::async_trait]
impl Transfer for FakeTransfer {
    type ReadStream = Stream<Chunk>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let from = usize::try_from(request.into_inner().offset).unwrap();
        let total = self.bytes.len() as u64;
        let mut breaks = self.breaks.lock().unwrap();
        let to = if *breaks { self.bytes.len() / 2 } else { self.bytes.len() };
        let mut answer = vec![Ok(Chunk { data: self.bytes[from..to].to_vec().into(), total })];
        if std::mem::take(&mut *breaks) {
            answer.push(Err(Status::unavailable("restarting")));
        }
        Ok(Response::new(tokio_stream::iter(answer)))
    }
    async fn put_blob(
        &self,
        request: Request<Streaming<PutChunk>>,
    ) -> Result<Response<PutReply>, Status> {
        let mut stream = request.into_inner();
        let mut is_first = true;
        while let Some(chunk) = stream.message().await? {
            let mut stored = self.stored.lock().unwrap();
            if is_first {
                assert_eq!(chunk.offset as usize, stored.len());
                assert_eq!(chunk.capability.as_ref(), b"right");
            }
            is_first = false;
            stored.extend(&chunk.data);
        }
        Ok(Response::new(PutReply { stored: self.stored.lock().unwrap().len() as u64 }))
    }
    async fn stat(&self, _: Request<StatRequest>) -> Result<Response<StatReply>, Status> {
        let partial_bytes = self.stored.lock().unwrap().len() as u64;
        Ok(Response::new(StatReply { complete: false, partial_bytes }))
    }
}

fn identity(authority: &Authority, name: &str, role: Role) -> Identity {
    authority.issue(&Subject::new(name, "acme", role).unwrap()).unwrap()
}

/// A server on a port of its own; it ends with the test's runtime.
async fn serve(identity: &Identity, routes: Routes) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder()
        .tls_config(server_tls(identity))
        .unwrap()
        .add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn node(authority: &Authority, fake: &Arc<Fake>) -> String {
    let routes = Routes::new(JobsServer::from_arc(Arc::clone(fake)));
    serve(&identity(authority, "n1", Role::Node), routes).await
}

fn client(nodes: &[String], identity: Identity) -> Client {
    Client::new(nodes, identity, Duration::from_millis(200), Duration::from_secs(20)).unwrap()
}

/// An address at which nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_submit_is_repeated_under_the_same_id_until_a_node_takes_it() {
    let authority = Authority::create("t").unwrap();
    let fake = Arc::new(Fake::default());
    fake.submits.lock().unwrap().extend([
        Err(Status::unavailable("no leader")),
        Err(Status::unavailable("no leader")),
        Ok(42),
        Ok(43),
    ]);
    let (one, two) = (node(&authority, &fake).await, node(&authority, &fake).await);
    let nodes = [nobody().await, one, two];
    let client = client(&nodes, identity(&authority, "alice", Role::Client));

    assert_eq!(client.submit(JobSpec::default()).await.unwrap().job, 42);
    assert_eq!(client.submit(JobSpec::default()).await.unwrap().job, 43);
    let seen = fake.seen.lock().unwrap();
    let sequences: Vec<u64> = seen.iter().map(|(id, _)| id.sequence).collect();
    assert_eq!(sequences, [1, 1, 1, 2]);
    assert!(
        seen.iter().all(|(id, caller)| id.session == 7
            && caller.name == "alice"
            && caller.owner == "acme")
    );
}

#[tokio::test]
async fn an_answer_that_says_no_is_final_and_shown_as_it_is() {
    let authority = Authority::create("t").unwrap();
    let fake = Arc::new(Fake::default());
    let nodes = [node(&authority, &fake).await];
    let client_of = |role| client(&nodes, identity(&authority, "x", role));
    let error = client_of(Role::Client).job(7).await.unwrap_err();
    assert!(matches!(&error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(error.to_string(), "job 7 does not exist");
    let error = client_of(Role::Executor).submit(JobSpec::default()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Denied { message } if message.contains("client or admin")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_named_with_every_address() {
    let authority = Authority::create("t").unwrap();
    let nodes = [nobody().await, nobody().await];
    let error = client(&nodes, identity(&authority, "x", Role::Client)).job(1).await.unwrap_err();
    let Error::Unreachable { tried } = &error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 2);
    assert!(nodes.iter().all(|node| error.to_string().contains(node)), "{error}");
}

#[tokio::test]
async fn wrong_certificates_are_refused_on_both_sides() {
    let (ours, theirs) = (Authority::create("ours").unwrap(), Authority::create("theirs").unwrap());
    let fake = Arc::new(Fake::default());
    let nodes = [node(&ours, &fake).await];
    let refused =
        |result: Result<Job, Error>| matches!(result, Err(Error::CertificateRefused { .. }));

    let stranger = client(&nodes, identity(&theirs, "x", Role::Admin));
    assert!(refused(stranger.job(1).await), "a client of another cluster trusts this node");
    // It trusts our authority, but shows what another one signed.
    let forged = Identity { ca_pem: ours.ca_pem().into(), ..identity(&theirs, "x", Role::Admin) };
    let result = client(&nodes, forged).job(1).await;
    assert!(refused(result), "the node let a foreign certificate in");
    // An executor poses as a node.
    let routes = Routes::new(JobsServer::from_arc(Arc::clone(&fake)));
    let poser = [serve(&identity(&ours, "e1", Role::Executor), routes).await];
    assert!(refused(client(&poser, identity(&ours, "x", Role::Client)).job(1).await));
    // A client's certificate cannot serve at all.
    let routes = Routes::new(JobsServer::from_arc(Arc::clone(&fake)));
    let poser = [serve(&identity(&ours, "c1", Role::Client), routes).await];
    assert!(refused(client(&poser, identity(&ours, "x", Role::Client)).job(1).await));
    assert!(fake.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn waiting_goes_on_after_a_broken_stream() {
    let authority = Authority::create("t").unwrap();
    let fake = Arc::new(Fake::default());
    let job = |state: &str| Ok(Job { job: 1, state: state.into(), ..Job::default() });
    fake.waits.lock().unwrap().extend([
        vec![job("pending"), Err(Status::unavailable("leader changed"))],
        vec![job("running")],
        vec![job("succeeded"), job("never read")],
    ]);
    let nodes = [node(&authority, &fake).await];
    let mut seen = Vec::new();
    let client = client(&nodes, identity(&authority, "x", Role::Client));
    let ended = client.wait(1, |job| seen.push(job.state.clone())).await.unwrap();
    assert_eq!(ended.state, "succeeded");
    assert_eq!(seen, ["pending", "running", "succeeded"]);
}

#[tokio::test]
async fn output_is_neither_lost_nor_repeated_after_a_broken_stream() {
    let authority = Authority::create("t").unwrap();
    let fake = Arc::new(Fake::default());
    let chunk =
        |task: u32, text: &'static str| Ok(LogChunk { task, data: text.into(), stderr: false });
    fake.logs.lock().unwrap().extend([
        vec![chunk(1, "ab"), chunk(2, "x"), chunk(1, "cd"), Err(Status::unavailable("gone"))],
        vec![chunk(1, "abc"), chunk(1, "def"), chunk(2, "xy")],
    ]);
    let nodes = [node(&authority, &fake).await];
    let client = client(&nodes, identity(&authority, "x", Role::Client));
    let mut text = [String::new(), String::new()];
    let request = LogsRequest { job: 1, all_tasks: true, ..LogsRequest::default() };
    client
        .logs(request, |chunk| -> Result<(), Error> {
            text[chunk.task as usize - 1].push_str(std::str::from_utf8(&chunk.data).unwrap());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(text, ["abcdef", "xy"]);
}

async fn enrolment(authority: &Authority, token: &JoinToken) -> String {
    let fake = FakeEnrolment {
        authority: authority.clone(),
        secret_digest: StdMutex::new(Some(token.secret_digest())),
    };
    serve(&identity(authority, "n1", Role::Node), Routes::new(EnrolmentServer::new(fake))).await
}

fn token(authority: &Authority, role: Role) -> JoinToken {
    let ca_der = crate::identity::certificate_der(authority.ca_pem()).unwrap();
    JoinToken { nodes: vec!["x:1".into()], ca_der, secret: [5; 16], role, expires_at_ms: u64::MAX }
}

#[tokio::test]
async fn a_token_enrols_once() {
    let authority = Authority::create("t").unwrap();
    let mut token = token(&authority, Role::Executor);
    token.nodes = vec![nobody().await, enrolment(&authority, &token).await];
    let enrolled = enrol(&token, Role::Executor, "e1", "").await.unwrap();
    assert_eq!(
        enrolled.identity.subject().unwrap(),
        Subject::new("e1", "acme", Role::Executor).unwrap()
    );
    assert!(enrolled.authority.is_none());

    token.expires_at_ms = 1;
    let error = enrol(&token, Role::Executor, "e2", "").await.unwrap_err();
    assert!(matches!(error, EnrolError::Refused { .. }));
    let text = error.to_string();
    assert!(
        text.contains("was used already") && text.contains("by the clock of this machine"),
        "{text}"
    );
}

#[tokio::test]
async fn a_secret_is_not_shown_to_another_cluster() {
    let (ours, theirs) = (Authority::create("ours").unwrap(), Authority::create("theirs").unwrap());
    let mut token = token(&ours, Role::Executor);
    token.nodes = vec![enrolment(&theirs, &token).await];
    let error = enrol(&token, Role::Executor, "e1", "").await.unwrap_err();
    assert!(matches!(error, EnrolError::Unreachable { .. }), "{error}");
    let error = enrol(&token, Role::Node, "n1", "").await.unwrap_err();
    assert!(matches!(error, EnrolError::OtherRole { .. }), "{error}");
}

async fn transfer(authority: &Authority, bytes: &[u8]) -> (String, Arc<StdMutex<Vec<u8>>>) {
    let stored = Arc::new(StdMutex::new(bytes[..10].to_vec()));
    let fake = FakeTransfer {
        bytes: bytes.to_vec(),
        breaks: StdMutex::new(true),
        stored: Arc::clone(&stored),
    };
    let routes = Routes::new(TransferServer::new(fake));
    (serve(&identity(authority, "e1", Role::Executor), routes).await, stored)
}

#[tokio::test]
async fn files_are_fetched_and_sent_over_breaks_and_verified() {
    let authority = Authority::create("t").unwrap();
    let bytes: Vec<u8> = (0..2_000_000u32).map(|n| (n / 7) as u8).collect();
    let (address, stored) = transfer(&authority, &bytes).await;
    let client = client(&["x:1".into()], identity(&authority, "x", Role::Client));
    let home = tempfile::tempdir().unwrap();
    let home = camino::Utf8Path::from_path(home.path()).unwrap();
    let to = home.join("copy");
    let right = blake3::hash(&bytes).to_hex().to_string();
    let length = bytes.len() as u64;
    let place = |blake3: &str| LocateReply {
        address: address.clone(),
        length,
        blake3: blake3.into(),
        path: "piece".into(),
        ..LocateReply::default()
    };

    client.download(&place(&right), &to, |_| {}).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), bytes);
    assert_eq!(hash_file(&to).await.unwrap(), (length, right.clone()));

    let other = home.join("other");
    let error = client.download(&place(&"0".repeat(64)), &other, |_| {}).await.unwrap_err();
    assert!(matches!(error, TransferError::Altered { .. }), "{error}");
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 1, "nothing of the altered file is left");

    let put = hesper_protos::sector::PlacePieceReply {
        address,
        capability: "right".into(),
        ..Default::default()
    };
    client.upload(&to, &right, length, &put, |_| {}).await.unwrap();
    assert_eq!(*stored.lock().unwrap(), bytes);
}
