//! **Purpose**: the type `verifyaddress`: proof towards a pool that the wallet holds a key.
//!
//! **Invariants**: what is signed is the SHA-256 of 32 bytes of the challenger and 32 bytes that
//! this wallet gave out, so nobody else can choose the digest, and an old proof is worth nothing:
//! both halves are made anew for each challenge.
//!
//! What the proof does not say: to whom it was given. Neither node nor pool is part of what is
//! signed, as in Venus, so a node that passes the random bytes of another pool on, while it holds a
//! stream of the wallet, gets a proof that the other pool takes for its own. What binds a key to a
//! wallet is the stream that it was proven on, with the wallet's certificate and its user's token;
//! such a node wins requests for the key on its own stream to that pool, and no signature: it has no
//! key, and what it passes on, the wallet judges as it judges any request.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTVerifyAddress,
//! GetSignData); Venus's gateway sends its half in `Extra`. A request that names both halves is
//! ours.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Context, ObjectError, ObjectType, Parsed, mismatch};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go",
    "Extra is 32 random bytes of the challenger, or these and 32 of this wallet; \
     the SHA-256 of both is signed",
);
const TYPE: ObjectType = ObjectType::VerifyAddress;

pub(super) fn parse(
    to_sign: &[u8],
    extra: &[u8],
    context: &Context<'_>,
) -> Result<Parsed, ObjectError> {
    let (theirs, ours) = match extra.len() {
        32 => {
            // Venus's form leaves our half out: it is the one that gives the digest.
            let fits = |ours: &&[u8; 32]| digest(extra, *ours) == to_sign;
            let ours = context.issued.iter().find(fits).ok_or(ObjectError::NotIssued)?;
            (extra, ours.as_slice())
        }
        64 => {
            let (theirs, ours) = extra.split_at(32);
            if !context.issued.iter().any(|issued| issued == ours) {
                return Err(ObjectError::NotIssued);
            }
            (theirs, ours)
        }
        _ => {
            let what = "32 random bytes of the challenger in Extra, or these and 32 of the wallet";
            return Err(ObjectError::Missing { object_type: TYPE, what });
        }
    };
    let signing_bytes = digest(theirs, ours);
    if signing_bytes != to_sign {
        return Err(mismatch(TYPE, &signing_bytes, to_sign));
    }
    let shown = json!({ "Challenger": hex::encode(theirs), "Wallet": hex::encode(ours) });
    Ok(Parsed::new(TYPE, signing_bytes, shown))
}

fn digest(theirs: &[u8], ours: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(theirs).chain_update(ours).finalize().to_vec()
}
