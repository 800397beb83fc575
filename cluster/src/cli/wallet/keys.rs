//! **Purpose**: keys, locks and tokens of a wallet of this machine.

use std::io::{BufRead, IsTerminal, Read, Write};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;
use serde_json::{Value, json};

use super::door::{Door, Place};
use super::secret::{as_text, read_fd};
use super::{done, views};
use crate::cli::Error;
use crate::files;
use crate::output::Output;
use crate::values::parse_duration;

/// Longest text of a key that is read.
const KEY_BYTES_MAX: u64 = 4_096;

/// Make a key.
#[derive(Debug, clap::Args)]
pub struct New {
    /// bls, secp256k1 or delegated.
    #[arg(long = "type", value_name = "TYPE", default_value = "secp256k1")]
    key_type: String,
    #[command(flatten)]
    place: Place,
}

impl New {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let mut door = self.place.open_unlocked().await?;
        let address = door.call("Filecoin.WalletNew", vec![self.key_type.into()]).await?;
        out.show(&views::Key { address })?;
        Ok(())
    }
}

pub async fn list(place: &Place, out: Output) -> Result<(), Error> {
    let mut door = place.open().await?;
    let addresses: Option<Vec<String>> = door.call("Filecoin.WalletList", vec![]).await?;
    let default: Result<String, Error> = door.call("Filecoin.WalletDefaultAddress", vec![]).await;
    let default = default.ok();
    let keys = addresses
        .unwrap_or_default()
        .into_iter()
        .map(|address| views::ListedKey { is_default: default.as_ref() == Some(&address), address })
        .collect();
    out.show(&views::Keys(keys))?;
    Ok(())
}

/// Import a key.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// File with the key as Lotus exports it (hexadecimal); `-` is standard input.
    #[arg(value_name = "FILE")]
    file: Utf8PathBuf,
    #[command(flatten)]
    place: Place,
}

impl Import {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let text = read_key(&self.file)?;
        let mut door = self.place.open_unlocked().await?;
        let params = vec![text.trim().into()];
        let address = door.call("Hesper.WalletImportHex", params).await?;
        out.show(&views::Key { address })?;
        Ok(())
    }
}

fn read_key(file: &Utf8Path) -> Result<String, Error> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin().lock().take(KEY_BYTES_MAX).read_to_string(&mut text)?;
        return Ok(text);
    }
    Ok(files::read_text(file)?)
}

/// Export a key.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Its address.
    address: String,
    /// Write it into this new file, for its owner alone, instead of printing it.
    #[arg(long, value_name = "FILE")]
    to: Option<Utf8PathBuf>,
    #[command(flatten)]
    place: Place,
}

impl Export {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let mut door = self.place.open_unlocked().await?;
        let params = vec![self.address.clone().into()];
        let text: String = door.call("Hesper.WalletExportHex", params).await?;
        match &self.to {
            Some(file) if file.exists() => Err(Error::usage(format!(
                "`{file}` exists; name a new file, so that nothing is overwritten"
            ))),
            Some(file) => {
                files::write_private(file, format!("{text}\n").as_bytes())?;
                done(out, format!("key {} is in {file}", self.address))
            }
            None => {
                out.show(&views::ExportedKey { key: text })?;
                Ok(())
            }
        }
    }
}

/// Delete a key.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Its address.
    address: String,
    /// Do not ask for the address again.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

impl Delete {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        if !self.yes {
            confirm(&self.address, "A deleted key is gone for ever", "delete it")?;
        }
        let mut door = self.place.open_unlocked().await?;
        let _: Value =
            door.call("Filecoin.WalletDelete", vec![self.address.clone().into()]).await?;
        done(out, format!("key {} is deleted", self.address))
    }
}

/// Let a key take orders of any number again.
#[derive(Debug, clap::Args)]
pub struct ForgetOrders {
    /// Its address.
    address: String,
    /// Do not ask for the address again.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

impl ForgetOrders {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        if !self.yes {
            let warning = "Orders that the key has signed for can be asked for again";
            confirm(&self.address, warning, "forget them")?;
        }
        let mut door = self.place.open().await?;
        let _: Value = door.call("Hesper.ForgetOrders", vec![self.address.clone().into()]).await?;
        done(out, format!("key {} takes orders of any number again", self.address))
    }
}

/// Has the address typed again, after a `warning` and to do what `act` says.
fn confirm(address: &str, warning: &str, act: &str) -> Result<(), Error> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::usage(format!(
            "{warning}, and there is no terminal to confirm on; add --yes"
        )));
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{warning}. Type the address to {act}: ")?;
    stderr.flush()?;
    let mut typed = String::new();
    stdin.lock().read_line(&mut typed)?;
    if typed.trim() == address {
        return Ok(());
    }
    Err(Error::usage("that is another text; nothing was done"))
}

/// Show or set the default key.
#[derive(Debug, clap::Args)]
pub struct Default {
    /// The key that shall be used when none is named; without it the present one is shown.
    address: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Default {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let mut door = self.place.open().await?;
        match self.address {
            Some(address) => {
                let params = vec![address.clone().into()];
                let _: Value = door.call("Filecoin.WalletSetDefault", params).await?;
                done(out, format!("{address} is used when no key is named"))
            }
            None => {
                let address = door.call("Filecoin.WalletDefaultAddress", vec![]).await?;
                out.show(&views::Key { address })?;
                Ok(())
            }
        }
    }
}

/// A wallet that runs: what is locked or unlocked otherwise ends with the command.
async fn running(place: &Place) -> Result<Door, Error> {
    let door = place.open().await?;
    if door.is_running() {
        return Ok(door);
    }
    Err(Error::Refused {
        message: "no wallet runs on this directory; start it with `hesper wallet run`".to_owned(),
    })
}

pub async fn unlock(place: &Place, out: Output) -> Result<(), Error> {
    let mut door = running(place).await?;
    door.unlock(place.password()).await?;
    done(out, "the wallet is unlocked".to_owned())
}

pub async fn lock(place: &Place, out: Output) -> Result<(), Error> {
    let mut door = running(place).await?;
    let _: Value = door.call("Filecoin.Lock", vec![]).await?;
    done(out, "the wallet is locked and signs nothing until it is unlocked".to_owned())
}

pub async fn set_password(place: &Place, out: Output) -> Result<(), Error> {
    let mut door = place.open().await?;
    let secret = place.password().read_new("New password of the wallet")?;
    let _: Value = door.call("Filecoin.SetPassword", vec![as_text(&secret)?.into()]).await?;
    done(out, "the password is set".to_owned())
}

/// Change the password.
#[derive(Debug, clap::Args)]
pub struct ChangePassword {
    /// Read the new password from this open file descriptor.
    #[arg(long, value_name = "FD")]
    new_password_fd: Option<u32>,
    #[command(flatten)]
    place: Place,
}

impl ChangePassword {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let mut door = self.place.open().await?;
        let old = self.place.password().read("Present password")?;
        let new = match self.new_password_fd {
            Some(fd) => read_fd(fd)?,
            None => super::secret::prompt_new("New password")?,
        };
        let params = vec![as_text(&old)?.into(), as_text(&new)?.into()];
        let _: Value = door.call("Hesper.ChangePassword", params).await?;
        done(out, "the password is changed".to_owned())
    }
}

pub async fn state(place: &Place, out: Output) -> Result<(), Error> {
    let mut door = place.open().await?;
    let state: Value = door.call("Hesper.State", vec![]).await?;
    let streams: Value = match door.is_running() {
        true => door.call("Hesper.SessionList", vec![]).await?,
        false => json!([]),
    };
    out.show(&views::State { running: door.is_running(), state, streams })?;
    Ok(())
}

/// Tokens of the wallet's JSON-RPC.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token for clients of the wallet's own JSON-RPC.
    Create(CreateToken),
}

/// Make a token.
#[derive(Debug, clap::Args)]
pub struct CreateToken {
    /// What it allows, with everything before it: read, write, sign, admin.
    #[arg(long, default_value = "sign")]
    permission: String,
    /// Only the keys of this group of the policy.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// How long it is good [default: for ever].
    #[arg(long, value_name = "TIME")]
    valid: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Token {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let Token::Create(CreateToken { permission, group, valid, place }) = self;
        let valid_ms = match valid {
            Some(text) => {
                let valid = parse_duration(&text)?;
                Value::from(u64::try_from(valid.as_millis()).unwrap_or(u64::MAX))
            }
            None => Value::Null,
        };
        let mut door = place.open().await?;
        let params = vec![permission.into(), group.into(), valid_ms];
        let token = door.call("Hesper.TokenNew", params).await?;
        out.show(&views::Token { token })?;
        Ok(())
    }
}
