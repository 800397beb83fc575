//! **Purpose**: methods of the verified registry actor.

use fil_actor_verifreg_state::v18 as now;
use fil_actor_verifreg_state::v18::Method as M;

use super::miner::BATCH_RETURN;
use super::{Address, Any, BigInt, Bool, Cid, Int, Method, Nothing, Signature, Uint, plain, typed};
use crate::schema::{Schema, array, tuple};

const VERIFIER: Schema = tuple! { Address: Address, Allowance: BigInt };
const EXPIRED_ALLOCATIONS: Schema = tuple! { Client: Uint, AllocationIDs: array!(Uint) };
const EXPIRED_ALLOCATIONS_RETURN: Schema =
    tuple! { Considered: array!(Uint), Results: BATCH_RETURN, DatacapRecovered: BigInt };
const CLAIMS: Schema = tuple! { Provider: Uint, ClaimIDs: array!(Uint) };
const CLAIMS_RETURN: Schema = tuple! {
    BatchInfo: BATCH_RETURN,
    Claims: array!(tuple! {
        Provider: Uint,
        Client: Uint,
        Data: Cid,
        Size: Uint,
        TermMin: Int,
        TermMax: Int,
        TermStart: Int,
        Sector: Uint,
    }),
};
const EXTEND: Schema =
    tuple! { Terms: array!(tuple! { Provider: Uint, ClaimID: Uint, TermMax: Int }) };
const EXPIRED_CLAIMS_RETURN: Schema = tuple! { Considered: array!(Uint), Results: BATCH_RETURN };
const REMOVAL_REQUEST: Schema = tuple! { Verifier: Address, VerifierSignature: Signature };

pub(super) const METHODS: &[Method] = &[
    typed::<now::ConstructorParams>(1, "Constructor", Address, Nothing),
    typed::<now::VerifierParams>(2, "AddVerifier", VERIFIER, Nothing),
    typed::<now::RemoveVerifierParams>(3, "RemoveVerifier", Address, Nothing),
    typed::<now::VerifierParams>(4, "AddVerifiedClient", VERIFIER, Nothing),
    typed::<now::RemoveDataCapParams>(
        7,
        "RemoveVerifiedClientDataCap",
        tuple! {
            VerifiedClientToRemove: Address,
            DataCapAmountToRemove: BigInt,
            VerifierRequest1: REMOVAL_REQUEST,
            VerifierRequest2: REMOVAL_REQUEST,
        },
        tuple! { VerifiedClient: Address, DataCapRemoved: BigInt },
    ),
    typed::<now::RemoveExpiredAllocationsParams>(
        8,
        "RemoveExpiredAllocations",
        EXPIRED_ALLOCATIONS,
        EXPIRED_ALLOCATIONS_RETURN,
    ),
    typed::<now::ClaimAllocationsParams>(
        9,
        "ClaimAllocations",
        tuple! {
            Sectors: array!(tuple! {
                Sector: Uint,
                SectorExpiry: Int,
                Claims: array!(tuple! {
                    Client: Uint, AllocationId: Uint, Data: Cid, Size: Uint
                }),
            }),
            AllOrNothing: Bool,
        },
        tuple! { SectorResults: BATCH_RETURN, SectorClaims: array!(BigInt) },
    ),
    typed::<now::GetClaimsParams>(10, "GetClaims", CLAIMS, CLAIMS_RETURN),
    typed::<now::ExtendClaimTermsParams>(11, "ExtendClaimTerms", EXTEND, BATCH_RETURN),
    typed::<now::RemoveExpiredClaimsParams>(
        12,
        "RemoveExpiredClaims",
        CLAIMS,
        EXPIRED_CLAIMS_RETURN,
    ),
    typed::<now::VerifierParams>(
        M::AddVerifiedClientExported as u64,
        "AddVerifiedClientExported",
        VERIFIER,
        Nothing,
    ),
    typed::<now::RemoveExpiredAllocationsParams>(
        M::RemoveExpiredAllocationsExported as u64,
        "RemoveExpiredAllocationsExported",
        EXPIRED_ALLOCATIONS,
        EXPIRED_ALLOCATIONS_RETURN,
    ),
    typed::<now::GetClaimsParams>(
        M::GetClaimsExported as u64,
        "GetClaimsExported",
        CLAIMS,
        CLAIMS_RETURN,
    ),
    typed::<now::ExtendClaimTermsParams>(
        M::ExtendClaimTermsExported as u64,
        "ExtendClaimTermsExported",
        EXTEND,
        BATCH_RETURN,
    ),
    typed::<now::RemoveExpiredClaimsParams>(
        M::RemoveExpiredClaimsExported as u64,
        "RemoveExpiredClaimsExported",
        CLAIMS,
        EXPIRED_CLAIMS_RETURN,
    ),
    // Takes what the data cap actor sends with a transfer.
    plain(M::UniversalReceiverHook as u64, "UniversalReceiverHook", Any, Any),
];
