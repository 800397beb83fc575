//! **Purpose**: the configuration of a wallet.

use std::net::SocketAddr;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::key::{Form, Key, Keys, Preset};
use super::parse;
use super::reader::{Problems, Reader};
use super::{LOG, LOG_FORMAT, Logging, logging};
use crate::files::{self, FileError};
use crate::values::ValueError;

/// The file's name below the data directory of a wallet.
pub const WALLET_FILE: &str = "wallet.toml";
/// The policy's name there.
pub const POLICY_FILE: &str = "policy.toml";
/// The wallet's own socket there.
pub const WALLET_SOCKET: &str = "wallet.sock";

/// The network whose prefix addresses are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalletNetwork {
    /// `f`.
    Mainnet,
    /// `t`.
    Testnet,
}

/// Settings of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Keys, sign log, table of blocks, identity.
    pub data_dir: Utf8PathBuf,
    /// Name in the cluster.
    pub name: String,
    /// Pool nodes to dial; empty for a wallet that serves only its own machine.
    pub nodes: Vec<String>,
    /// A file with a token of the wallet's user.
    pub token_file: Option<Utf8PathBuf>,
    /// Streams that are kept to different nodes.
    pub streams_min: usize,
    /// Lotus-compatible JSON-RPC.
    pub rpc: Option<SocketAddr>,
    /// Prefix of addresses.
    pub network: WalletNetwork,
    /// Chain id in the transactions of f4 senders.
    pub eth_chain_id: u64,
    /// The file of rules.
    pub policy: Option<Utf8PathBuf>,
    /// Base-2 logarithm of scrypt's N for new key files.
    pub scrypt_log_n: u8,
    /// scrypt's r.
    pub scrypt_r: u32,
    /// scrypt's p.
    pub scrypt_p: u32,
    /// How long records of the sign log are kept; for ever when not set.
    pub sign_log_keep: Option<Duration>,
    /// Log lines.
    pub log: Logging,
}

impl Keys for Wallet {
    const KEYS: &'static [Key] = &[
        Key {
            name: "data_dir",
            form: Form::Path,
            preset: Preset::Required,
            help: "Directory of keys, sign log, table of blocks and the identity; for its owner alone.",
        },
        Key {
            name: "name",
            form: Form::Name,
            preset: Preset::Required,
            help: "Name of this wallet in the cluster.",
        },
        Key {
            name: "nodes",
            form: Form::Addresses,
            preset: Preset::Unset,
            help: "Addresses of pool nodes; the wallet dials them, they never dial it. Without any it serves its own machine alone.",
        },
        Key {
            name: "token_file",
            form: Form::Path,
            preset: Preset::Unset,
            help: "File with a token of the wallet's user, read anew at each dial; without it the certificate alone speaks.",
        },
        Key {
            name: "streams_min",
            form: Form::Count,
            preset: Preset::Text("2"),
            help: "Streams that are kept to different nodes; all nodes when there are fewer.",
        },
        Key {
            name: "rpc",
            form: Form::ListenOrOff,
            preset: Preset::Text("127.0.0.1:5678"),
            help: "Where the Lotus-compatible JSON-RPC is served (plain HTTP with tokens); off means only the wallet's own socket.",
        },
        Key {
            name: "network",
            form: Form::Choice(&["mainnet", "testnet"]),
            preset: Preset::Text("mainnet"),
            help: "Prefix of addresses: f on mainnet, t on every other network.",
        },
        Key {
            name: "eth_chain_id",
            form: Form::Count,
            preset: Preset::Text("314"),
            help: "Chain id in the transactions of f4 senders: 314 on mainnet, 314159 on calibration.",
        },
        Key {
            name: "policy",
            form: Form::Path,
            preset: Preset::Unset,
            help: "File of rules that say what may be signed; policy.toml in data_dir, if it is there, when not set.",
        },
        Key {
            name: "scrypt_log_n",
            form: Form::Count,
            preset: Preset::Text("18"),
            help: "Cost of guessing the password of a key file: scrypt's N is 2 to this power.",
        },
        Key { name: "scrypt_r", form: Form::Count, preset: Preset::Text("8"), help: "scrypt's r." },
        Key { name: "scrypt_p", form: Form::Count, preset: Preset::Text("1"), help: "scrypt's p." },
        Key {
            name: "sign_log_keep",
            form: Form::Text,
            preset: Preset::Text("off"),
            help: "How long records of the sign log are kept, such as 2160h; off keeps them for ever. The chain of what is left stays verifiable.",
        },
        LOG,
        LOG_FORMAT,
    ];
}

impl Wallet {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(file: Option<&Utf8Path>, overrides: &[(&str, String)]) -> Result<Self, Problems> {
        let mut reader = Reader::open(Self::KEYS, file, overrides);
        let r = &mut reader;
        let data_dir = r.one("data_dir", parse::path);
        let name = r.one("name", parse::name);
        let nodes = r.many("nodes", parse::address).unwrap_or_default();
        let token_file = r.one("token_file", parse::path);
        let streams_min = r.one("streams_min", |text| between(text, 1, 16));
        let rpc = r.one("rpc", parse::or_off(parse::listen, "off"));
        let network = r.one("network", |text| match text {
            "mainnet" => Ok(WalletNetwork::Mainnet),
            "testnet" => Ok(WalletNetwork::Testnet),
            _ => Err(ValueError::new(text, "network", "write mainnet or testnet")),
        });
        let eth_chain_id = r.one("eth_chain_id", parse::count);
        let policy = r.one("policy", parse::path);
        // Less than 2^10 protects nothing, more than 2^24 takes 16 GiB of memory.
        let scrypt_log_n = r.one("scrypt_log_n", |text| between(text, 10, 24));
        let scrypt_r = r.one("scrypt_r", |text| between(text, 1, 64));
        let scrypt_p = r.one("scrypt_p", |text| between(text, 1, 64));
        let sign_log_keep = r.one("sign_log_keep", parse::or_off(parse::duration, "off"));
        let log = logging(r);
        let value = (|| {
            Some(Wallet {
                data_dir: data_dir?,
                name: name?,
                nodes,
                token_file,
                streams_min: usize::try_from(streams_min?).ok()?,
                rpc: rpc?,
                network: network?,
                eth_chain_id: eth_chain_id?,
                policy,
                scrypt_log_n: u8::try_from(scrypt_log_n?).ok()?,
                scrypt_r: scrypt_r?,
                scrypt_p: scrypt_p?,
                sign_log_keep: sign_log_keep?,
                log: log?,
            })
        })();
        reader.finish(value)
    }

    /// The wallet's own socket.
    pub fn socket(&self) -> Utf8PathBuf {
        self.data_dir.join(WALLET_SOCKET)
    }

    /// The file of rules, if there is one.
    pub fn policy_file(&self) -> Option<Utf8PathBuf> {
        Some(self.policy_path()).filter(|file| self.policy.is_some() || file.exists())
    }

    /// Where the rules are, or would be.
    pub fn policy_path(&self) -> Utf8PathBuf {
        self.policy.clone().unwrap_or_else(|| self.data_dir.join(POLICY_FILE))
    }
}

fn between(text: &str, least: u32, most: u32) -> Result<u32, ValueError> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(ValueError::new(
            text,
            "count",
            format!("write a whole number from {least} to {most}"),
        )),
    }
}

/// Writes the configuration of a wallet that was just made.
///
/// # Errors
/// The directory cannot be written to.
pub fn write_wallet_file(
    data_dir: &Utf8Path,
    settings: toml::Table,
) -> Result<Utf8PathBuf, FileError> {
    let path = data_dir.join(WALLET_FILE);
    let text = format!("# Made by hesper. `hesper config wallet` shows all keys.\n{settings}");
    files::write_private(&path, text.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Problem, example};

    fn load(overrides: &[(&str, &str)]) -> Result<Wallet, Problems> {
        let mut all = vec![("data_dir", "/d".to_owned()), ("name", "w1".to_owned())];
        all.extend(overrides.iter().map(|(key, value)| (*key, (*value).to_owned())));
        Wallet::load(None, &all)
    }

    #[test]
    fn presets_are_venus_costs_and_a_local_port() {
        let wallet = load(&[]).unwrap();
        assert_eq!((wallet.scrypt_log_n, wallet.scrypt_r, wallet.scrypt_p), (18, 8, 1));
        assert_eq!(wallet.rpc, Some("127.0.0.1:5678".parse().unwrap()));
        assert_eq!(wallet.streams_min, 2);
        assert!(wallet.nodes.is_empty() && wallet.policy_file().is_none());
        assert_eq!(wallet.sign_log_keep, None);
        assert_eq!(wallet.socket(), "/d/wallet.sock");
    }

    #[test]
    fn values_out_of_range_are_named_all_at_once() {
        let bad = [
            ("streams_min", "0"),
            ("scrypt_log_n", "9"),
            ("scrypt_p", "many"),
            ("network", "devnet"),
            ("sign_log_keep", "long"),
            ("rpc", "5678"),
        ];
        let problems = load(&bad).unwrap_err();
        let found: Vec<&str> =
            problems.list.iter().map(|Problem { key, .. }| key.as_str()).collect();
        for (key, _) in bad {
            assert!(found.contains(&key), "{key} in {found:?}");
        }
        assert_eq!(found.len(), bad.len());
    }

    #[test]
    fn the_example_is_valid_toml() {
        let table: toml::Table = toml::from_str(&example("wallet run", Wallet::KEYS)).unwrap();
        assert_eq!(table.len(), 2);
    }
}
