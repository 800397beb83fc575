//! **Purpose**: what this process can be: node, executor, both, or the child of an executor.
//!
//! The command line calls nothing else of the product; each function here turns a configuration
//! into the call of the crate that does the work.

mod wallet;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use hesper_executor::{Connect, ConnectError, GpuLimit, Metrics};
use hesper_proofs::SealProof;
use hesper_proofs::params;
use tonic::transport::Channel;

use crate::config;
use crate::http;
use crate::identity::{
    Authority, Expect, Founding, Identity, NodeCard, Role, Subject, client_tls, dirs, endpoint,
    found_cluster, server_tls,
};
use crate::shutdown::Shutdown;

pub use wallet::{network, open_wallet, wallet, wallet_service};

/// Room that stays free on the disc of `hesper up`.
const UP_RESERVE_BYTES: u64 = 1 << 30;

/// Runs a pool node.
///
/// # Errors
/// When it cannot start, or an error of log or state stopped it.
pub async fn node(config: config::Node, shutdown: Shutdown) -> anyhow::Result<()> {
    crate::node::run(config, shutdown).await
}

/// Runs an executor.
///
/// # Errors
/// When it cannot start, or the cluster refuses it.
pub async fn executor(config: config::Executor, shutdown: Shutdown) -> anyhow::Result<()> {
    let identity = Identity::load(&dirs::identity(&config.data_dir))?;
    run_executor(config, identity, shutdown).await
}

/// Runs one node and one executor in this process, founding the cluster at the first start.
///
/// # Errors
/// When either cannot start or stops by itself.
pub async fn up(config: config::Up, shutdown: Shutdown) -> anyhow::Result<()> {
    let node_dir = config.data_dir.clone();
    let executor_dir = config.data_dir.join("executor");
    let address = config.listen.to_string();
    if !NodeCard::exists(&node_dir) {
        found_cluster(&Founding {
            data_dir: &node_dir,
            name: "local",
            owner: "local",
            address: &address,
        })?;
        eprintln!("a new cluster lives in {node_dir}");
    }
    // Apart from the founding, which a kill may have cut off from this.
    let own = dirs::identity(&executor_dir);
    if !Identity::exists(&own) {
        let subject = Subject::new("local", "local", Role::Executor)?;
        Authority::load(&dirs::authority(&node_dir))?.issue(&subject)?.store(&own)?;
    }
    eprintln!("use it with: export HESPER_CONFIG={}/client.toml", dirs::client(&node_dir));
    let node_overrides = [
        ("data_dir", node_dir.to_string()),
        ("name", "local".to_owned()),
        ("listen", address.clone()),
        ("http", config.http.map_or_else(|| "off".to_owned(), |http| http.to_string())),
    ];
    let node = config::Node::load(None, &node_overrides)?;
    let executor = up_executor(&config, executor_dir, address)?;
    tokio::try_join!(self::node(node, shutdown.clone()), self::executor(executor, shutdown))?;
    Ok(())
}

fn up_executor(
    config: &config::Up,
    data_dir: Utf8PathBuf,
    node: String,
) -> anyhow::Result<config::Executor> {
    let mut overrides = vec![
        ("data_dir", data_dir.to_string()),
        ("name", "local".to_owned()),
        ("nodes", node),
        ("listen", config.executor_listen.to_string()),
        ("http", config.executor_http.map_or_else(|| "off".to_owned(), |http| http.to_string())),
        ("parameter_cache", config.parameter_cache.to_string()),
        ("make_parameters", "yes".to_owned()),
    ];
    if let Some(cores) = config.cores {
        overrides.push(("cores", cores.to_string()));
    }
    if let Some(memory) = config.memory {
        overrides.push(("memory", format!("{memory}B")));
    }
    Ok(config::Executor::load(None, &overrides)?)
}

/// Dials nodes and other executors with this executor's certificate.
struct Dialler {
    identity: Identity,
}

impl Connect for Dialler {
    fn connect(&self, address: &str) -> Result<Channel, ConnectError> {
        endpoint(address, &client_tls(&self.identity, Expect::Any))
            .map(|endpoint| endpoint.connect_lazy())
            .map_err(|error| ConnectError {
                address: address.to_owned(),
                reason: error.to_string(),
            })
    }
}

async fn run_executor(
    config: config::Executor,
    identity: Identity,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let http = serve_metrics(&metrics, config.http, shutdown.clone()).await?;
    let tls = server_tls(&identity);
    let settings = executor_settings(config)?;
    let result = hesper_executor::run(
        settings,
        Arc::new(Dialler { identity }),
        Some(tls),
        shutdown,
        metrics,
    )
    .await;
    if let Some(http) = http {
        http.abort();
    }
    Ok(result?)
}

async fn serve_metrics(
    metrics: &Arc<Metrics>,
    listen: Option<SocketAddr>,
    shutdown: Shutdown,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(listen) = listen else { return Ok(None) };
    let server = http::Server::bind(listen)
        .await
        .with_context(|| format!("could not serve metrics on {listen}"))?;
    let metrics = Arc::clone(metrics);
    let health = Arc::new(|| http::Health { problems: Vec::new() });
    let text = Arc::new(move || metrics.render());
    Ok(Some(tokio::spawn(async move {
        if let Err(error) = server.run(health, text, shutdown).await {
            tracing::warn!(%error, "metrics are no longer served");
        }
    })))
}

/// The configuration in the executor crate's own words.
fn executor_settings(config: config::Executor) -> anyhow::Result<hesper_executor::Config> {
    let own = std::env::current_exe().context("could not find the path of this program")?;
    let command = |verb: &str| vec![own.clone().into_os_string(), OsString::from(verb)];
    let mut settings = hesper_executor::Config::new(&config.name, &config.data_dir);
    settings.nodes = config.nodes;
    settings.listen = config.listen;
    settings.transfer_address = config.transfer_address;
    settings.resources.cores = config.cores;
    settings.resources.memory_bytes = config.memory;
    settings.resources.gpus = config.gpus.map(gpu_limits);
    settings.resources.named = config.resources;
    settings.paths = paths(&config.data_dir, config.paths);
    settings.kernel_command = command("kernel");
    if config.make_parameters {
        settings
            .kernel_command
            .extend(["--make-parameters".into(), config.parameter_cache.as_str().into()]);
    }
    settings.supervisor_command = command("supervise");
    settings.transfer_bytes_per_second = config.transfer_rate;
    settings.runner = match config.runner {
        config::Runner::Process => hesper_executor::Runner::Process,
        config::Runner::NoOp => hesper_executor::Runner::NoOp,
    };
    std::fs::create_dir_all(&config.parameter_cache)
        .with_context(|| format!("could not make `{}`", config.parameter_cache))?;
    settings.env = params::child_env(config.parameter_cache.as_std_path(), None);
    settings.verifying_key_digests = verifying_key_digests(&config.parameter_cache);
    Ok(settings)
}

fn gpu_limits(count: u32) -> Vec<GpuLimit> {
    (0..count).map(|device| GpuLimit { device, model: String::new(), memory_bytes: 0 }).collect()
}

/// The configured paths; without any, one below the data directory serves for everything.
fn paths(
    data_dir: &Utf8Path,
    configured: Vec<config::StoragePath>,
) -> Vec<hesper_executor::PathConfig> {
    use config::PathRole;
    use hesper_executor::PathRole as Role;
    if configured.is_empty() {
        return vec![hesper_executor::PathConfig {
            id: "default".to_owned(),
            role: Role::Seal,
            dir: data_dir.join("storage"),
            reserve_bytes: UP_RESERVE_BYTES,
            capacity_bytes: None,
        }];
    }
    configured
        .into_iter()
        .map(|path| hesper_executor::PathConfig {
            id: path.id,
            role: match path.role {
                PathRole::Seal | PathRole::Both => Role::Seal,
                PathRole::Store => Role::Store,
            },
            dir: path.dir,
            reserve_bytes: path.reserve,
            capacity_bytes: path.capacity,
        })
        .collect()
}

/// Digests of the verifying keys that are there; a proof type without parameters has none.
fn verifying_key_digests(parameters: &Utf8Path) -> BTreeMap<String, String> {
    SealProof::ALL
        .into_iter()
        .filter_map(|proof| {
            let digest = params::verifying_key_digest(parameters.as_std_path(), proof).ok()?;
            Some((proof.to_string(), digest))
        })
        .collect()
}

/// Where proof parameters lie unless something else is configured.
///
/// # Errors
/// Neither a cache directory nor a home directory is known.
pub fn parameter_cache() -> anyhow::Result<Utf8PathBuf> {
    let dir = params::default_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
        .context("no directory for proof parameters: set HOME or XDG_CACHE_HOME")?;
    utf8(dir)
}

fn utf8(path: PathBuf) -> anyhow::Result<Utf8PathBuf> {
    Utf8PathBuf::try_from(path).context("the path is not UTF-8")
}

/// Runs one stage, or PC1 of several sectors in lockstep, as the child of an executor.
pub fn kernel(orders: &[Utf8PathBuf], make_parameters: Option<&Utf8Path>) -> ExitCode {
    // Only stages that run alone need parameters.
    if let (Some(dir), [order]) = (make_parameters, orders) {
        // A failure is reported by the stage itself, which misses them.
        if let Err(error) = crate::parameters::make_for_order(order, dir) {
            eprintln!("could not make parameters: {error:#}");
        }
    }
    let orders: Vec<PathBuf> = orders.iter().map(|order| order.as_std_path().into()).collect();
    exit_code(hesper_proofs::stage::child_main(&orders))
}

/// Keeps the children of an executor.
pub fn supervise(dir: &Utf8Path) -> ExitCode {
    hesper_executor::supervisor::run(dir)
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Measures a kernel and prints one JSON object.
pub fn kernel_bench(name: &str, scratch: Option<&Utf8Path>) -> ExitCode {
    let measured = match name {
        "sdr" => measure_sdr(scratch),
        other => Err(anyhow::anyhow!("there is no measurement `{other}`; known: sdr")),
    };
    match measured {
        Ok(nanoseconds) => {
            println!("{{\"ns_per_label\":{nanoseconds:.1}}}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("could not measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_sdr(scratch: Option<&Utf8Path>) -> anyhow::Result<f64> {
    let scratch = scratch.context("--scratch names a directory for layers of 8 MiB")?;
    std::fs::create_dir_all(scratch)?;
    hesper_proofs::bench::sdr_ns_per_label(scratch.as_std_path())
}
