//! BLS: refusals, aggregates and batches. Valid signatures of others are in `zondax` and `chains`.

use hesper_chain::bls::{
    BatchError, BlsError, INFINITY, PublicKey, Secret, SignatureBytes, Signed, aggregate, verify,
    verify_aggregate, verify_batch,
};

struct Case {
    key: PublicKey,
    message: Vec<u8>,
    signature: SignatureBytes,
}

fn secret(seed: u32) -> Secret {
    let mut bytes = [0u8; 32];
    bytes[..4].copy_from_slice(&(seed + 1).to_le_bytes());
    bytes[20] = 9;
    Secret::from_le_bytes(&bytes).unwrap()
}

fn cases(count: u32) -> Vec<Case> {
    (0..count)
        .map(|seed| {
            let secret = secret(seed);
            let message = [b"message ".as_slice(), &seed.to_be_bytes()].concat();
            Case { key: secret.public_key(), signature: secret.sign(&message), message }
        })
        .collect()
}

fn batch(cases: &[Case]) -> Result<(), BatchError> {
    let items: Vec<Signed<'_>> = cases
        .iter()
        .map(|case| Signed {
            public_key: &case.key,
            message: &case.message,
            signature: &case.signature,
        })
        .collect();
    verify_batch(&items)
}

fn bad(cases: &[Case]) -> Vec<usize> {
    match batch(cases) {
        Ok(()) => Vec::new(),
        Err(BatchError::Invalid { bad }) => bad,
        Err(BatchError::Randomness) => panic!("no randomness"),
    }
}

fn infinity_key() -> PublicKey {
    let mut key = [0u8; 48];
    key[0] = 0xc0;
    key
}

/// A point of the curve outside the subgroup: nearly every x that is on the curve gives one, as the
/// cofactor is large.
fn outside_subgroup_g1() -> PublicKey {
    use blst::min_pk::PublicKey;
    (1u8..=255)
        .find_map(|x| {
            let mut bytes = [0u8; 48];
            bytes[0] = 0x80;
            bytes[47] = x;
            let point = PublicKey::uncompress(&bytes).ok()?;
            point.validate().is_err().then_some(bytes)
        })
        .unwrap()
}

fn outside_subgroup_g2() -> SignatureBytes {
    use blst::min_pk::Signature;
    (1u8..=255)
        .find_map(|x| {
            let mut bytes = [0u8; 96];
            bytes[0] = 0x80;
            bytes[95] = x;
            let point = Signature::uncompress(&bytes).ok()?;
            (!point.subgroup_check()).then_some(bytes)
        })
        .unwrap()
}

#[test]
fn malformed_points_are_refused_by_name() {
    let case = &cases(1)[0];
    let with_key = |key: &PublicKey| verify(key, &case.message, &case.signature);
    let with_signature = |bytes: &SignatureBytes| verify(&case.key, &case.message, bytes);
    with_key(&case.key).unwrap();
    for key in [infinity_key(), outside_subgroup_g1(), [0; 48], [0xff; 48]] {
        assert_eq!(with_key(&key), Err(BlsError::PublicKey));
    }
    for signature in [INFINITY, outside_subgroup_g2(), [0; 96], [0xff; 96]] {
        assert_eq!(with_signature(&signature), Err(BlsError::Signature));
    }
    // The infinity flag with other bits set, and the uncompressed flag, are not canonical.
    let mut dirty = INFINITY;
    dirty[95] = 1;
    assert_eq!(with_signature(&dirty), Err(BlsError::Signature));
    let mut uncompressed = case.signature;
    uncompressed[0] &= 0x7f;
    assert_eq!(with_signature(&uncompressed), Err(BlsError::Signature));
    // The identity signs nothing, not even for the identity key.
    assert_eq!(verify(&infinity_key(), b"", &INFINITY), Err(BlsError::PublicKey));
}

#[test]
fn another_key_message_or_signature_does_not_fit() {
    let cases = cases(2);
    let (a, b) = (&cases[0], &cases[1]);
    assert_eq!(verify(&b.key, &a.message, &a.signature), Err(BlsError::Mismatch));
    assert_eq!(verify(&a.key, &b.message, &a.signature), Err(BlsError::Mismatch));
    assert_eq!(verify(&a.key, &a.message, &b.signature), Err(BlsError::Mismatch));
}

#[test]
fn an_aggregate_is_valid_for_exactly_its_keys_and_messages() {
    let cases = cases(20);
    let signatures: Vec<_> = cases.iter().map(|case| case.signature).collect();
    let keys: Vec<_> = cases.iter().map(|case| case.key).collect();
    let messages: Vec<&[u8]> = cases.iter().map(|case| case.message.as_slice()).collect();
    let sum = aggregate(&signatures).unwrap();
    verify_aggregate(&keys, &messages, &sum).unwrap();

    let mut swapped = messages.clone();
    swapped.swap(3, 4);
    assert_eq!(verify_aggregate(&keys, &swapped, &sum), Err(BlsError::Mismatch));
    let fewer = verify_aggregate(&keys[1..], &messages[1..], &sum);
    assert_eq!(fewer, Err(BlsError::Mismatch));
    let uneven = verify_aggregate(&keys[1..], &messages, &sum);
    assert_eq!(uneven, Err(BlsError::Count { keys: 19, messages: 20 }));
    let mut keys_bad = keys.clone();
    keys_bad[7] = infinity_key();
    assert_eq!(verify_aggregate(&keys_bad, &messages, &sum), Err(BlsError::PublicKey));
    let outside = outside_subgroup_g2();
    assert_eq!(verify_aggregate(&keys, &messages, &outside), Err(BlsError::Signature));
    assert_eq!(aggregate(&[signatures[0], outside]), Err(BlsError::Signature));
}

#[test]
fn the_empty_aggregate_is_infinity_and_nothing_else() {
    assert_eq!(aggregate(&[]), Ok(INFINITY));
    verify_aggregate(&[], &[], &INFINITY).unwrap();
    let other = cases(1)[0].signature;
    assert_eq!(verify_aggregate(&[], &[], &other), Err(BlsError::Mismatch));
}

#[test]
fn equal_messages_are_allowed_in_an_aggregate() {
    let keys = [secret(1), secret(2)];
    let sum = aggregate(&[keys[0].sign(b"same"), keys[1].sign(b"same")]).unwrap();
    let public = [keys[0].public_key(), keys[1].public_key()];
    verify_aggregate(&public, &[b"same", b"same"], &sum).unwrap();
}

#[test]
fn a_good_batch_passes_and_an_empty_one_too() {
    assert_eq!(batch(&[]), Ok(()));
    for count in [1, 2, 7, 8, 9, 100] {
        assert_eq!(batch(&cases(count)), Ok(()), "{count}");
    }
}

#[test]
fn a_batch_names_each_wrong_signature() {
    for wrong in [vec![0], vec![99], vec![41], vec![0, 1, 2], vec![13, 50, 51, 98]] {
        let mut cases = cases(100);
        for position in &wrong {
            cases[*position].message.push(b'!');
        }
        assert_eq!(bad(&cases), wrong);
    }
    let mut all = cases(9);
    all.iter_mut().for_each(|case| case.message.push(b'!'));
    assert_eq!(bad(&all), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_batch_names_malformed_entries_beside_wrong_ones() {
    let mut cases = cases(12);
    cases[2].key = infinity_key();
    cases[5].signature = outside_subgroup_g2();
    cases[6].signature = INFINITY;
    cases[9].message.clear();
    cases[11].key = outside_subgroup_g1();
    assert_eq!(bad(&cases), [2, 5, 6, 9, 11]);
}

/// Without weights, errors that cancel out would pass: the sum of the two signatures is right.
#[test]
fn signatures_whose_errors_cancel_out_are_found() {
    let mut cases = cases(10);
    let (a, b) = (cases[3].signature, cases[8].signature);
    cases[3].signature = b;
    cases[8].signature = a;
    let plain: Vec<_> = cases.iter().map(|case| case.signature).collect();
    let keys: Vec<_> = cases.iter().map(|case| case.key).collect();
    let messages: Vec<&[u8]> = cases.iter().map(|case| case.message.as_slice()).collect();
    verify_aggregate(&keys, &messages, &aggregate(&plain).unwrap()).unwrap();
    assert_eq!(bad(&cases), [3, 8]);
}
