//! **Purpose**: starts whole clusters of real `hesper` processes on loopback, for the demo and the
//! end-to-end tests.
//!
//! **Invariants**
//! - Every process that was started is ended by its own id when the cluster is dropped, supervisors
//!   and their children included.
//! - Everything lies below one directory, which goes with the cluster.

mod process;
mod wallet;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use hesper::client::Client;
use hesper::config;
use hesper_protos::cluster::StatusReply;
use hesper_protos::job::{Task, TasksRequest};

pub use process::Process;
pub use wallet::Wallet;

/// How long anything that only has to come up may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// One node of the cluster.
pub struct Node {
    pub name: String,
    pub dir: Utf8PathBuf,
    pub address: String,
    process: Option<Process>,
}

/// One executor of the cluster.
pub struct Executor {
    pub name: String,
    pub dir: Utf8PathBuf,
    flags: Vec<String>,
    process: Option<Process>,
}

/// Nodes and executors as separate processes.
pub struct Cluster {
    pub dir: Utf8PathBuf,
    pub nodes: Vec<Node>,
    pub executors: Vec<Executor>,
    /// Settings of every node, as flags of `hesper node run`.
    node_flags: Vec<String>,
    binary: PathBuf,
    keep: bool,
    _scratch: Option<tempfile::TempDir>,
}

/// The `hesper` binary: `$HESPER`, or the one beside this program.
///
/// # Errors
/// It has not been built.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("HESPER") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let built =
        own.ancestors().skip(1).take(3).map(|dir| dir.join("hesper")).find(|path| path.is_file());
    built.context("the hesper binary is not built; run `cargo build --release -p hesper`")
}

/// A loopback port that was free a moment ago.
///
/// # Errors
/// The system has none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Cluster {
    /// Starts `nodes` nodes in a directory that goes with the cluster.
    ///
    /// # Errors
    /// A process did not come up; its last log lines are in the message.
    pub async fn start(nodes: usize) -> anyhow::Result<Self> {
        Self::start_with(nodes, &[]).await
    }

    /// As [`Cluster::start`], with more flags for every `hesper node run`.
    ///
    /// # Errors
    /// A process did not come up.
    pub async fn start_with(nodes: usize, node_flags: &[&str]) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("hesper-").tempdir()?;
        let dir = Utf8PathBuf::try_from(scratch.path().to_owned())?;
        let mut cluster = Self {
            dir,
            nodes: Vec::new(),
            executors: Vec::new(),
            node_flags: node_flags.iter().map(|flag| (*flag).to_owned()).collect(),
            binary: binary()?,
            keep: std::env::var_os("HESPER_KEEP").is_some(),
            _scratch: Some(scratch),
        };
        cluster.found()?;
        cluster.wait_for_leader().await?;
        for _ in 1..nodes {
            cluster.add_node().await?;
        }
        Ok(cluster)
    }

    fn found(&mut self) -> anyhow::Result<()> {
        let name = "n1".to_owned();
        let dir = self.dir.join(&name);
        let address = format!("127.0.0.1:{}", free_port()?);
        self.run(&[
            "node",
            "init",
            "--data-dir",
            dir.as_str(),
            "--name",
            &name,
            "--listen",
            &address,
            "--owner",
            "demo",
        ])?;
        self.nodes.push(Node { name, dir, address, process: None });
        self.start_node(0)
    }

    /// Adds a node with a one-time token and waits until it votes.
    ///
    /// # Errors
    /// It was not taken in, in time.
    pub async fn add_node(&mut self) -> anyhow::Result<usize> {
        let at = self.nodes.len();
        let name = format!("n{}", at + 1);
        let dir = self.dir.join(&name);
        let address = format!("127.0.0.1:{}", free_port()?);
        let token = self.token("node", "")?;
        self.run(&[
            "node",
            "join",
            "--data-dir",
            dir.as_str(),
            "--name",
            &name,
            "--listen",
            &address,
            &token,
        ])?;
        self.nodes.push(Node { name, dir, address, process: None });
        self.start_node(at)?;
        let want = self.nodes.len();
        wait_until("the new node votes", PATIENCE, async || {
            let status = self.status().await?;
            Ok((status.nodes.iter().filter(|node| node.voter).count() >= want).then_some(()))
        })
        .await
        .with_context(|| self.log_tail(&self.nodes[at].dir))?;
        Ok(at)
    }

    /// A one-time token, by the command line.
    ///
    /// # Errors
    /// The cluster refused.
    pub fn token(&self, role: &str, owner: &str) -> anyhow::Result<String> {
        let mut arguments = vec!["--output", "json", "node", "token", "--role", role];
        if !owner.is_empty() {
            arguments.extend(["--owner", owner]);
        }
        let shown: serde_json::Value = serde_json::from_str(&self.run(&arguments)?)?;
        Ok(shown["token"].as_str().context("no token in the answer")?.to_owned())
    }

    /// Starts (again) a node that is not running.
    ///
    /// # Errors
    /// The process could not be started.
    pub fn start_node(&mut self, at: usize) -> anyhow::Result<()> {
        let node = &self.nodes[at];
        let mut arguments: Vec<&str> =
            vec!["node", "run", "--data-dir", node.dir.as_str(), "--http", "off"];
        arguments.extend(self.node_flags.iter().map(String::as_str));
        let process = Process::start(&self.binary, &arguments, &node.dir.join("log.txt"))?;
        self.nodes[at].process = Some(process);
        Ok(())
    }

    /// Ends a node with SIGKILL.
    pub fn kill_node(&mut self, at: usize) {
        self.nodes[at].process = None;
    }

    /// Asks a node to stop, and waits.
    ///
    /// # Errors
    /// It did not stop in time.
    pub fn stop_node(&mut self, at: usize) -> anyhow::Result<()> {
        match self.nodes[at].process.take() {
            Some(process) => process.stop(PATIENCE),
            None => Ok(()),
        }
    }

    /// The process of a running node.
    pub fn node_process(&self, at: usize) -> Option<&Process> {
        self.nodes[at].process.as_ref()
    }

    /// Enrols and starts an executor, and waits until it is connected.
    ///
    /// # Errors
    /// It did not connect in time.
    pub async fn add_executor(&mut self, name: &str, flags: &[&str]) -> anyhow::Result<()> {
        let dir = self.dir.join(name);
        let token = self.token("executor", "")?;
        self.run(&["executor", "join", "--data-dir", dir.as_str(), "--name", name, &token])?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut all = vec!["--listen".to_owned(), address, "--http".to_owned(), "off".to_owned()];
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self.executors.push(Executor { name: name.to_owned(), dir, flags: all, process: None });
        let at = self.executors.len() - 1;
        self.start_executor(at)?;
        self.wait_connected(name).await.with_context(|| self.log_tail(&self.executors[at].dir))
    }

    /// Starts (again) an executor that is not running.
    ///
    /// # Errors
    /// The process could not be started.
    pub fn start_executor(&mut self, at: usize) -> anyhow::Result<()> {
        let executor = &self.executors[at];
        let mut arguments = vec!["executor", "run", "--data-dir", executor.dir.as_str()];
        arguments.extend(executor.flags.iter().map(String::as_str));
        let process = Process::start(&self.binary, &arguments, &executor.dir.join("log.txt"))?;
        self.executors[at].process = Some(process);
        Ok(())
    }

    /// Ends the agent with SIGKILL; its supervisor and their children run on.
    pub fn kill_agent(&mut self, at: usize) {
        self.executors[at].process = None;
    }

    /// Ends agent, supervisor and children, as when the machine loses power.
    pub fn kill_executor(&mut self, at: usize) {
        self.executors[at].process = None;
        end_supervisor(&self.executors[at].dir);
    }

    /// Waits until an executor is connected.
    ///
    /// # Errors
    /// It was not, in time.
    pub async fn wait_connected(&self, name: &str) -> anyhow::Result<()> {
        let client = self.client()?;
        wait_until(&format!("executor {name} is connected"), PATIENCE, async || {
            let executors = client.executors(name).await.unwrap_or_default();
            Ok(executors.iter().any(|it| it.liveness == "connected").then_some(()))
        })
        .await
    }

    /// A client as an operator has it, that knows every node.
    ///
    /// # Errors
    /// The identity cannot be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        let nodes = self.nodes.iter().map(|node| node.address.clone()).collect();
        self.client_of(nodes)
    }

    /// A client that knows only these nodes.
    ///
    /// # Errors
    /// The identity cannot be read.
    pub fn client_of(&self, nodes: Vec<String>) -> anyhow::Result<Client> {
        Ok(Client::connect(&config::Client {
            nodes,
            identity: self.nodes[0].dir.join("client"),
            token_file: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: PATIENCE,
        })?)
    }

    /// Runs a command line as an operator and returns what it printed.
    ///
    /// # Errors
    /// It failed; its error text is in the message.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let (code, out, err) = self.try_run(arguments)?;
        if code != 0 {
            bail!("`hesper {}` ended with {code}: {err}{out}", arguments.join(" "));
        }
        Ok(out)
    }

    /// Runs a command line as an operator: exit code, standard output, standard error.
    ///
    /// # Errors
    /// It could not be started.
    pub fn try_run(&self, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
        let mut command = std::process::Command::new(&self.binary);
        command.args(arguments).env_remove("HESPER_CONFIG");
        if let Some(node) = self.nodes.first() {
            let nodes: Vec<&str> = self.nodes.iter().map(|node| node.address.as_str()).collect();
            let settings =
                format!("nodes = {nodes:?}\nidentity = {:?}\n", node.dir.join("client").as_str());
            let file = self.dir.join("client.toml");
            std::fs::write(&file, settings)?;
            command.env("HESPER_CONFIG", file.as_str());
        }
        let output = command.output().context("could not start hesper")?;
        Ok((
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    /// The status as any answering node tells it.
    ///
    /// # Errors
    /// No node answers.
    pub async fn status(&self) -> anyhow::Result<StatusReply> {
        Ok(self.client()?.status(false).await?)
    }

    /// Position of the established leader.
    ///
    /// # Errors
    /// There was none in time.
    pub async fn wait_for_leader(&self) -> anyhow::Result<usize> {
        wait_until("the cluster has a leader", PATIENCE, async || {
            for (at, node) in self.nodes.iter().enumerate() {
                if node.process.is_none() {
                    continue;
                }
                let client = self.client_of(vec![node.address.clone()])?;
                let client = client.with_request_timeout(Duration::from_secs(1))?;
                if client.status(false).await.is_ok_and(|status| status.established) {
                    return Ok(Some(at));
                }
            }
            Ok(None)
        })
        .await
    }

    /// All tasks of a job.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn tasks(&self, job: u64) -> anyhow::Result<Vec<Task>> {
        let request = TasksRequest { job, from: 0, limit: 1_000, state: String::new() };
        Ok(self.client()?.tasks(request).await?.tasks)
    }

    /// Waits until a task is in one of these states, and returns it.
    ///
    /// # Errors
    /// It was not, in time.
    pub async fn wait_task(
        &self,
        job: u64,
        stage: &str,
        states: &[&str],
        patience: Duration,
    ) -> anyhow::Result<Task> {
        wait_until(
            &format!("{stage} of job {job} is {}", states.join(" or ")),
            patience,
            async || {
                let tasks = self.tasks(job).await.unwrap_or_default();
                let task = tasks.into_iter().find(|task| task.stage == stage);
                if let Some(task) = &task
                    && task.state == "failed"
                    && !states.contains(&"failed")
                {
                    bail!("{stage} failed: {}", task.message);
                }
                Ok(task.filter(|task| states.contains(&task.state.as_str())))
            },
        )
        .await
    }

    /// The last lines of a process's log.
    pub fn log_tail(&self, dir: &Utf8Path) -> String {
        let text = std::fs::read_to_string(dir.join("log.txt")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("log of {dir}:\n{}", lines[lines.len().saturating_sub(25)..].join("\n"))
    }
}

fn end_supervisor(dir: &Utf8Path) {
    if let Err(error) = hesper_executor::supervisor::stop(dir) {
        eprintln!("could not end the supervisor in {dir}: {error}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for executor in &mut self.executors {
            executor.process = None;
            end_supervisor(&executor.dir);
        }
        for node in &mut self.nodes {
            node.process = None;
        }
        if self.keep {
            eprintln!("kept: {}", self.dir);
            std::mem::forget(self._scratch.take());
        }
    }
}

/// Looks again and again until there is a value.
///
/// # Errors
/// The look itself failed, or there was none in time.
pub async fn wait_until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = look().await? {
            return Ok(value);
        }
        if started.elapsed() > patience {
            bail!("waited {} s in vain until {what}", patience.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
