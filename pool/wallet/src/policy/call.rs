//! **Purpose**: what a message really does: which methods its number can mean at its destination,
//! which of them are dangerous, and the call inside a multisig proposal.
//!
//! **Invariants**
//! - A destination whose actor type is not known is judged by every type: what is dangerous in any
//!   of them is dangerous there.
//! - A proposal is as dangerous as the call that it proposes; one that cannot be read is dangerous.
//!   An approval names its proposal only by number and hash, so it is always dangerous.
//! - Exported methods (FRC-0042) are judged like those whose name they carry.
//!
//! **Source**: fil_actor_miner_state, fil_actor_market_state and fil_actor_multisig_state 27.2
//! (v18) for methods and `ProposeParams`; Venus's seed document for the list of dangerous ones.

use std::collections::BTreeMap;
use std::fmt;

use hesper_chain::method::{ActorKind, FIRST_EXPORTED, base_name, frc42, name_of};
use hesper_chain::{Address, Protocol, TokenAmount};

use crate::object::Call;
use crate::object::fields::Fields;
use crate::object::node::Node;

/// Proposals within proposals are judged this deep; deeper ones are dangerous.
const NESTING_MAX: usize = 4;
const PROPOSE: u64 = 2;

/// The declared actor types of addresses.
pub(crate) type Actors = BTreeMap<Address, ActorKind>;

/// Methods that change who owns, works for or is paid by an actor.
fn is_dangerous(kind: ActorKind, name: &str) -> bool {
    match kind {
        ActorKind::Miner => matches!(
            name,
            "ChangeOwnerAddress"
                | "ChangeWorkerAddress"
                | "ConfirmChangeWorkerAddress"
                | "ChangeBeneficiary"
                | "WithdrawBalance"
        ),
        ActorKind::Market => name == "WithdrawBalance",
        ActorKind::Multisig => name == "Approve",
        ActorKind::System
        | ActorKind::Init
        | ActorKind::Cron
        | ActorKind::Reward
        | ActorKind::Power
        | ActorKind::PaymentChannel
        | ActorKind::VerifiedRegistry
        | ActorKind::Account
        | ActorKind::DataCap
        | ActorKind::Eam
        | ActorKind::Evm
        | ActorKind::Placeholder
        | ActorKind::EthAccount => false,
    }
}

/// Methods that a multisig accepts from itself alone, so only as the content of a proposal.
fn rules_multisig(name: &str) -> bool {
    matches!(
        name,
        "AddSigner" | "RemoveSigner" | "SwapSigner" | "ChangeNumApprovalsThreshold" | "LockBalance"
    )
}

/// Whether any actor has a dangerous method of this name.
pub(super) fn names_danger(name: &str) -> bool {
    let base = base_name(name);
    rules_multisig(base) || ActorKind::ALL.into_iter().any(|kind| is_dangerous(kind, base))
}

/// A meaning of a method number that needs a rule of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Danger {
    pub(super) kind: Option<ActorKind>,
    pub(super) method: String,
}

impl fmt::Display for Danger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.method.parse::<u64>()) {
            (Some(kind), Ok(number)) => {
                write!(f, "method {number}, which a {} actor does not have", kind.name())
            }
            _ => write!(f, "the dangerous `{}`", self.method),
        }
    }
}

/// A call and what it can mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JudgedCall {
    pub(crate) to: Address,
    pub(crate) kind: Option<ActorKind>,
    pub(crate) number: u64,
    /// For people: the method's name, or its number with the possible names.
    pub(crate) method: String,
    pub(crate) value: TokenAmount,
    pub(crate) dangers: Vec<Danger>,
}

/// The call of a message, then the one that it proposes, and so on.
pub(crate) fn judge(call: &Call, actors: &Actors) -> Vec<JudgedCall> {
    let mut judged = Vec::new();
    let mut current = Some(call.clone());
    while let Some(call) = current {
        let is_inner = !judged.is_empty();
        let mut next = judge_one(&call, actors, is_inner);
        current = match proposal(&call, next.kind) {
            Proposal::None => None,
            Proposal::Call(inner) if judged.len() + 1 < NESTING_MAX => Some(inner),
            Proposal::Call(_) | Proposal::Unreadable => {
                next.dangers.push(Danger { kind: next.kind, method: "Propose".to_owned() });
                None
            }
        };
        judged.push(next);
    }
    judged
}

fn judge_one(call: &Call, actors: &Actors, is_inner: bool) -> JudgedCall {
    let kind = kind_of(&call.to, actors);
    let meanings: Vec<(ActorKind, &'static str)> = match kind {
        Some(kind) => name_of(kind, call.method).map(|name| (kind, name)).into_iter().collect(),
        None => ActorKind::ALL
            .into_iter()
            .filter_map(|kind| name_of(kind, call.method).map(|name| (kind, name)))
            .collect(),
    };
    let mut dangers = Vec::new();
    for (kind, name) in &meanings {
        let base = base_name(name);
        let inner = is_inner && *kind == ActorKind::Multisig && rules_multisig(base);
        if inner || is_dangerous(*kind, base) {
            dangers.push(Danger { kind: Some(*kind), method: base.to_owned() });
        }
    }
    if let (Some(kind), true) = (kind, meanings.is_empty() && call.method < FIRST_EXPORTED) {
        dangers.push(Danger { kind: Some(kind), method: call.method.to_string() });
    }
    let method = describe(kind, call.method, &meanings);
    JudgedCall {
        to: call.to,
        kind,
        number: call.method,
        method,
        value: call.value.clone(),
        dangers,
    }
}

fn describe(
    kind: Option<ActorKind>,
    number: u64,
    meanings: &[(ActorKind, &'static str)],
) -> String {
    let mut names: Vec<&str> = meanings.iter().map(|(_, name)| *name).collect();
    names.dedup();
    match (kind, names.as_slice()) {
        (_, [name]) | (Some(_), [name, ..]) => (*name).to_owned(),
        (_, []) => number.to_string(),
        (None, names) => format!("{number} ({})", names.join(" or ")),
    }
}

/// The type of the actor at an address, where that is known.
pub(super) fn kind_of(address: &Address, actors: &Actors) -> Option<ActorKind> {
    if let Some(kind) = ActorKind::of_singleton(address).or_else(|| actors.get(address).copied()) {
        return Some(kind);
    }
    match address.protocol() {
        Protocol::Secp256k1 | Protocol::BLS => Some(ActorKind::Account),
        Protocol::Delegated => Some(ActorKind::Evm),
        Protocol::ID | Protocol::Actor => None,
    }
}

enum Proposal {
    None,
    Call(Call),
    Unreadable,
}

fn proposal(call: &Call, kind: Option<ActorKind>) -> Proposal {
    let may_propose = matches!(kind, Some(ActorKind::Multisig) | None);
    // Method 2 without parameters is a question to a miner; a multisig would refuse it.
    if !may_propose || call.method != PROPOSE || call.params.is_empty() {
        return Proposal::None;
    }
    match read_proposal(&call.params) {
        Some(inner) => Proposal::Call(inner),
        None => Proposal::Unreadable,
    }
}

fn read_proposal(params: &[u8]) -> Option<Call> {
    let node = Node::decode(params).ok()?;
    let names = ["To", "Value", "Method", "Params"];
    let fields = Fields::of_tuple("a proposal", &node, &names).ok()?;
    Some(Call {
        to: fields.address("To").ok()?,
        value: fields.amount("Value").ok()?,
        method: fields.unsigned("Method").ok()?,
        params: fields.bytes("Params").ok()?.to_vec(),
    })
}

/// A method as a rule names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `*`: every method that is not dangerous.
    AnyHarmless,
    /// A number, for methods without a known name.
    Number(u64),
    /// `frc42:Name`: the number that is made from the name.
    Hashed { number: u64 },
    /// `WithdrawBalance` or `miner.WithdrawBalance`; the exported twin is meant as well.
    Named { actor: Option<ActorKind>, name: String },
}

impl Pattern {
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        if text == "*" {
            return Ok(Pattern::AnyHarmless);
        }
        if let Ok(number) = text.parse::<u64>() {
            return Ok(Pattern::Number(number));
        }
        if let Some(name) = text.strip_prefix("frc42:") {
            let number = frc42(name).map_err(|error| error.to_string())?;
            return Ok(Pattern::Hashed { number });
        }
        let (actor, name) = match text.split_once('.') {
            None => (None, text),
            Some((actor, name)) => match ActorKind::of_name(actor) {
                Some(kind) => (Some(kind), name),
                None => return Err(format!("there is no actor type `{actor}`")),
            },
        };
        let kinds = ActorKind::ALL.into_iter().filter(|kind| actor.is_none_or(|a| a == *kind));
        let is_known = |kind| {
            let mut methods = hesper_chain::method::methods(kind).iter();
            name == "Send" || methods.any(|method| base_name(method.name) == base_name(name))
        };
        match { kinds }.any(is_known) {
            true => Ok(Pattern::Named { actor, name: base_name(name).to_owned() }),
            false => Err(format!(
                "no actor has a method `{text}`; write frc42:Name for a contract's own method"
            )),
        }
    }

    /// Whether the pattern names this meaning of a method.
    pub(super) fn names(&self, danger: &Danger) -> bool {
        match self {
            Pattern::AnyHarmless | Pattern::Hashed { .. } => false,
            Pattern::Number(number) => danger.method == number.to_string(),
            Pattern::Named { actor, name } => {
                *name == danger.method && actor.is_none_or(|actor| danger.kind == Some(actor))
            }
        }
    }

    /// Whether the call can be one of the method that the pattern names.
    pub(super) fn fits(&self, call: &JudgedCall) -> bool {
        match self {
            Pattern::AnyHarmless => call.dangers.is_empty(),
            Pattern::Number(number) | Pattern::Hashed { number } => *number == call.number,
            Pattern::Named { actor, name } => {
                let kinds = ActorKind::ALL.into_iter();
                kinds
                    .filter(|kind| call.kind.is_none_or(|known| known == *kind))
                    .filter(|kind| actor.is_none_or(|wanted| wanted == *kind))
                    .any(|kind| name_of(kind, call.number).map(base_name) == Some(name.as_str()))
            }
        }
    }
}
