//! For each primitive: whose data it is checked with, and the tests that do so. "none" means that
//! no data made by others is at hand; then the tests named are our own.

use std::path::Path;

/// A primitive, where its foreign data comes from, and `file::test`s relative to this crate.
struct Row {
    primitive: &'static str,
    source: &'static str,
    tests: &'static [&'static str],
}

const fn row(primitive: &'static str, source: &'static str, tests: &'static [&'static str]) -> Row {
    Row { primitive, source, tests }
}

const SERIALIZATION: &str = "filecoin-project/serialization-vectors";
const FOREST: &str = "forest-filecoin 0.39.0: chain4.car, export40.car, genesis files";

const TABLE: &[Row] = &[
    row(
        "addresses f0 to f4, text and bytes, both prefixes",
        "filecoin-project/go-address, address_test.go",
        &[
            "tests/foreign_core/address.rs::id_addresses_are_those_of_go_address",
            "tests/foreign_core/address.rs::secp256k1_addresses_are_those_of_go_address",
            "tests/foreign_core/address.rs::actor_addresses_are_those_of_go_address",
            "tests/foreign_core/address.rs::bls_addresses_are_those_of_go_address",
            "tests/foreign_core/address.rs::delegated_addresses_are_those_of_go_address",
            "tests/foreign_core/address.rs::texts_that_go_address_refuses_are_refused",
            "tests/foreign_core/address.rs::bytes_that_go_address_refuses_are_refused",
        ],
    ),
    row(
        "CIDs and canonical DAG-CBOR",
        FOREST,
        &["tests/foreign_core/forest.rs::every_block_of_the_cars_has_its_cid_and_is_canonical"],
    ),
    row(
        "token amounts, CBOR and JSON",
        SERIALIZATION,
        &["tests/foreign_core/serialization.rs::unsigned_messages_have_the_vectors_bytes"],
    ),
    row("token amounts, human text", "none", &["src/amount/tests.rs::amounts_are_shown_exactly"]),
    row(
        "messages",
        "filecoin-project/serialization-vectors; Zondax/filecoin-signing-tools",
        &[
            "tests/foreign_core/serialization.rs::unsigned_messages_have_the_vectors_bytes",
            "tests/foreign_core/signing.rs::multisig_messages_have_the_vectors_bytes",
            "tests/foreign_core/signing.rs::a_signers_message_decodes_to_itself",
        ],
    ),
    row(
        "signed messages",
        "filecoin-project/serialization-vectors; Zondax/filecoin-signing-tools",
        &[
            "tests/foreign_core/serialization.rs::signed_messages_have_the_vectors_cids",
            "tests/foreign_core/signing.rs::a_signed_message_has_the_vectors_cid",
        ],
    ),
    row(
        "block headers, tickets, election proofs, PoSt proofs",
        "filecoin-project/serialization-vectors; forest-filecoin 0.39.0",
        &[
            "tests/foreign_core/serialization.rs::block_headers_have_the_vectors_bytes_and_cids",
            "tests/foreign_core/forest.rs::every_header_encodes_to_its_bytes_and_cid",
        ],
    ),
    row(
        "tipsets, their order and keys",
        FOREST,
        &["tests/foreign_core/forest.rs::tipsets_have_the_order_that_their_children_state"],
    ),
    row(
        "beacon entries",
        FOREST,
        &["tests/foreign_core/forest.rs::children_continue_their_parents"],
    ),
    row(
        "message meta root",
        FOREST,
        &["tests/foreign_core/forest.rs::message_roots_and_messages_have_the_cids_of_the_chain"],
    ),
    row(
        "CID of a tipset key",
        "none",
        &["src/tipset/tests.rs::the_cid_of_a_key_is_that_of_its_bytes"],
    ),
    row(
        "the gossip form of a block",
        "none",
        &["src/block/tests.rs::the_gossip_form_round_trips_and_is_bounded"],
    ),
    row(
        "method names and numbers",
        "filecoin-project/venus, msg_parser; filecoin-project/filecoin-solidity",
        &[
            "tests/foreign_core/venus.rs::real_messages_name_known_methods",
            "tests/foreign_core/method.rs::hashed_method_numbers_are_the_published_ones",
        ],
    ),
    row(
        "CIDs, addresses and parameters of real messages",
        "filecoin-project/venus, msg_parser",
        &[
            "tests/foreign_core/venus.rs::real_messages_have_canonical_addresses_cids_and_parameters",
        ],
    ),
    row(
        "BLS sign, verify, aggregate verify",
        "serialization-vectors; filecoin-signing-tools; forest-filecoin 0.39.0, export40.car",
        &[
            "tests/signing/zondax.rs::message_signing_vectors_agree_in_key_payload_and_signature",
            "tests/signing/zondax.rs::the_bls_key_and_signature_are_those_of_the_vector",
            "tests/signing/chains.rs::every_block_is_signed_by_one_key_per_miner",
            "tests/signing/chains.rs::block_aggregates_and_message_signatures_are_valid",
        ],
    ),
    row(
        "BLS batches that name the bad ones",
        "none",
        &[
            "tests/signing/bls.rs::a_batch_names_each_wrong_signature",
            "tests/signing/bls.rs::signatures_whose_errors_cancel_out_are_found",
        ],
    ),
    row(
        "secp256k1 signatures",
        "filecoin-signing-tools; ref-fvm; forest-filecoin 0.39.0, export40.car",
        &[
            "tests/signing/zondax.rs::the_secp_message_has_the_vectors_signature",
            "tests/signing/secp.rs::the_high_s_signature_of_ref_fvm_recovers_its_signer",
            "tests/signing/chains.rs::block_aggregates_and_message_signatures_are_valid",
        ],
    ),
    row(
        "delegated signatures, EIP-1559 and legacy",
        "filecoin-project/lotus, chain/types/ethtypes tests",
        &[
            "tests/signing/delegated.rs::the_1559_transactions_of_lotus_have_its_signing_bytes_and_signatures",
            "tests/signing/delegated.rs::the_legacy_transactions_of_lotus_have_its_senders_and_fields",
            "tests/signing/delegated.rs::recovery_and_delegated_verification_agree_with_lotus",
        ],
    ),
    row(
        "keys and their addresses",
        "filecoin-signing-tools; filecoin-project/venus, genesis-sectors",
        &[
            "tests/signing/zondax.rs::wallet_keys_have_the_vectors_addresses",
            "tests/signing/keys.rs::the_genesis_key_file_of_another_implementation_is_read",
        ],
    ),
    row(
        "randomness draw and VRF",
        "forest-filecoin 0.39.0, export40.car",
        &["tests/signing/chains.rs::every_election_proof_and_ticket_is_a_vrf_proof_of_the_worker"],
    ),
    row(
        "win count",
        "filecoin-project/lotus, chain/types/testdata; forest-filecoin 0.39.0",
        &[
            "tests/signing/poisson.rs::the_exponential_has_the_networks_bits",
            "tests/signing/poisson.rs::expected_wins_have_the_networks_bits",
            "tests/signing/poisson.rs::the_tail_of_the_distribution_has_the_networks_bits",
            "tests/signing/chains.rs::every_win_count_is_that_of_a_third_of_the_power",
        ],
    ),
    row("ticket quality", "none", &["src/election.rs::ticket_quality_orders_as_the_digest_does"]),
    row(
        "drand, chained and quicknet",
        "tests of drand-verify 0.6.2 and of Forest; export40.car",
        &[
            "tests/signing/drand.rs::chained_rounds_of_mainnet_are_genuine",
            "tests/signing/drand.rs::unchained_rounds_are_genuine_whatever_came_before",
            "tests/signing/drand.rs::another_implementation_agrees_on_entries_made_here",
            "tests/signing/chains.rs::every_blocks_beacon_entries_are_genuine_and_of_the_right_rounds",
        ],
    ),
    row(
        "proving-deadline arithmetic",
        "filecoin-project/go-state-types, dline/deadline_test.go",
        &[
            "tests/signing/deadline.rs::before_the_period_nothing_is_open",
            "tests/signing/deadline.rs::the_period_begins_and_ends_at_its_epochs",
            "tests/signing/deadline.rs::deadlines_open_and_close_at_their_epochs",
        ],
    ),
    row(
        "base fee before and from network version 28",
        "filecoin-project/lotus, chain/store/basefee_test.go; export40.car",
        &[
            "tests/signing/base_fee.rs::utilisation_moves_the_fee_as_in_lotus",
            "tests/signing/base_fee.rs::the_premium_moves_the_fee_as_in_lotus",
            "tests/signing/chains.rs::every_base_fee_follows_from_the_messages_of_the_parents",
        ],
    ),
];

/// The primitives that owe a row.
const OWED: [&str; 21] = [
    "addresses",
    "CIDs",
    "token amounts",
    "messages",
    "signed messages",
    "block headers",
    "tipsets",
    "beacon entries",
    "message meta root",
    "method names",
    "BLS sign",
    "BLS batches",
    "secp256k1",
    "delegated",
    "keys",
    "randomness draw and VRF",
    "win count",
    "ticket quality",
    "drand",
    "proving-deadline",
    "base fee",
];

#[test]
fn every_primitive_has_a_row_whose_tests_exist() {
    for owed in OWED {
        assert!(TABLE.iter().any(|row| row.primitive.starts_with(owed)), "no row for {owed}");
    }
    for row in TABLE {
        assert!(!row.source.is_empty() && !row.tests.is_empty(), "{}", row.primitive);
        for test in row.tests {
            let (file, name) = test.split_once("::").unwrap();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let text = lines.join("\n");
            let written = format!("#[test]\nfn {name}() {{");
            assert!(text.contains(&written), "{}: no test {test}", row.primitive);
        }
        println!("{} <- {}", row.primitive, row.source);
    }
}
