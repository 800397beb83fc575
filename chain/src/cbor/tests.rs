use super::*;
use crate::{Message, TokenAmount};

fn rule(bytes: &[u8]) -> Rule {
    match validate(bytes) {
        Err(DecodeError::NotCanonical { rule, .. }) => rule,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

#[test]
fn canonical_items_pass() {
    let link = [&[0xd8, 0x2a, 0x58, 0x27, 0x00][..], &crate::cid::of_cbor(b"").to_bytes()].concat();
    let items: [&[u8]; 9] = [
        &[0x00],
        &[0x18, 0x18],
        &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x40],
        &[0x62, 0xc3, 0xbc],
        &[0x83, 0xf4, 0xf5, 0xf6],
        &[0xa2, 0x61, b'b', 0x01, 0x62, b'a', b'a', 0x80],
        &[0xa0],
        &link,
    ];
    for item in items {
        validate(item).unwrap();
    }
}

#[test]
fn integers_and_lengths_that_are_not_shortest_are_refused() {
    let cases: [&[u8]; 8] = [
        &[0x18, 0x17],
        &[0x19, 0x00, 0xff],
        &[0x1a, 0x00, 0x00, 0xff, 0xff],
        &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[0x58, 0x01, 0x00],
        &[0x98, 0x01, 0x00],
        &[0xb8, 0x00],
        &[0x1c],
    ];
    for case in cases {
        assert_eq!(rule(case), Rule::Shortest, "{case:02x?}");
    }
}

#[test]
fn indefinite_lengths_are_refused() {
    for case in
        [&[0x5f, 0x41, 0x00, 0xff][..], &[0x7f, 0xff], &[0x9f, 0xff], &[0xbf, 0xff], &[0xff]]
    {
        assert_eq!(rule(case), Rule::Definite, "{case:02x?}");
    }
}

#[test]
fn maps_with_unsorted_repeated_or_other_keys_are_refused() {
    assert_eq!(rule(&[0xa2, 0x61, b'b', 0, 0x61, b'a', 0]), Rule::KeyOrder);
    assert_eq!(rule(&[0xa2, 0x62, b'a', b'a', 0, 0x61, b'b', 0]), Rule::KeyOrder);
    assert_eq!(rule(&[0xa2, 0x61, b'a', 0, 0x61, b'a', 0]), Rule::KeyOrder);
    assert_eq!(rule(&[0xa1, 0x01, 0x00]), Rule::KeyType);
    assert_eq!(rule(&[0xa1, 0x61, 0xff, 0x00]), Rule::Utf8);
}

#[test]
fn floats_tags_and_broken_links_are_refused() {
    assert_eq!(rule(&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0]), Rule::Simple);
    assert_eq!(rule(&[0xf9, 0, 0]), Rule::Simple);
    assert_eq!(rule(&[0xf7]), Rule::Simple);
    assert_eq!(rule(&[0xc1, 0x00]), Rule::Tag);
    assert_eq!(rule(&[0xd8, 0x2a, 0x00]), Rule::Link);
    assert_eq!(rule(&[0xd8, 0x2a, 0x41, 0x00]), Rule::Link);
    let mut cid = crate::cid::of_cbor(b"").to_bytes();
    assert_eq!(rule(&[&[0xd8, 0x2a, 0x58, 0x27, 0x01][..], &cid].concat()), Rule::Link);
    cid.push(0);
    assert_eq!(rule(&[&[0xd8, 0x2a, 0x58, 0x28, 0x00][..], &cid].concat()), Rule::Link);
    assert_eq!(rule(&[0x61, 0xff]), Rule::Utf8);
}

#[test]
fn deep_nesting_and_huge_lengths_end_early() {
    assert_eq!(rule(&vec![0x81; 1 << 20]), Rule::Depth);
    for major in [0x5b, 0x7b, 0x9b, 0xbb] {
        let claim = [major, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(validate(&claim), Err(DecodeError::Cut { .. })));
    }
}

#[test]
fn trailing_bytes_and_cut_items_are_refused() {
    assert!(matches!(validate(&[0x00, 0x00]), Err(DecodeError::Trailing { at: 1, count: 1 })));
    assert!(matches!(validate(&[]), Err(DecodeError::Cut { at: 0 })));
    assert!(matches!(validate(&[0x82, 0x00]), Err(DecodeError::Cut { at: 2 })));
    assert!(matches!(validate(&[0x19, 0x01]), Err(DecodeError::Cut { .. })));
}

#[test]
fn amounts_with_needless_zeros_are_another_form() {
    let decode = decode_canonical::<TokenAmount>;
    assert_eq!(decode(&[0x42, 0x00, 0x05]).unwrap(), TokenAmount::from_atto(5));
    assert!(matches!(decode(&[0x43, 0x00, 0x00, 0x05]), Err(DecodeError::OtherForm { .. })));
    // Zero has no bytes at all; minus zero does not exist.
    assert_eq!(decode(&[0x40]).unwrap(), TokenAmount::from_atto(0));
    assert!(matches!(decode(&[0x41, 0x00]), Err(DecodeError::OtherForm { .. })));
    assert!(matches!(decode(&[0x41, 0x01]), Err(DecodeError::OtherForm { .. })));
    assert!(matches!(decode(&[0x42, 0x02, 0x05]), Err(DecodeError::Shape { .. })));
}

#[test]
fn errors_name_the_type_that_was_wanted() {
    let text = decode_canonical::<Message>(&[0x00]).unwrap_err().to_string();
    assert_eq!(text, "the bytes are canonical CBOR, but not a Message");
}
