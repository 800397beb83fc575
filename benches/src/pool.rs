//! **Purpose**: our side: a cluster of real `hesper` processes with the settings that ship.
//!
//! **Invariants**: nothing is configured but names, addresses, directories and resources; clients
//! speak the public services over mutual TLS.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hesper_protos::cluster::cluster_client::ClusterClient;
use hesper_protos::cluster::{ListExecutorsRequest, StatusReply, StatusRequest};
use tonic::transport::{Channel, ClientTlsConfig};

use crate::procs::{self, Proc};
use crate::{tools, wire};

const START_LIMIT: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(20);

struct Node {
    name: String,
    address: String,
    /// Where metrics are served.
    http: String,
    data: PathBuf,
    proc: Option<Proc>,
}

pub struct Pool {
    hesper: PathBuf,
    dir: PathBuf,
    nodes: Vec<Node>,
    tls: ClientTlsConfig,
}

/// How an executor runs its tasks.
#[derive(Clone, Copy)]
pub enum Runner {
    Process,
    /// Tasks end at once: everything but the process is real.
    NoOp,
}

impl Pool {
    /// Founds a cluster and joins the other nodes to it; returns when all vote and a leader leads.
    pub async fn start(hesper: &Path, dir: &Path, size: usize) -> Result<Pool> {
        let ports = tools::free_ports(2 * size)?;
        let mut nodes: Vec<Node> = ports
            .chunks_exact(2)
            .enumerate()
            .map(|(at, ports)| Node {
                name: format!("n{at}"),
                address: format!("127.0.0.1:{}", ports[0]),
                http: format!("127.0.0.1:{}", ports[1]),
                data: dir.join(format!("n{at}")),
                proc: None,
            })
            .collect();
        let (founder, others) =
            nodes.split_first_mut().context("a cluster has at least one node")?;
        command(hesper, &["node", "init"], &founder.place())?;
        founder.run(hesper, dir, &[])?;
        let client_dir = founder.data.join("client");
        let mut pool = Pool {
            hesper: hesper.to_owned(),
            dir: dir.to_owned(),
            nodes: Vec::new(),
            tls: wire::client_tls(&client_dir)?,
        };
        pool.wait_ready(founder, 1).await?;
        for (joined, node) in others.iter_mut().enumerate() {
            let token = token(hesper, &client_dir, "node", &node.name)?;
            let mut args = node.place();
            args.extend(["--token".into(), token.into()]);
            command(hesper, &["node", "join"], &args)?;
            node.run(hesper, dir, &[])?;
            pool.wait_ready(founder, joined + 2).await?;
        }
        pool.nodes = nodes;
        pool.leader().await?;
        Ok(pool)
    }

    async fn wait_ready(&self, founder: &mut Node, voters: usize) -> Result<()> {
        let limit = Instant::now() + START_LIMIT;
        loop {
            founder.require_running()?;
            let problem = match self.ask(&founder.address).await {
                Ok(status) => {
                    let voting = status.nodes.iter().filter(|node| node.voter).count();
                    if status.established && voting >= voters {
                        return Ok(());
                    }
                    format!("{voting} of {voters} nodes vote, established: {}", status.established)
                }
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > limit {
                bail!(
                    "the cluster is not ready after {START_LIMIT:?} ({problem}); logs are in {}",
                    self.dir.display()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ask(&self, address: &str) -> Result<StatusReply> {
        let channel = wire::channel(address, Some(&self.tls))?;
        let reply =
            ClusterClient::new(channel).status(StatusRequest { linearizable: false }).await?;
        Ok(reply.into_inner())
    }

    pub async fn status(&self, at: usize) -> Result<StatusReply> {
        self.ask(&self.node(at)?.address).await
    }

    /// The position of the node that leads and knows it.
    pub async fn leader(&self) -> Result<usize> {
        let limit = Instant::now() + START_LIMIT;
        loop {
            for at in 0..self.nodes.len() {
                let leads = self.status(at).await.is_ok_and(|status| {
                    status.established
                        && status.leader_id != 0
                        && status.leader_id == status.node_id
                });
                if leads {
                    return Ok(at);
                }
            }
            ensure!(Instant::now() < limit, "no node leads; logs are in {}", self.dir.display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A node that does not lead.
    pub async fn follower(&self) -> Result<usize> {
        let leader = self.leader().await?;
        (0..self.nodes.len()).find(|at| *at != leader).context("a cluster of one has no follower")
    }

    /// Every node has applied what the leader has.
    pub async fn settle(&self) -> Result<()> {
        let limit = Instant::now() + START_LIMIT;
        let goal = self.status(self.leader().await?).await?.applied_index;
        for at in 0..self.nodes.len() {
            while self.status(at).await?.applied_index < goal {
                ensure!(Instant::now() < limit, "node {at} does not catch up");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    pub fn channel(&self, at: usize) -> Result<Channel> {
        wire::channel(&self.node(at)?.address, Some(&self.tls))
    }

    /// Channels for so many load clients, shared as a peer's clients share theirs.
    pub fn channels(&self, at: usize, clients: usize) -> Result<Vec<Channel>> {
        wire::channels(&self.node(at)?.address, Some(&self.tls), clients)
    }

    /// Where the first node's own certificate lies.
    pub fn node_identity(&self) -> Result<PathBuf> {
        Ok(self.node(0)?.data.join("identity"))
    }

    /// Where the operator's certificate lies.
    pub fn client_identity(&self) -> Result<PathBuf> {
        Ok(self.node(0)?.data.join("client"))
    }

    /// A one-time token of `role` for the one named `name`.
    pub fn token(&self, role: &str, name: &str) -> Result<String> {
        token(&self.hesper, &self.client_identity()?, role, name)
    }

    pub fn address(&self, at: usize) -> Result<String> {
        Ok(self.node(at)?.address.clone())
    }

    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    fn node(&self, at: usize) -> Result<&Node> {
        self.nodes.get(at).with_context(|| format!("there is no node {at}"))
    }

    /// Enrols and starts an executor; returns when the cluster counts it as connected.
    pub async fn executor(&self, name: &str, cores: u32, runner: Runner) -> Result<Executor> {
        let client_dir = self.node(0)?.data.join("client");
        let data = self.dir.join(name);
        let token = token(&self.hesper, &client_dir, "executor", name)?;
        let place =
            [OsString::from("--data-dir"), data.clone().into(), "--name".into(), name.into()];
        let mut join = place.to_vec();
        join.extend(["--token".into(), token.into()]);
        command(&self.hesper, &["executor", "join"], &join)?;
        let ports = tools::free_ports(2)?;
        let mut args = vec![OsString::from("executor"), "run".into()];
        args.extend(place);
        args.extend(["--listen".into(), format!("127.0.0.1:{}", ports[0]).into()]);
        args.extend(["--http".into(), format!("127.0.0.1:{}", ports[1]).into()]);
        args.extend(["--cores".into(), cores.to_string().into()]);
        if let Runner::NoOp = runner {
            args.extend(["--runner".into(), "noop".into()]);
        }
        let mut executor = Executor { proc: Proc::start(name, &self.hesper, args, &self.dir)? };
        let limit = Instant::now() + START_LIMIT;
        while !self.is_connected(name).await? {
            executor.proc.require_running()?;
            ensure!(
                Instant::now() < limit,
                "executor {name} does not connect; see {}",
                executor.proc.log.display()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(executor)
    }

    async fn is_connected(&self, name: &str) -> Result<bool> {
        let channel = self.channel(self.leader().await?)?;
        // All of them: to ask for one that is not there yet is an error.
        let request = ListExecutorsRequest::default();
        let reply = ClusterClient::new(channel).list_executors(request).await?.into_inner();
        Ok(reply
            .executors
            .iter()
            .any(|executor| executor.name == name && executor.liveness == "connected"))
    }

    /// Ends one node and starts it again with further `settings`; returns when it has caught up.
    pub async fn restart(&mut self, at: usize, settings: &[&str]) -> Result<()> {
        let (hesper, dir) = (self.hesper.clone(), self.dir.clone());
        let node = self.nodes.get_mut(at).with_context(|| format!("there is no node {at}"))?;
        if let Some(mut proc) = node.proc.take() {
            tokio::task::block_in_place(|| proc.stop(GRACE));
        }
        node.run(&hesper, &dir, settings)?;
        let limit = Instant::now() + START_LIMIT;
        while !self.status(at).await.is_ok_and(|status| status.leader_id != 0) {
            ensure!(
                Instant::now() < limit,
                "node {at} does not come back; logs are in {}",
                self.dir.display()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.settle().await
    }

    /// Peak resident memory of each node in MiB, since it was last started.
    pub fn peaks_mib(&self) -> Result<Vec<f64>> {
        self.nodes
            .iter()
            .filter_map(|node| node.proc.as_ref())
            .map(|proc| Ok(procs::peak_rss_kib(proc.pid()?)? as f64 / 1024.0))
            .collect()
    }

    /// The processes of all nodes.
    pub fn tree(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| node.proc.as_ref()).flat_map(Proc::tree).collect()
    }
}

impl Node {
    fn place(&self) -> Vec<OsString> {
        vec![
            "--data-dir".into(),
            self.data.clone().into(),
            "--name".into(),
            self.name.clone().into(),
            "--listen".into(),
            self.address.clone().into(),
            "--http".into(),
            self.http.clone().into(),
        ]
    }

    fn run(&mut self, hesper: &Path, dir: &Path, settings: &[&str]) -> Result<()> {
        // What `init` and `join` were told stands in the configuration that they wrote.
        let mut args: Vec<OsString> =
            vec!["node".into(), "run".into(), "--data-dir".into(), self.data.clone().into()];
        args.extend(settings.iter().map(OsString::from));
        self.proc = Some(Proc::start(&self.name, hesper, args, dir)?);
        Ok(())
    }

    fn require_running(&mut self) -> Result<()> {
        self.proc.as_mut().map_or(Ok(()), Proc::require_running)
    }
}

pub struct Executor {
    proc: Proc,
}

impl Executor {
    /// Agent and supervisor with what they have started.
    pub fn tree(&self) -> Vec<u32> {
        self.proc.tree()
    }

    /// Peak resident memory of agent and supervisor together in MiB, without their children's.
    pub fn peak_mib(&self) -> Result<f64> {
        let agent = self.proc.pid()?;
        // What the agent starts is the supervisor; tasks are the supervisor's children.
        let supervisors = procs::children(agent);
        let kib: u64 = std::iter::once(agent)
            .chain(supervisors)
            .map(procs::peak_rss_kib)
            .collect::<Result<Vec<u64>>>()?
            .into_iter()
            .sum();
        Ok(kib as f64 / 1024.0)
    }

    pub fn stop(mut self) {
        tokio::task::block_in_place(|| self.proc.stop(GRACE));
    }
}

fn client_args(client_dir: &Path) -> Vec<OsString> {
    vec!["--config".into(), client_dir.join("client.toml").into(), "--output".into(), "json".into()]
}

fn token(hesper: &Path, client_dir: &Path, role: &str, name: &str) -> Result<String> {
    let mut args = client_args(client_dir);
    args.extend(["--role".into(), role.into(), "--name".into(), name.into()]);
    parse_token(&command(hesper, &["node", "token"], &args)?)
}

fn parse_token(json: &str) -> Result<String> {
    let value: serde_json::Value =
        serde_json::from_str(json).context("`hesper node token` printed no JSON")?;
    let token = value.get("token").and_then(serde_json::Value::as_str);
    Ok(token.context("`hesper node token` printed no token")?.to_owned())
}

pub fn command(hesper: &Path, verb: &[&str], args: &[OsString]) -> Result<String> {
    let out = Command::new(hesper)
        .args(verb)
        .args(args)
        .output()
        .with_context(|| format!("could not run `{}`", hesper.display()))?;
    if !out.status.success() {
        bail!(
            "`hesper {}` failed ({}): {}",
            verb.join(" "),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_token_of_a_json_answer() {
        assert_eq!(
            parse_token("{\"token\":\"hesper1.x\",\"expires_at_ms\":1}").expect("token"),
            "hesper1.x"
        );
        assert!(parse_token("hesper1.x").is_err());
        assert!(parse_token("{}").is_err());
    }

    #[test]
    fn a_failed_command_shows_what_it_said() {
        let error =
            command(Path::new("/bin/sh"), &["-c"], &["echo no such thing >&2; exit 4".into()])
                .expect_err("failed")
                .to_string();
        assert!(error.contains("no such thing"));
    }
}
