use super::*;

fn atto(text: &str) -> String {
    parse(text).unwrap().atto().to_string()
}

#[test]
fn amounts_are_read_with_their_units() {
    assert_eq!(atto("1.5 FIL"), "1500000000000000000");
    assert_eq!(atto("1.5FIL"), "1500000000000000000");
    assert_eq!(atto(" 2 fil "), "2000000000000000000");
    assert_eq!(atto("10 attoFIL"), "10");
    assert_eq!(atto("0.1 nanoFIL"), "100000000");
    assert_eq!(atto("3 mFIL"), "3000000000000000");
    assert_eq!(atto("123"), "123");
    assert_eq!(atto("0"), "0");
    assert_eq!(atto("0.000000000000000001 FIL"), "1");
}

#[test]
fn what_is_no_amount_is_refused() {
    for text in ["", "FIL", ".5 FIL", "1. FIL", "1.2.3 FIL", "-1 FIL", "+1 FIL", "1e3 FIL", "1_0"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    for text in ["1 MFIL", "1 PFIL", "1 BTC", "1 FIL FIL", "1 attoFIL."] {
        assert!(matches!(parse(text), Err(AmountError::Unit { .. })), "{text:?}");
    }
    for text in ["0.5", "1.5 attoFIL", "0.0000000000000000001 FIL"] {
        assert!(matches!(parse(text), Err(AmountError::TooFine { .. })), "{text:?}");
    }
}

#[test]
fn the_json_form_is_plain_digits() {
    assert_eq!(format_atto(&parse_atto("-12").unwrap()), "-12");
    for text in ["", "-", "+1", " 1", "1 ", "0x10", "1.0", "١"] {
        assert!(parse_atto(text).is_err(), "{text:?}");
    }
}

#[test]
fn amounts_over_128_bytes_are_refused() {
    let largest: BigInt = BigInt::from(2).pow(127 * 8) - 1;
    assert!(parse_atto(&largest.to_string()).is_ok());
    assert!(parse_atto(&(-&largest).to_string()).is_ok());
    let larger: BigInt = largest + 1;
    assert_eq!(parse_atto(&larger.to_string()), Err(AmountError::TooLarge { bytes: 129 }));
    assert!(check_size(&TokenAmount::from_atto(larger)).is_err());
    assert!(parse_atto(&"9".repeat(1 << 20)).is_err());
}

#[test]
fn only_amounts_from_0_to_2_billion_fil_are_in_range() {
    assert!(check_range(&TokenAmount::from_whole(TOTAL_FIL)).is_ok());
    assert!(check_range(&TokenAmount::from_atto(0)).is_ok());
    let more = TokenAmount::from_whole(TOTAL_FIL) + TokenAmount::from_atto(1);
    assert!(matches!(check_range(&more), Err(AmountError::MoreThanExists(_))));
    assert!(matches!(
        check_range(&TokenAmount::from_atto(-1)),
        Err(AmountError::Negative(text)) if text == "-0.000000000000000001 FIL"
    ));
}

#[test]
fn amounts_are_shown_exactly() {
    let cases =
        [("0", "0 FIL"), ("1", "0.000000000000000001 FIL"), ("-1500000000000000000", "-1.5 FIL")];
    for (atto, shown) in cases {
        assert_eq!(format_fil(&parse_atto(atto).unwrap()), shown);
    }
    assert_eq!(format_fil(&parse("12.50 FIL").unwrap()), "12.5 FIL");
}
