//! **Purpose**: `hesper chain`: Filecoin's forms on the command line: addresses, actor methods and
//! their parameters. Nothing is asked of a cluster.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Subcommand;
use hesper_actors::Actor;
use hesper_chain::{Network, address};
use serde::Serialize;
use serde_json::Value;

use super::Error;
use crate::output::{Align, Output, Show, Table};

/// Filecoin's forms.
#[derive(Debug, Subcommand)]
pub enum Chain {
    /// Check an address and show its parts.
    #[command(after_help = "Example: hesper chain address f01000")]
    Address {
        /// The address, with the prefix of either network.
        address: String,
    },
    /// List the methods of a built-in actor.
    #[command(after_help = "Example: hesper chain methods miner")]
    Methods {
        /// The actor, such as miner, market, power, multisig, verifreg, paych.
        actor: Actor,
    },
    /// Read the parameters of a message as JSON.
    #[command(
        after_help = "Example: hesper chain decode miner WithdrawBalance gUsADzJBYmCmeUAAAA=="
    )]
    Decode {
        /// The actor at the destination.
        actor: Actor,
        /// Number or name of the method.
        method: String,
        /// The parameters, base64, or hexadecimal digits after 0x.
        params: String,
        /// They are what the method returned.
        #[arg(long)]
        returned: bool,
    },
    /// Make the parameters of a message from JSON; prints base64.
    #[command(
        after_help = "Example: hesper chain encode miner WithdrawBalance '{\"AmountRequested\": \"5000000000000000000\"}'"
    )]
    Encode {
        /// The actor at the destination.
        actor: Actor,
        /// Number or name of the method.
        method: String,
        /// The parameters.
        json: String,
    },
}

#[derive(Debug, Serialize)]
struct AddressParts {
    address: String,
    testnet: String,
    protocol: &'static str,
    bytes_hex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ethereum: Option<String>,
}

impl Show for AddressParts {
    fn text(&self) -> String {
        let mut text = format!(
            "address   {}\ntestnet   {}\nprotocol  {}\nbytes     {}\n",
            self.address, self.testnet, self.protocol, self.bytes_hex
        );
        if let Some(ethereum) = &self.ethereum {
            text.push_str(&format!("ethereum  {ethereum}\n"));
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct MethodRow {
    number: u64,
    name: &'static str,
    takes_params: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Methods(Vec<MethodRow>);

impl Show for Methods {
    fn text(&self) -> String {
        let mut table =
            Table::new(&[("NUMBER", Align::Right), ("NAME", Align::Left), ("PARAMS", Align::Left)]);
        for row in &self.0 {
            let params = if row.takes_params { "yes" } else { "none" };
            table.row([row.number.to_string(), row.name.to_owned(), params.to_owned()]);
        }
        table.render()
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Json(Value);

impl Show for Json {
    fn text(&self) -> String {
        format!("{:#}\n", self.0)
    }
}

#[derive(Debug, Serialize)]
struct Encoded {
    base64: String,
    hex: String,
}

impl Show for Encoded {
    fn text(&self) -> String {
        format!("{}\n", self.base64)
    }
}

impl Chain {
    pub(super) fn run(self, out: Output) -> Result<ExitCode, Error> {
        match self {
            Chain::Address { address } => out.show(&parts(&address)?)?,
            Chain::Methods { actor } => out.show(&methods(actor))?,
            Chain::Decode { actor, method, params, returned } => {
                let (number, bytes) = (number(actor, &method)?, bytes(&params)?);
                let decoded = if returned {
                    hesper_actors::decode_return(actor, number, &bytes)
                } else {
                    hesper_actors::decode_params(actor, number, &bytes)
                };
                out.show(&Json(decoded.map_err(|error| invalid(&error))?))?;
            }
            Chain::Encode { actor, method, json } => {
                let number = number(actor, &method)?;
                let json: Value = serde_json::from_str(&json).map_err(|error| {
                    Error::usage(format!("the parameters are no JSON: {error}"))
                })?;
                let bytes = hesper_actors::encode_params(actor, number, &json)
                    .map_err(|error| invalid(&error))?;
                out.show(&Encoded { base64: BASE64.encode(&bytes), hex: hex(&bytes) })?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn invalid(error: &dyn std::error::Error) -> Error {
    Error::usage(error.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parts(text: &str) -> Result<AddressParts, Error> {
    let found = address::parse(text).map_err(|error| invalid(&error))?;
    let protocol = match found.protocol() {
        hesper_chain::Protocol::ID => "id",
        hesper_chain::Protocol::Secp256k1 => "secp256k1",
        hesper_chain::Protocol::Actor => "actor",
        hesper_chain::Protocol::BLS => "bls",
        hesper_chain::Protocol::Delegated => "delegated",
    };
    Ok(AddressParts {
        address: address::format(&found, Network::Mainnet),
        testnet: address::format(&found, Network::Testnet),
        protocol,
        bytes_hex: hex(&found.to_bytes()),
        ethereum: address::ethereum(&found).map(|bytes| format!("0x{}", hex(&bytes))),
    })
}

fn methods(actor: Actor) -> Methods {
    let of = hesper_actors::methods().filter(|(of, _)| *of == actor);
    Methods(
        of.map(|(_, method)| MethodRow {
            number: method.number,
            name: method.name,
            takes_params: method.takes_params(),
        })
        .collect(),
    )
}

/// A method by number or name.
fn number(actor: Actor, word: &str) -> Result<u64, Error> {
    if let Ok(number) = word.parse() {
        return Ok(number);
    }
    let named = hesper_actors::methods().find(|(of, method)| *of == actor && method.name == word);
    named.map(|(_, method)| method.number).ok_or_else(|| Error::NotFound {
        message: format!(
            "the actor {actor} has no method `{word}`; `hesper chain methods {actor}` lists them"
        ),
    })
}

fn bytes(text: &str) -> Result<Vec<u8>, Error> {
    let problem =
        || Error::usage("the parameters are neither base64 nor 0x with hexadecimal digits");
    match text.strip_prefix("0x") {
        None => BASE64.decode(text).map_err(|_| problem()),
        Some(digits) => {
            let pairs = digits.as_bytes().chunks(2);
            pairs
                .map(|pair| {
                    let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
                    pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(problem)
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_goes_by_number_or_name() {
        assert_eq!(number(Actor::Miner, "16").unwrap(), 16);
        assert_eq!(number(Actor::Miner, "WithdrawBalance").unwrap(), 16);
        let error = number(Actor::Miner, "Withdraw").unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("hesper chain methods storageminer"), "{error}");
    }

    #[test]
    fn parameters_come_as_base64_or_hex() {
        assert_eq!(bytes("gUIABQ==").unwrap(), [0x81, 0x42, 0, 5]);
        assert_eq!(bytes("0x81420005").unwrap(), [0x81, 0x42, 0, 5]);
        assert!(bytes("0x814").is_err());
        assert!(bytes("?").is_err());
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong() {
        assert_eq!(parts("t01000").unwrap().address, "f01000");
        assert_eq!(parts("f01000x").unwrap_err().exit_code(), 2);
    }
}
