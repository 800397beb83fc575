//! **Purpose**: what `hesper wallet` prints.

use hesper_protos::wallet as wire;
use hesper_wallet::signlog::{Decision, Entry};
use serde::Serialize;
use serde_json::Value;

use crate::output::Align::{Left, Right};
use crate::output::{Show, Table};
use crate::values::format_time;

/// One key.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// Its address.
    pub address: String,
}

impl Show for Key {
    fn text(&self) -> String {
        format!("{}\n", self.address)
    }
}

/// Keys of a wallet.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Keys(pub Vec<ListedKey>);

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct ListedKey {
    /// Its address.
    pub address: String,
    /// Used when none is named.
    pub is_default: bool,
}

impl Show for Keys {
    fn text(&self) -> String {
        let mut table = Table::new(&[("ADDRESS", Left), ("DEFAULT", Left)]);
        for key in &self.0 {
            let default = if key.is_default { "yes" } else { "" };
            table.row([key.address.clone(), default.to_owned()]);
        }
        table.render()
    }
}

/// A secret key in the form of Lotus.
#[derive(Clone, Serialize)]
pub struct ExportedKey {
    /// Hexadecimal.
    pub key: String,
}

impl Show for ExportedKey {
    fn text(&self) -> String {
        format!("{}\n", self.key)
    }
}

/// A token of the wallet's JSON-RPC.
#[derive(Clone, Serialize)]
pub struct Token {
    /// JWT.
    pub token: String,
}

impl Show for Token {
    fn text(&self) -> String {
        format!("{}\n", self.token)
    }
}

/// A signature.
#[derive(Clone, Debug, Serialize)]
pub struct Signed {
    /// 1 secp256k1, 2 BLS, 3 delegated.
    pub signature_type: u64,
    /// Hexadecimal, with the type in front, as Lotus prints it.
    pub signature: String,
    /// Wallet of the cluster that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// The applied intent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
}

impl Signed {
    pub fn new(kind: u64, data: Vec<u8>, wallet: Option<String>, intent: Option<u64>) -> Self {
        let kind_byte = u8::try_from(kind).unwrap_or(0);
        let signature =
            std::iter::once(kind_byte).chain(data).map(|byte| format!("{byte:02x}")).collect();
        Signed { signature_type: kind, signature, wallet, intent }
    }
}

impl Show for Signed {
    fn text(&self) -> String {
        format!("{}\n", self.signature)
    }
}

/// State of a wallet of this machine.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// A process serves it.
    pub running: bool,
    /// What it says about itself.
    pub state: Value,
    /// Its streams to nodes.
    pub streams: Value,
}

impl Show for State {
    fn text(&self) -> String {
        let mut text = format!("running: {}\n", if self.running { "yes" } else { "no" });
        for (name, value) in self.state.as_object().into_iter().flatten() {
            text += &format!("{name}: {}\n", plain(value));
        }
        for stream in self.streams.as_array().into_iter().flatten() {
            let field = |name: &str| plain(&stream[name]);
            let keys = stream["accepted"].as_array().map_or(0, Vec::len);
            text += &format!("stream to {}: {}, {keys} keys", field("node"), field("stage"));
            let error = field("last_error");
            if !error.is_empty() {
                text += &format!(" (before: {error})");
            }
            text.push('\n');
        }
        text
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the rules decide.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Explained {
    /// As the wallet explains it.
    pub explained: Value,
}

impl Show for Explained {
    fn text(&self) -> String {
        let is_allowed = self.explained["allowed"].as_bool().unwrap_or(false);
        let verdict = if is_allowed { "would be signed" } else { "would be refused" };
        let rule = match &self.explained["rule"] {
            Value::String(rule) => format!(" by rule `{rule}`"),
            _ => String::new(),
        };
        let mut text = format!("{verdict}{rule}\n");
        for reason in self.explained["reasons"].as_array().into_iter().flatten() {
            text += &format!("  {}\n", plain(reason));
        }
        text
    }
}

/// Wallets of a cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Sessions(pub Vec<Session>);

/// A stream of a wallet.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// 32 hexadecimal digits.
    pub wallet_id: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// The node on which the stream ends.
    pub node_id: u64,
    /// Keys that it has proven.
    pub addresses: Vec<String>,
    /// When it connected.
    pub connected_at_ms: u64,
}

impl From<wire::WalletSession> for Session {
    fn from(wire: wire::WalletSession) -> Self {
        Session {
            wallet_id: wire.wallet_id,
            name: wire.name,
            user: wire.user,
            node_id: wire.node_id,
            addresses: wire.addresses,
            connected_at_ms: wire.connected_at_ms,
        }
    }
}

impl Show for Sessions {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("NAME", Left),
            ("USER", Left),
            ("NODE", Right),
            ("KEYS", Right),
            ("CONNECTED", Left),
            ("WALLET", Left),
        ]);
        for session in &self.0 {
            table.row([
                session.name.clone(),
                session.user.clone(),
                session.node_id.to_string(),
                session.addresses.len().to_string(),
                format_time(session.connected_at_ms),
                session.wallet_id.clone(),
            ]);
        }
        table.render()
    }
}

/// Records of a sign log.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Records(Vec<Record>);

#[derive(Clone, Debug, Serialize)]
struct Record {
    sequence: u64,
    #[serde(flatten)]
    record: hesper_wallet::signlog::Record,
}

impl From<Vec<Entry>> for Records {
    fn from(entries: Vec<Entry>) -> Self {
        let record = |entry: Entry| Record { sequence: entry.sequence, record: entry.record };
        Records(entries.into_iter().map(record).collect())
    }
}

impl Show for Records {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("NUMBER", Right),
            ("TIME", Left),
            ("CALLER", Left),
            ("KEY", Left),
            ("OBJECT", Left),
            ("METHOD", Left),
            ("TO", Left),
            ("DECISION", Left),
        ]);
        for Record { sequence, record } in &self.0 {
            let decision = match &record.decision {
                Decision::Signed => "signed".to_owned(),
                Decision::Done => "done".to_owned(),
                Decision::Refused { reason } => format!("refused: {reason}"),
            };
            table.row([
                sequence.to_string(),
                format_time(record.time_ms),
                record.caller.clone(),
                record.key.clone(),
                record.object.clone(),
                record.method.clone().unwrap_or_default(),
                record.to.clone().unwrap_or_default(),
                decision,
            ]);
        }
        table.render()
    }
}
