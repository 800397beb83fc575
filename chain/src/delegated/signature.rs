//! **Purpose**: the stored forms of a delegated signature, and the 65 bytes behind each that are
//! verified.
//!
//! **Invariants**: the form is told by length and first byte alone, as every node tells it; v is
//! checked against the chain id before anything is recovered.
//!
//! **Source**: FIP-0091; EIP-155. The marker bytes 1 and 2 and the lengths are Lotus'
//! (`chain/types/ethtypes/eth_transactions.go`).

use super::EthKind;

const MARKER_HOMESTEAD: u8 = 1;
const MARKER_EIP155: u8 = 2;
const RS_BYTES: usize = 64;

/// Why a delegated signature was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionSignatureError {
    #[error(
        "a delegated signature has no form of {0} bytes; it is 65 bytes, or 66 with marker 1, or \
         longer with marker 2"
    )]
    Length(usize),
    #[error("marker byte {0} of a legacy signature is neither 1 nor 2")]
    Marker(u8),
    #[error("v of the signature is not one that chain {chain_id} allows; sign for this chain")]
    V { chain_id: u64 },
    #[error("the transaction is for chain {found}, not for {expected}; sign for this chain")]
    Chain { found: u64, expected: u64 },
    #[error("r or s of the signature is longer than 32 bytes")]
    Scalar,
}

/// r, s and the parity of a transaction signature, with the form it is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionSignature {
    kind: EthKind,
    chain_id: u64,
    rs: [u8; RS_BYTES],
    /// Recovery id.
    parity: u8,
}

impl TransactionSignature {
    /// Parses the bytes of a delegated signature as messages store them.
    ///
    /// # Errors
    /// Names the part that no form allows.
    pub fn from_bytes(bytes: &[u8], chain_id: u64) -> Result<Self, TransactionSignatureError> {
        if let Ok(plain) = <&[u8; 65]>::try_from(bytes) {
            let mut rs = [0u8; RS_BYTES];
            rs.copy_from_slice(&plain[..RS_BYTES]);
            return Ok(Self { kind: EthKind::Eip1559, chain_id, rs, parity: plain[RS_BYTES] });
        }
        let Some((marker, body)) = bytes.split_first().filter(|(_, body)| body.len() > RS_BYTES)
        else {
            return Err(TransactionSignatureError::Length(bytes.len()));
        };
        let (rs_bytes, v) = body.split_at(RS_BYTES);
        let mut rs = [0u8; RS_BYTES];
        rs.copy_from_slice(rs_bytes);
        let wrong_v = TransactionSignatureError::V { chain_id };
        let kind = match *marker {
            MARKER_HOMESTEAD if v.len() == 1 => EthKind::Homestead,
            MARKER_EIP155 if v.len() <= 16 => EthKind::Eip155,
            MARKER_HOMESTEAD | MARKER_EIP155 => {
                return Err(TransactionSignatureError::Length(bytes.len()));
            }
            other => return Err(TransactionSignatureError::Marker(other)),
        };
        let parity = parity_of(kind, v, chain_id).ok_or(wrong_v)?;
        Ok(Self { kind, chain_id, rs, parity })
    }

    /// The 1559 form from the numbers of a raw transaction.
    pub(super) fn eip1559(
        v: &[u8],
        r: &[u8],
        s: &[u8],
        found: u64,
        expected: u64,
    ) -> Result<Self, TransactionSignatureError> {
        if found != expected {
            return Err(TransactionSignatureError::Chain { found, expected });
        }
        let parity = match v {
            [] => 0,
            [1] => 1,
            _ => return Err(TransactionSignatureError::V { chain_id: expected }),
        };
        Ok(Self { kind: EthKind::Eip1559, chain_id: expected, rs: join(r, s)?, parity })
    }

    /// One of the two legacy forms from the numbers of a raw transaction.
    pub(super) fn legacy(
        v: &[u8],
        r: &[u8],
        s: &[u8],
        chain_id: u64,
    ) -> Result<Self, TransactionSignatureError> {
        let rs = join(r, s)?;
        [EthKind::Homestead, EthKind::Eip155]
            .into_iter()
            .find_map(|kind| {
                let parity = parity_of(kind, v, chain_id)?;
                Some(Self { kind, chain_id, rs, parity })
            })
            .ok_or(TransactionSignatureError::V { chain_id })
    }

    /// A signature of the given form from the 65 bytes that a key makes.
    pub fn from_recoverable(kind: EthKind, chain_id: u64, signature: &[u8; 65]) -> Self {
        let mut rs = [0u8; RS_BYTES];
        rs.copy_from_slice(&signature[..RS_BYTES]);
        Self { kind, chain_id, rs, parity: signature[RS_BYTES] }
    }

    /// The bytes that messages store.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.kind {
            EthKind::Eip1559 => self.recoverable().to_vec(),
            EthKind::Homestead => [&[MARKER_HOMESTEAD], &self.rs[..], &self.v_number()].concat(),
            EthKind::Eip155 => [&[MARKER_EIP155], &self.rs[..], &self.v_number()].concat(),
        }
    }

    /// r, s and recovery id, the form that is verified.
    pub fn recoverable(&self) -> [u8; 65] {
        let mut out = [0u8; 65];
        out[..RS_BYTES].copy_from_slice(&self.rs);
        out[RS_BYTES] = self.parity;
        out
    }

    /// Which form this is.
    pub fn kind(&self) -> EthKind {
        self.kind
    }

    /// v as the transaction carries it, big-endian; EIP-1559's zero is one zero byte.
    pub(super) fn v_number(&self) -> Vec<u8> {
        v_bytes(self.kind, self.chain_id, self.parity)
    }

    pub(super) fn r(&self) -> &[u8] {
        &self.rs[..32]
    }

    pub(super) fn s(&self) -> &[u8] {
        &self.rs[32..]
    }
}

/// The parity whose v these bytes are; comparing with the one encoding of each refuses padding.
fn parity_of(kind: EthKind, v: &[u8], chain_id: u64) -> Option<u8> {
    [0u8, 1].into_iter().find(|parity| v_bytes(kind, chain_id, *parity) == v)
}

/// v for a parity, without leading zeros.
fn v_bytes(kind: EthKind, chain_id: u64, parity: u8) -> Vec<u8> {
    let v = match kind {
        EthKind::Eip1559 => return vec![parity],
        EthKind::Homestead => 27 + u128::from(parity),
        EthKind::Eip155 => u128::from(chain_id) * 2 + 35 + u128::from(parity),
    };
    v.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

fn join(r: &[u8], s: &[u8]) -> Result<[u8; RS_BYTES], TransactionSignatureError> {
    let mut rs = [0u8; RS_BYTES];
    for (half, number) in [(0, r), (32, s)] {
        let start = 32usize.checked_sub(number.len()).ok_or(TransactionSignatureError::Scalar)?;
        rs[half + start..half + 32].copy_from_slice(number);
    }
    Ok(rs)
}
