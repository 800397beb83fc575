//! **Purpose**: `hesper wallet sign`: an object, signed by a wallet of this machine or by whichever
//! wallet of the cluster holds the key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use hesper_chain::json::LotusJson;
use hesper_chain::signature::{SignatureKind, message_payload};
use hesper_chain::{Message, Network, address};
use hesper_protos::wallet::SignRequest;
use serde_json::{Value, json};

use super::door::Place;
use super::views;
use crate::cli::Error;
use crate::cli::connection::Connection;
use crate::files;
use crate::output::Output;
use crate::values::parse_duration;

/// What is to be signed, and by whom.
#[derive(Debug, clap::Args)]
pub struct Object {
    /// A message as Lotus writes it in JSON; its sender signs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["object", "to_sign", "extra", "object_type"])]
    message: Option<Utf8PathBuf>,
    /// Chain id in the transaction of an f4 sender.
    #[arg(long, value_name = "NUMBER", default_value_t = 314)]
    eth_chain_id: u64,
    /// The key [default: the sender of --message].
    #[arg(long, value_name = "ADDRESS", required_unless_present = "message")]
    signer: Option<String>,
    /// Which type of object: block, drawrandomparam, verifyaddress and others of Venus's words.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "message")]
    object_type: Option<String>,
    /// The object's bytes, in hexadecimal or @FILE; the wallet derives what it signs.
    #[arg(long, value_name = "HEX|@FILE", conflicts_with_all = ["to_sign", "extra"])]
    object: Option<String>,
    /// The bytes to sign, which must follow from --extra, in hexadecimal or @FILE.
    #[arg(long, value_name = "HEX|@FILE")]
    to_sign: Option<String>,
    /// The object, in hexadecimal or @FILE.
    #[arg(long, value_name = "HEX|@FILE")]
    extra: Option<String>,
}

/// A request as wallets understand it.
pub struct Wanted {
    pub signer: String,
    pub object_type: String,
    pub to_sign: Vec<u8>,
    pub extra: Vec<u8>,
}

/// Sign an object.
#[derive(Debug, clap::Args)]
pub struct Sign {
    #[command(flatten)]
    object: Object,
    /// How long a wallet of the cluster may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: Connection,
}

impl Sign {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let wanted = self.object.read()?;
        if self.place.is_named() {
            let mut door = self.place.open_unlocked().await?;
            let signature: Value = door.call("Filecoin.WalletSign", wanted.lotus_params()).await?;
            let data = signature["Data"].as_str().unwrap_or_default().to_owned();
            let kind = signature["Type"].as_u64().unwrap_or_default();
            out.show(&views::Signed::new(kind, decode(&data)?, None, None))?;
            return Ok(());
        }
        let wait = parse_duration(&self.wait)?;
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let Wanted { signer, object_type, to_sign, extra } = wanted;
        let client = self.connection.client()?;
        let request = SignRequest {
            id: None,
            signer,
            object_type,
            to_sign: to_sign.into(),
            extra: extra.into(),
            timeout_ms: wait_ms,
        };
        let reply = client.sign(request).await?;
        let signature = reply.signature.unwrap_or_default();
        out.show(&views::Signed::new(
            u64::from(signature.r#type),
            signature.data.to_vec(),
            Some(reply.wallet),
            Some(reply.intent),
        ))?;
        Ok(())
    }
}

impl Wanted {
    /// As `Filecoin.WalletSign` of Venus takes it.
    pub fn lotus_params(&self) -> Vec<Value> {
        let meta = json!({ "Type": self.object_type, "Extra": STANDARD.encode(&self.extra) });
        vec![self.signer.clone().into(), STANDARD.encode(&self.to_sign).into(), meta]
    }

    /// As `Hesper.PolicyExplain` takes it.
    pub fn named(&self) -> Value {
        json!({
            "Signer": self.signer,
            "Type": self.object_type,
            "ToSign": STANDARD.encode(&self.to_sign),
            "Extra": STANDARD.encode(&self.extra),
        })
    }
}

impl Object {
    /// Reads and, for a message, derives.
    pub fn read(&self) -> Result<Wanted, Error> {
        if let Some(file) = &self.message {
            return self.read_message(file);
        }
        let bytes = |text: &Option<String>| text.as_deref().map_or(Ok(Vec::new()), read_bytes);
        let (to_sign, extra) = match &self.object {
            Some(object) => (read_bytes(object)?, Vec::new()),
            None => (bytes(&self.to_sign)?, bytes(&self.extra)?),
        };
        if to_sign.is_empty() {
            return Err(Error::usage(
                "say what to sign: --message, --object, or --to-sign with --extra",
            ));
        }
        Ok(Wanted {
            signer: self.signer.clone().unwrap_or_default(),
            object_type: self.object_type.clone().unwrap_or_default(),
            to_sign,
            extra,
        })
    }

    fn read_message(&self, file: &Utf8Path) -> Result<Wanted, Error> {
        let bad = |error: &dyn std::fmt::Display| {
            Error::usage(format!("`{file}` holds no message: {error}"))
        };
        let value: Value =
            serde_json::from_str(&files::read_text(file)?).map_err(|error| bad(&error))?;
        let message = Message::from_lotus_json(&value).map_err(|error| bad(&error))?;
        let signer = match &self.signer {
            Some(signer) => signer.clone(),
            None => address::format(&message.from, Network::Mainnet),
        };
        let key = address::parse(&signer).map_err(|error| bad(&error))?;
        let kind = SignatureKind::of_protocol(key.protocol()).ok_or_else(|| {
            Error::usage(format!(
                "{signer} is no key; name the sender's key address (f1, f3 or f4) with --signer"
            ))
        })?;
        let extra = hesper_chain::message::encode(&message).map_err(|error| bad(&error))?;
        let to_sign =
            message_payload(&message, kind, self.eth_chain_id).map_err(|error| bad(&error))?;
        Ok(Wanted { signer, object_type: "message".to_owned(), to_sign, extra })
    }
}

fn read_bytes(text: &str) -> Result<Vec<u8>, Error> {
    if let Some(file) = text.strip_prefix('@') {
        return std::fs::read(file)
            .map_err(|error| Error::usage(format!("could not read `{file}`: {error}")));
    }
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let nibble = |byte: u8| (byte as char).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(nibble(*high)? * 16 + nibble(*low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>().ok_or_else(|| {
        Error::usage(format!("`{text}` is not hexadecimal; write two digits per byte, or @FILE"))
    })
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|error| Error::Refused {
        message: format!("the wallet's signature cannot be read: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_hexadecimal_or_a_file() {
        assert_eq!(read_bytes("0x00ffA1").unwrap(), [0, 255, 161]);
        for bad in ["0", "zz", "0x123"] {
            assert!(read_bytes(bad).is_err(), "{bad}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        assert_eq!(read_bytes(&format!("@{}", file.path().display())).unwrap(), b"abc");
    }
}
