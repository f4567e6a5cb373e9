//! Framings as text.

use sendoff::{Framing, ParseFramingError};

#[test]
fn every_framing_prints_as_its_name_and_comes_back() {
    let named = [
        (Framing::u8(), "u8"),
        (Framing::le16(), "le16"),
        (Framing::be16(), "be16"),
        (Framing::le32(), "le32"),
        (Framing::be32(), "be32"),
        (Framing::le64(), "le64"),
        (Framing::be64(), "be64"),
        (Framing::varint(), "varint"),
        (Framing::lines(), "lines"),
        (Framing::none(), "none"),
    ];
    for (framing, name) in named {
        assert_eq!(framing.to_string(), name);
        for framing in [framing, framing.limit(0), framing.limit(7), framing.limit(usize::MAX)] {
            assert_eq!(framing.to_string().parse(), Ok(framing));
            let counting = framing.counting_prefix();
            assert_eq!(counting.to_string().parse(), Ok(counting));
            assert_eq!(counting == framing, !counting.counts_prefix());
        }
    }
}

#[test]
fn the_names_of_others_are_understood() {
    let aliases = [
        ("u16le", Framing::le16()),
        ("u16be", Framing::be16()),
        ("u32le", Framing::le32()),
        ("u32be", Framing::be32()),
        ("u64le", Framing::le64()),
        ("u64be", Framing::be64()),
    ];
    for (name, framing) in aliases {
        assert_eq!(name.parse(), Ok(framing));
    }
}

#[test]
fn options_follow_after_colons_in_any_order() {
    let framing = Framing::be16().counting_prefix().limit(4_096);
    assert_eq!(framing.to_string(), "be16:counting-prefix:limit=4096");
    assert_eq!("be16:limit=4096:counting-prefix".parse(), Ok(framing));
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = [
        ("", "framing \"\": must be u8, le16, be16, le32, be32, le64, be64, varint, lines or none"),
        ("LE32", "framing \"LE32\": must be u8, le16, be16, le32, be32, le64, be64, varint, lines or none"),
        ("le32:", "option \"\" of a framing: must be counting-prefix or limit=BYTES"),
        ("le32:little", "option \"little\" of a framing: must be counting-prefix or limit=BYTES"),
        ("le32:limit=", "limit \"\" of a framing: must be a number of bytes"),
        ("le32:limit=-1", "limit \"-1\" of a framing: must be a number of bytes"),
        ("le32:limit=+1", "limit \"+1\" of a framing: must be a number of bytes"),
        ("le32:limit=1k", "limit \"1k\" of a framing: must be a number of bytes"),
        (
            "le32:limit=18446744073709551616",
            "limit \"18446744073709551616\" of a framing: must be a number of bytes",
        ),
        ("lines:counting-prefix", "framing lines has no length that could count its prefix"),
    ];
    for (text, error) in wrong {
        assert_eq!(text.parse::<Framing>().unwrap_err().to_string(), error);
    }
    assert_eq!("none:counting-prefix".parse::<Framing>(), Err(ParseFramingError::NoPrefix("none")));
}
