//! **Purpose**: from what a caller wants signed to the bytes that the wallet itself derived, with
//! a readable form and the facts that policy judges by.
//!
//! **Invariants**
//! - Nothing is signed but `Parsed::signing_bytes`, and each of its bytes follows from what `shown`
//!   shows: objects have exactly one accepted encoding, and no byte may follow them.
//! - A digest that the caller sends is only ever compared with the derived one.
//! - The signing bytes of one type are never those of another: messages are a CIDv1 with
//!   blake2b-256 or a typed Ethereum transaction, client deals a CIDv1 with SHA-256, randomness and
//!   possession proofs digests of 32 bytes, F3 payloads begin with `GPBFT:` or `VRF:` and never
//!   have 32, 36 or 38 bytes, and the others are CBOR objects of distinct shapes. `unknown` refuses
//!   what has the shape of any of these but a bare digest.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` for the list of
//! types, what a request carries and what is signed; each module names its own.

mod ask_response;
mod block;
mod client_deal;
mod deal_proposal;
mod draw_random_param;
mod f3;
pub(crate) mod fields;
mod message;
mod network_response;
pub(crate) mod node;
mod provider_deal_state;
mod signed_voucher;
mod storage_ask;
mod unknown;
mod verify_address;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use hesper_chain::{Address, Cid, Network, TokenAmount};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

pub use message::Call;
pub use node::ShapeError;

/// The types of objects that Venus's components ask to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectType {
    Message,
    Block,
    DealProposal,
    ClientDeal,
    DrawRandomParam,
    SignedVoucher,
    StorageAsk,
    AskResponse,
    NetworkResponse,
    ProviderDealState,
    VerifyAddress,
    F3,
    Unknown,
}

impl ObjectType {
    pub const ALL: [ObjectType; 13] = [
        ObjectType::Message,
        ObjectType::Block,
        ObjectType::DealProposal,
        ObjectType::ClientDeal,
        ObjectType::DrawRandomParam,
        ObjectType::SignedVoucher,
        ObjectType::StorageAsk,
        ObjectType::AskResponse,
        ObjectType::NetworkResponse,
        ObjectType::ProviderDealState,
        ObjectType::VerifyAddress,
        ObjectType::F3,
        ObjectType::Unknown,
    ];

    /// Venus's word for the type; `networkresposne` is misspelt there, and so on every wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ObjectType::Message => "message",
            ObjectType::Block => "block",
            ObjectType::DealProposal => "dealproposal",
            ObjectType::ClientDeal => "clientdeal",
            ObjectType::DrawRandomParam => "drawrandomparam",
            ObjectType::SignedVoucher => "signedvoucher",
            ObjectType::StorageAsk => "storageask",
            ObjectType::AskResponse => "askresponse",
            ObjectType::NetworkResponse => "networkresposne",
            ObjectType::ProviderDealState => "providerdealstate",
            ObjectType::VerifyAddress => "verifyaddress",
            ObjectType::F3 => "f3",
            ObjectType::Unknown => "unknown",
        }
    }

    /// # Errors
    /// A word that is not of the list; that is not the type `unknown`.
    pub fn of_word(word: &str) -> Result<ObjectType, ObjectError> {
        let found = ObjectType::ALL.into_iter().find(|object_type| object_type.word() == word);
        found.ok_or_else(|| ObjectError::NoSuchType { word: word.chars().take(40).collect() })
    }
}

/// Whether objects of a type can be signed, and where its layout was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Support {
    pub object_type: ObjectType,
    /// False: refused like `unknown`, and also with a rule.
    pub is_supported: bool,
    /// Repository and path of the layout.
    pub source: &'static str,
    pub note: &'static str,
}

/// All types, in the order of [`ObjectType::ALL`].
#[must_use]
pub fn supported() -> Vec<Support> {
    ObjectType::ALL
        .into_iter()
        .map(|object_type| {
            let (source, note) = match object_type {
                ObjectType::Message => message::SOURCE,
                ObjectType::Block => block::SOURCE,
                ObjectType::DealProposal => deal_proposal::SOURCE,
                ObjectType::ClientDeal => client_deal::SOURCE,
                ObjectType::DrawRandomParam => draw_random_param::SOURCE,
                ObjectType::SignedVoucher => signed_voucher::SOURCE,
                ObjectType::StorageAsk => storage_ask::SOURCE,
                ObjectType::AskResponse => ask_response::SOURCE,
                ObjectType::NetworkResponse => network_response::SOURCE,
                ObjectType::ProviderDealState => provider_deal_state::SOURCE,
                ObjectType::VerifyAddress => verify_address::SOURCE,
                ObjectType::F3 => f3::SOURCE,
                ObjectType::Unknown => unknown::SOURCE,
            };
            Support { object_type, is_supported: object_type != ObjectType::Unknown, source, note }
        })
        .collect()
}

/// What parsing needs to know besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Prefix of the addresses that are shown.
    pub network: Network,
    /// Chain id in the transactions of delegated senders.
    pub eth_chain_id: u64,
    /// Random values that this wallet gave out, for `verifyaddress`.
    pub issued: &'a [[u8; 32]],
}

/// What a header commits to, as far as a second block could contradict it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockFacts {
    pub miner: Address,
    pub epoch: i64,
    /// Bytes of the key of the parent tipset.
    pub parents: Vec<u8>,
    /// CID of the header without signature.
    pub header: Cid,
}

/// An object that the wallet understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub object_type: ObjectType,
    /// What is signed.
    pub signing_bytes: Vec<u8>,
    /// The object as readable JSON.
    pub shown: Value,
    /// The only key that may sign it, where the object says so.
    pub signer: Option<Address>,
    /// Whom it is for: the receiver of a message, the miner or provider, the payment channel.
    pub to: Option<Address>,
    /// The call that a message makes.
    pub call: Option<Call>,
    /// What the signer gives away by it, without fees.
    pub value: TokenAmount,
    /// The most that it can cost in fees.
    pub fee_max: TokenAmount,
    pub block: Option<BlockFacts>,
}

impl Parsed {
    fn new(object_type: ObjectType, signing_bytes: Vec<u8>, shown: Value) -> Parsed {
        Parsed {
            object_type,
            signing_bytes,
            shown,
            signer: None,
            to: None,
            call: None,
            value: TokenAmount::default(),
            fee_max: TokenAmount::default(),
            block: None,
        }
    }
}

/// Why a request was not understood, or does not sign what it shows.
#[derive(Debug, Error)]
pub enum ObjectError {
    #[error("{word:?} is no type of object; see the list of types in WALLET.md")]
    NoSuchType { word: String },
    #[error("could not parse the {} to sign; check its layout against the named type",
            object_type.word())]
    Shape { object_type: ObjectType, source: ShapeError },
    #[error("could not parse the {} to sign: {reason}", object_type.word())]
    Chain { object_type: ObjectType, reason: String },
    #[error("a request to sign a {} must carry {what}", object_type.word())]
    Missing { object_type: ObjectType, what: &'static str },
    #[error("the {} is refused: {what}", object_type.word())]
    NotSane { object_type: ObjectType, what: &'static str },
    #[error("the bytes to sign are not those of the {} that was shown (derived {derived}, \
             asked for {asked}); nothing was signed", object_type.word())]
    Mismatch { object_type: ObjectType, derived: String, asked: String },
    #[error(
        "the possession proof does not answer a random value that this wallet gave out; \
             open the session anew"
    )]
    NotIssued,
}

impl ObjectError {
    /// Whether the request showed one object and asked for another's signature.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(self, ObjectError::Mismatch { .. } | ObjectError::NotIssued)
    }
}

/// Parses what is to be signed and derives the bytes to sign.
///
/// Two forms are accepted. Venus's: `extra` is empty and `to_sign` is the object. Ours: `extra` is
/// the object and `to_sign` the signing bytes, which must be those that follow from the object.
/// `message` knows only the second, and `verifyaddress` has its own.
///
/// # Errors
/// Whatever is not exactly one canonical object of the type, and a digest that is not its own.
pub fn parse(
    object_type: ObjectType,
    to_sign: &[u8],
    extra: &[u8],
    context: &Context<'_>,
) -> Result<Parsed, ObjectError> {
    if object_type == ObjectType::VerifyAddress {
        return verify_address::parse(to_sign, extra, context);
    }
    if object_type == ObjectType::Message && extra.is_empty() {
        let what = "the message's CBOR in Extra and its signing bytes beside it";
        return Err(ObjectError::Missing { object_type, what });
    }
    let object = if extra.is_empty() { to_sign } else { extra };
    if object.is_empty() {
        return Err(ObjectError::Missing { object_type, what: "an object" });
    }
    if object.len() > node::OBJECT_BYTES_MAX {
        return Err(shape(object_type)(ShapeError::TooLong { len: object.len() }));
    }
    let parsed = match object_type {
        ObjectType::Message => message::parse(object, context),
        ObjectType::Block => block::parse(object, context),
        ObjectType::DealProposal => deal_proposal::parse(object, context),
        ObjectType::ClientDeal => client_deal::parse(object, context),
        ObjectType::DrawRandomParam => draw_random_param::parse(object, context),
        ObjectType::SignedVoucher => signed_voucher::parse(object, context),
        ObjectType::StorageAsk => storage_ask::parse(object, context),
        ObjectType::AskResponse => ask_response::parse(object, context),
        ObjectType::NetworkResponse => network_response::parse(object, context),
        ObjectType::ProviderDealState => provider_deal_state::parse(object, context),
        ObjectType::F3 => f3::parse(object),
        ObjectType::Unknown => unknown::parse(object),
        ObjectType::VerifyAddress => unreachable!("answered above"),
    }?;
    if !extra.is_empty() && parsed.signing_bytes != to_sign {
        return Err(mismatch(object_type, &parsed.signing_bytes, to_sign));
    }
    Ok(parsed)
}

fn mismatch(object_type: ObjectType, derived: &[u8], asked: &[u8]) -> ObjectError {
    ObjectError::Mismatch { object_type, derived: abbreviate(derived), asked: abbreviate(asked) }
}

/// Hex of short bytes, or their length and beginning.
fn abbreviate(bytes: &[u8]) -> String {
    match bytes.get(..48) {
        None => hex::encode(bytes),
        Some(start) => format!("{}... ({} bytes)", hex::encode(start), bytes.len()),
    }
}

/// Attaches the type to what went wrong inside.
fn shape(object_type: ObjectType) -> impl Fn(ShapeError) -> ObjectError {
    move |source| ObjectError::Shape { object_type, source }
}

fn chain(object_type: ObjectType) -> impl Fn(&dyn std::error::Error) -> ObjectError {
    move |error| {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            reason = format!("{reason}: {inner}");
            source = inner.source();
        }
        ObjectError::Chain { object_type, reason }
    }
}

impl Serialize for ObjectType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}
