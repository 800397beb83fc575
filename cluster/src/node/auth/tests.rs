//! Admission on a node of one: real log and state in a temporary directory, services called as the
//! server would call them, callers by the local socket and by tokens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use hesper_consensus::{ClusterId, ConnectError, Connector, Consensus};
use hesper_protos::auth as wire;
use hesper_protos::auth::auth_server::Auth as _;
use hesper_protos::job as job_wire;
use hesper_protos::job::jobs_server::Jobs as _;
use hesper_protos::sector as sector_wire;
use hesper_protos::sector::sectors_server::Sectors as _;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Code, Request, Status};

use super::super::machine::{Factory, Proposer};
use super::super::sessions::Sessions;
use super::super::{Node, Settings, Shared, enrolment, jobs, sectors, wallets};
use super::*;
use crate::identity::{Authority, Subject};

/// How long anything of this may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Nobody;

impl Connector for Nobody {
    fn connect(&self, address: &str) -> Result<Channel, ConnectError> {
        let reason = "this node is alone".to_owned();
        Err(ConnectError::Address { address: address.to_owned(), reason })
    }
}

/// A node that leads its own cluster.
pub struct Alone {
    pub node: Shared,
    end: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Alone {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut settings = hesper_consensus::Config::new(data_dir.join("consensus"), 1);
        settings.heartbeat = Duration::from_millis(50);
        settings.election_min = Duration::from_millis(200);
        settings.election_max = Duration::from_millis(400);
        let consensus =
            Consensus::start(settings, Arc::new(Factory), Arc::new(Nobody)).await.unwrap();
        let cluster = ClusterId("alone".to_owned());
        consensus.initialize(cluster, [(1, "127.0.0.1:1".to_owned())]).await.unwrap();
        let authority = Authority::create("alone").unwrap();
        let identity = authority.issue(&Subject::new("n1", "ops", Role::Node).unwrap()).unwrap();
        let sealing_key = authority.sealing_key(PURPOSE).unwrap();
        let node = Arc::new(Node {
            consensus,
            sessions: Sessions::default(),
            planner: tokio::sync::Notify::new(),
            settings: Settings {
                name: "n1".to_owned(),
                node_id: 1,
                cluster_id: "alone".to_owned(),
                executor_silence: Duration::from_secs(10),
                configuration: hesper_scheduler::ConfigurationChange::default(),
            },
            identity,
            authority,
            leader_link: parking_lot::Mutex::default(),
            auth: Auth::new(1, sealing_key),
            wallets: wallets::Wallets::default(),
        });
        let (end, ended) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(super::watch(Arc::clone(&node), ended.clone())),
            tokio::spawn(confirm(Arc::clone(&node), ended.clone())),
            tokio::spawn(run_limits(Arc::clone(&node), ended)),
        ];
        let alone = Alone { node, end, tasks, _dir: dir };
        alone.found().await;
        alone
    }

    /// Founds the cluster and waits until tokens can be signed and the leader is confirmed.
    async fn found(&self) {
        let found =
            enrolment::Command::Found { cluster_id: "alone".to_owned(), transfer_key: vec![7; 32] };
        let by = Proposer::node("n1");
        until(&self.node, || async {
            let found = self.node.propose_enrolment(&by, None, found.clone()).await;
            found.is_ok() || !self.node.read(|m| m.enrolment.constants().cluster_id.is_empty())
        })
        .await;
        until(&self.node, || async {
            self.node.require_fresh().is_ok()
                && self.node.read(|machine| machine.auth.current_kid().is_some())
        })
        .await;
    }

    fn auth(&self) -> Service {
        Service(Arc::clone(&self.node))
    }

    fn jobs(&self) -> jobs::Service {
        jobs::Service(Arc::clone(&self.node))
    }

    pub async fn add_user(&self, name: &str) {
        let request =
            wire::CreateUserRequest { name: name.to_owned(), ..wire::CreateUserRequest::default() };
        self.auth().create_user(local(request)).await.unwrap();
    }

    /// Makes a token; its number and text.
    pub async fn token(&self, user: &str, permission: &str) -> (u64, String) {
        let request = wire::CreateTokenRequest {
            user: user.to_owned(),
            permission: permission.to_owned(),
            ..wire::CreateTokenRequest::default()
        };
        let reply = self.auth().create_token(local(request)).await.unwrap().into_inner();
        (reply.token, reply.text)
    }

    async fn set_enabled(&self, name: &str, enabled: bool) {
        let request = wire::UpdateUserRequest {
            name: name.to_owned(),
            enabled: Some(enabled),
            ..wire::UpdateUserRequest::default()
        };
        self.auth().update_user(local(request)).await.unwrap();
    }

    async fn submit(&self, token: &str) -> Result<u64, Status> {
        let spec = job_wire::JobSpec { program: "/bin/true".to_owned(), ..Default::default() };
        let request = job_wire::SubmitRequest { id: None, spec: Some(spec) };
        Ok(self.jobs().submit(with(token, request)).await?.into_inner().job)
    }

    async fn list(&self, token: &str) -> Result<Vec<u64>, Status> {
        let request = with(token, job_wire::ListRequest::default());
        let jobs = self.jobs().list(request).await?.into_inner().jobs;
        Ok(jobs.into_iter().map(|job| job.job).collect())
    }

    pub async fn stop(self) {
        self.end.send_replace(true);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.node.consensus.clone().shutdown().await;
    }
}

/// Looks again after each applied entry, until it is true; a tick is applied each second.
async fn until<F: Future<Output = bool>>(node: &Node, mut look: impl FnMut() -> F) {
    let mut applied = node.consensus.applied();
    let true_at_last = async {
        while !look().await {
            applied.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, true_at_last).await.expect("it did not come true in time");
}

/// A request as it comes over the administration socket.
fn local<T>(message: T) -> Request<T> {
    let (one, _other) = tokio::net::UnixStream::pair().unwrap();
    let peer_cred = Some(one.peer_cred().unwrap());
    let mut request = Request::new(message);
    request.extensions_mut().insert(UdsConnectInfo { peer_addr: None, peer_cred });
    request
}

/// A request that shows a token and no certificate.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_its_permission_and_no_more() {
    let alone = Alone::start().await;
    alone.add_user("acme").await;
    let (_, read) = alone.token("acme", "read").await;
    let (_, write) = alone.token("acme", "write").await;
    let job = alone.submit(&write).await.unwrap();
    assert_eq!(alone.list(&read).await.unwrap(), [job]);
    let (refused, words) = code(alone.submit(&read).await);
    assert_eq!(refused, Code::PermissionDenied);
    assert!(words.contains("permission `write` is missing"), "{words}");
    let request = wire::CreateUserRequest { name: "evil".into(), ..Default::default() };
    let (refused, words) = code(alone.auth().create_user(with(&write, request)).await);
    assert_eq!(refused, Code::PermissionDenied);
    assert!(words.contains("`admin`"), "{words}");
    let request = with(&write, wire::ListAuditRequest::default());
    assert_eq!(code(alone.auth().list_audit(request).await).0, Code::PermissionDenied);
    let request = Request::new(job_wire::ListRequest::default());
    assert_eq!(code(alone.jobs().list(request).await).0, Code::Unauthenticated);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_and_touches_only_its_own() {
    let alone = Alone::start().await;
    alone.add_user("acme").await;
    alone.add_user("bob").await;
    let (acme_token, acme) = alone.token("acme", "write").await;
    let (_, bob) = alone.token("bob", "sign").await;
    let (_, root) = alone.token("bob", "admin").await;
    let job = alone.submit(&acme).await.unwrap();
    assert_eq!(alone.list(&bob).await.unwrap(), Vec::<u64>::new());
    assert_eq!(alone.list(&root).await.unwrap(), [job]);
    let show = job_wire::ShowRequest { job };
    assert_eq!(code(alone.jobs().show(with(&bob, show)).await).0, Code::PermissionDenied);
    let explain = job_wire::ExplainRequest { job, task: 0 };
    assert_eq!(code(alone.jobs().explain(with(&bob, explain)).await).0, Code::PermissionDenied);
    let cancel = job_wire::CancelRequest { id: None, job };
    assert_eq!(code(alone.jobs().cancel(with(&bob, cancel)).await).0, Code::PermissionDenied);
    let logs = job_wire::LogsRequest { job, ..Default::default() };
    let refused = alone.jobs().logs(with(&bob, logs)).await.map(|_| ());
    assert_eq!(code(refused).0, Code::PermissionDenied);
    let wait = alone.jobs().wait(with(&bob, show)).await.map(|_| ());
    assert_eq!(code(wait).0, Code::PermissionDenied);
    // Users, tokens and limits of others.
    let users = |token: &str, name: &str| {
        with(token, wire::ListUsersRequest { name: name.to_owned(), deleted: false })
    };
    let seen = alone.auth().list_users(users(&bob, "")).await.unwrap().into_inner().users;
    assert_eq!(seen.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["bob"]);
    let refused = alone.auth().list_users(users(&bob, "acme")).await;
    assert_eq!(code(refused).0, Code::PermissionDenied);
    let tokens = with(&bob, wire::ListTokensRequest { user: "acme".to_owned() });
    assert_eq!(code(alone.auth().list_tokens(tokens).await).0, Code::PermissionDenied);
    let revoke = with(&bob, wire::TokenRequest { id: None, token: acme_token });
    assert_eq!(code(alone.auth().revoke_token(revoke).await).0, Code::PermissionDenied);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_and_revoking_act_at_once_and_end_open_streams() {
    let alone = Alone::start().await;
    alone.add_user("acme").await;
    let (_, kept) = alone.token("acme", "write").await;
    let (revoked, text) = alone.token("acme", "write").await;
    let holder = alone.node.verify(&text).unwrap();
    let other = alone.node.verify(&kept).unwrap();
    let (node, waits) = (Arc::clone(&alone.node), holder.clone());
    let stream = tokio::spawn(async move { node.until_refused(&waits).await });
    let request = wire::TokenRequest { id: None, token: revoked };
    alone.auth().revoke_token(local(request)).await.unwrap();
    let status = tokio::time::timeout(PATIENCE, stream).await.unwrap().unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(code(alone.list(&text).await).0, Code::Unauthenticated);
    alone.list(&kept).await.unwrap();

    let (node, waits) = (Arc::clone(&alone.node), other);
    let stream = tokio::spawn(async move { node.until_refused(&waits).await });
    alone.set_enabled("acme", false).await;
    let status = tokio::time::timeout(PATIENCE, stream).await.unwrap().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    let (refused, words) = code(alone.list(&kept).await);
    assert_eq!(refused, Code::PermissionDenied);
    assert!(words.contains("disabled"), "{words}");
    alone.set_enabled("acme", true).await;
    alone.list(&kept).await.unwrap();
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_a_user_row_is_served_until_it_is_disabled() {
    let alone = Alone::start().await;
    let caller = Caller::of_certificate(crate::identity::Peer {
        name: "desk".to_owned(),
        owner: "acme".to_owned(),
        role: Role::Client,
    });
    alone.node.require_standing(&caller).unwrap();
    alone.add_user("acme").await;
    alone.node.require_standing(&caller).unwrap();
    alone.set_enabled("acme", false).await;
    assert!(alone.node.require_standing(&caller).is_err());
    // A node works for the cluster, whoever set it up.
    let node = Caller { role: Role::Node, ..caller };
    alone.node.require_standing(&node).unwrap();
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_refuses_changes_says_when_and_spares_proofs_and_reads() {
    let alone = Alone::start().await;
    alone.add_user("acme").await;
    let (_, token) = alone.token("acme", "write").await;
    let limit = wire::SetLimitRequest {
        user: "acme".to_owned(),
        cap: 2,
        window_ms: 24 * 3_600_000,
        ..Default::default()
    };
    alone.auth().set_limit(local(limit)).await.unwrap();
    // In the last seconds of a window both counts could lie in different windows; a day is long.
    alone.submit(&token).await.unwrap();
    alone.submit(&token).await.unwrap();
    let status = alone.submit(&token).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let retry = status.metadata().get(limits::RETRY_AFTER).unwrap().to_str().unwrap();
    let retry: u64 = retry.parse().unwrap();
    assert!(retry > 0 && retry <= 24 * 3_600_000, "{retry}");
    assert!(status.message().contains("retry in"), "{}", status.message());
    assert_eq!(alone.list(&token).await.unwrap().len(), 2);
    let sectors =
        sectors::Service { node: Arc::clone(&alone.node), parameters: "/nonexistent".into() };
    let winning = sector_wire::WinningRequest {
        miner: 1000,
        sectors: vec![1],
        randomness: "0b".repeat(32),
        ..Default::default()
    };
    // It gets as far as looking for the sector.
    let refused = sectors.winning(with(&token, winning)).await;
    assert_eq!(code(refused).0, Code::NotFound);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_outlive_a_rotation_by_the_overlap_and_can_be_renewed() {
    let alone = Alone::start().await;
    alone.add_user("acme").await;
    let (number, old) = alone.token("acme", "read").await;
    let rotate = wire::RotateSecretRequest { id: None, overlap_seconds: 3_600 };
    let secret = alone.auth().rotate_secret(local(rotate)).await.unwrap().into_inner().secret;
    assert_eq!(secret, 2);
    alone.list(&old).await.unwrap();
    let renew = local(wire::TokenRequest { id: None, token: number });
    let renewed = alone.auth().renew_token(renew).await.unwrap().into_inner().text;
    assert_ne!(renewed, old);
    alone.list(&renewed).await.unwrap();
    let tokens = local(wire::ListTokensRequest { user: String::new() });
    let tokens = alone.auth().list_tokens(tokens).await.unwrap().into_inner().tokens;
    assert_eq!(tokens[0].secret, 2);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_altered_tokens_are_refused() {
    let (alone, other) = (Alone::start().await, Alone::start().await);
    for cluster in [&alone, &other] {
        cluster.add_user("acme").await;
    }
    let (_, foreign) = other.token("acme", "admin").await;
    let (_, mut own) = alone.token("acme", "admin").await;
    assert_eq!(code(alone.list(&foreign).await).0, Code::Unauthenticated);
    let payload = own.split('.').nth(1).unwrap().to_owned();
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    assert_eq!(code(alone.list(&none).await).0, Code::Unauthenticated);
    let last = own.pop().unwrap();
    own.push(if last == 'A' { 'Q' } else { 'A' });
    assert_eq!(code(alone.list(&own).await).0, Code::Unauthenticated);
    alone.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_answers_reads_only() {
    let mut alone = Alone::start().await;
    alone.add_user("acme").await;
    let (_, token) = alone.token("acme", "write").await;
    alone.submit(&token).await.unwrap();
    // The task that confirms the leader stops, and time passes.
    let confirm = alone.tasks.remove(1);
    confirm.abort();
    let _ = confirm.await;
    let long_ago = Instant::now().checked_sub(FRESH_MAX + Duration::from_millis(1));
    *alone.node.auth.confirmed.lock() = long_ago;
    let (refused, words) = code(alone.submit(&token).await);
    assert_eq!(refused, Code::Unavailable);
    assert!(words.contains("reads only"), "{words}");
    assert_eq!(alone.list(&token).await.unwrap().len(), 1);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_socket_administers_and_is_audited_and_owns_nothing() {
    let alone = Alone::start().await;
    let whoami = alone.auth().who_am_i(local(wire::WhoAmIRequest {})).await.unwrap().into_inner();
    assert_eq!((whoami.permission.as_str(), whoami.user.as_str()), ("admin", ""));
    assert_eq!(whoami.name, format!("local:{}", crate::node::local::own_uid()));
    alone.add_user("acme").await;
    let spec = job_wire::JobSpec { program: "/bin/true".to_owned(), ..Default::default() };
    let request = local(job_wire::SubmitRequest { id: None, spec: Some(spec) });
    assert_eq!(code(alone.jobs().submit(request).await).0, Code::FailedPrecondition);
    let rows = local(wire::ListAuditRequest::default());
    let rows = alone.auth().list_audit(rows).await.unwrap().into_inner().rows;
    assert!(
        rows.iter().any(|row| row.who == whoami.name && row.subject.contains("acme")),
        "{rows:?}"
    );
    // A socket whose other end is unknown serves nobody.
    let mut request = Request::new(wire::WhoAmIRequest {});
    request.extensions_mut().insert(UdsConnectInfo { peer_addr: None, peer_cred: None });
    assert_eq!(code(alone.auth().who_am_i(request).await).0, Code::Unauthenticated);
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_of_tokens_are_recorded() {
    let alone = Alone::start().await;
    alone.add_user("acme").await;
    let (number, token) = alone.token("acme", "read").await;
    alone.list(&token).await.unwrap();
    until(&alone.node, || async {
        alone.node.read(|machine| {
            machine.auth.token(number).is_some_and(|row| row.last_used_ms.is_some())
        })
    })
    .await;
    alone.stop().await;
}

fn with_header(value: &str) -> Request<()> {
    let mut request = Request::new(());
    request.metadata_mut().insert("authorization", value.parse().unwrap());
    request
}

#[test]
fn only_bearer_tokens_are_taken_from_the_header() {
    assert_eq!(bearer(&Request::new(())).unwrap(), None);
    assert_eq!(bearer(&with_header("Bearer abc")).unwrap(), Some("abc"));
    assert_eq!(bearer(&with_header("bearer  abc ")).unwrap(), Some("abc"));
    for bad in ["abc", "Basic abc", "Bearer ", "Bearer"] {
        let status = bearer(&with_header(bad)).unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated, "{bad}");
    }
}
