//! **Purpose**: the type `f3`: a vote, or the VRF of a ticket, in fast finality.
//!
//! **Invariants**: the object is taken apart and put together again from its parts; it begins with
//! one of two domain prefixes and never has the length of a CID or digest, so that it is neither a
//! message nor randomness. Phases that are never signed are refused.
//!
//! **Source**: filecoin-project/go-f3 `gpbft/gpbft.go` (Payload.MarshalForSigning, phases),
//! `gpbft/vrf.go` (vrfSerializeSigInput), `gpbft/payload_test.go` and `gpbft/vrf_test.go`;
//! filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTF3), which signs anything.

use serde_json::json;

use super::fields::bad;
use super::{ObjectError, ObjectType, Parsed, ShapeError, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/go-f3 gpbft/gpbft.go and gpbft/vrf.go",
    "the payload of a vote (GPBFT:...) or of a ticket (VRF:...); the object itself is signed",
);
const TYPE: ObjectType = ObjectType::F3;
const VOTE: &[u8] = b"GPBFT:";
const TICKET: &[u8] = b"VRF:";
/// CIDv1, DAG-CBOR, blake2b-256 with 32 bytes.
const POWER_TABLE_PREFIX: [u8; 6] = [0x01, 0x71, 0xa0, 0xe4, 0x02, 0x20];
const NETWORK_BYTES_MAX: usize = 64;

/// The parts of a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    Vote {
        network: &'a str,
        phase: u8,
        round: u64,
        instance: u64,
        commitments: &'a [u8],
        value_key: &'a [u8],
        power_table: &'a [u8],
    },
    Ticket {
        network: &'a str,
        beacon: &'a [u8],
        instance: u64,
        round: u64,
    },
}

pub(super) fn parse(object: &[u8]) -> Result<Parsed, ObjectError> {
    let payload = split(object).map_err(shape(TYPE))?;
    check(&payload, object.len()).map_err(shape(TYPE))?;
    let shown = match &payload {
        Payload::Vote { network, phase, round, instance, commitments, value_key, power_table } => {
            let phases = ["initial", "quality", "converge", "prepare", "commit", "decide"];
            json!({
                "Network": network,
                "Phase": phases.get(usize::from(*phase)),
                "Round": round,
                "Instance": instance,
                "Commitments": hex::encode(commitments),
                "ValueKey": hex::encode(value_key),
                "PowerTable": hex::encode(power_table),
            })
        }
        Payload::Ticket { network, beacon, instance, round } => json!({
            "Network": network,
            "Beacon": hex::encode(beacon),
            "Instance": instance,
            "Round": round,
        }),
    };
    Ok(Parsed::new(TYPE, join(&payload), shown))
}

/// Takes a payload apart without judging its parts.
pub(super) fn split(object: &[u8]) -> Result<Payload<'_>, ShapeError> {
    if let Some(rest) = object.strip_prefix(VOTE) {
        let (network, rest) = network(rest)?;
        let Some((&phase, rest)) = rest.split_first() else {
            return Err(ShapeError::Truncated { at: object.len() });
        };
        let (round, rest) = number(rest, object.len())?;
        let (instance, rest) = number(rest, object.len())?;
        let (Some(commitments), Some(value_key), Some(power_table)) =
            (rest.get(..32), rest.get(32..64), rest.get(64..))
        else {
            return Err(ShapeError::Truncated { at: object.len() });
        };
        return Ok(Payload::Vote {
            network,
            phase,
            round,
            instance,
            commitments,
            value_key,
            power_table,
        });
    }
    let Some(rest) = object.strip_prefix(TICKET) else {
        return Err(bad("prefix", "the payload begins neither with GPBFT: nor with VRF:"));
    };
    let (network, rest) = network(rest)?;
    let Some((beacon, tail)) = rest.len().checked_sub(17).and_then(|at| rest.split_at_checked(at))
    else {
        return Err(ShapeError::Truncated { at: object.len() });
    };
    let Some(numbers) = tail.strip_prefix(b":") else {
        return Err(bad("Beacon", "no colon follows it"));
    };
    let (instance, numbers) = number(numbers, object.len())?;
    let (round, _) = number(numbers, object.len())?;
    Ok(Payload::Ticket { network, beacon, instance, round })
}

/// Puts the parts together: what is signed.
pub(super) fn join(payload: &Payload<'_>) -> Vec<u8> {
    match payload {
        Payload::Vote { network, phase, round, instance, commitments, value_key, power_table } => [
            VOTE,
            network.as_bytes(),
            b":",
            &[*phase],
            &round.to_be_bytes(),
            &instance.to_be_bytes(),
            commitments,
            value_key,
            power_table,
        ]
        .concat(),
        Payload::Ticket { network, beacon, instance, round } => [
            TICKET,
            network.as_bytes(),
            b":",
            beacon,
            b":",
            &instance.to_be_bytes(),
            &round.to_be_bytes(),
        ]
        .concat(),
    }
}

fn check(payload: &Payload<'_>, length: usize) -> Result<(), ShapeError> {
    let (Payload::Vote { network, .. } | Payload::Ticket { network, .. }) = payload;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    if network.is_empty() || network.len() > NETWORK_BYTES_MAX || !network.bytes().all(is_plain) {
        return Err(bad("Network", "a name of letters, digits and /-_. is wanted"));
    }
    if matches!(length, 32 | 36 | 38) {
        return Err(bad("Network", "the payload has the length of a digest or CID"));
    }
    match payload {
        Payload::Vote { phase, .. } if !(1..=5).contains(phase) => {
            Err(bad("Phase", "only quality, converge, prepare, commit and decide are signed"))
        }
        Payload::Vote { power_table, .. }
            if power_table.len() != 38 || !power_table.starts_with(&POWER_TABLE_PREFIX) =>
        {
            Err(bad("PowerTable", "it is not the CID of a chain object"))
        }
        // A beacon is a digest, or a drand signature of 48 or 96 bytes; the genesis has none.
        Payload::Ticket { beacon, .. } if !matches!(beacon.len(), 0 | 32 | 48 | 96) => {
            Err(bad("Beacon", "it does not have the length of a beacon"))
        }
        Payload::Vote { .. } | Payload::Ticket { .. } => Ok(()),
    }
}

fn network(bytes: &[u8]) -> Result<(&str, &[u8]), ShapeError> {
    let colon = bytes.iter().position(|byte| *byte == b':');
    let Some((name, rest)) = colon.and_then(|at| bytes.split_at_checked(at)) else {
        return Err(bad("Network", "no colon follows it"));
    };
    match std::str::from_utf8(name) {
        Ok(name) => Ok((name, &rest[1..])),
        Err(_) => Err(bad("Network", "it is not UTF-8")),
    }
}

fn number(bytes: &[u8], end: usize) -> Result<(u64, &[u8]), ShapeError> {
    match bytes.split_first_chunk::<8>() {
        Some((number, rest)) => Ok((u64::from_be_bytes(*number), rest)),
        None => Err(ShapeError::Truncated { at: end }),
    }
}
