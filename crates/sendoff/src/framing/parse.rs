//! A framing as text: `le32`, `be16:counting-prefix:limit=4096`.

use super::{Framing, format::Kind};
use std::{fmt, str::FromStr};

const COUNTING: &str = "counting-prefix";
const LIMIT: &str = "limit=";

/// The text is no framing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFramingError {
    /// No framing has this name.
    #[error("framing {0:?}: must be u8, le16, be16, le32, be32, le64, be64, varint, lines or none")]
    Name(String),
    /// No framing has this option.
    #[error("option {0:?} of a framing: must be {COUNTING} or {LIMIT}BYTES")]
    Option(String),
    /// The limit is no number of bytes.
    #[error("limit {0:?} of a framing: must be a number of bytes")]
    Limit(String),
    /// It has no length whose prefix could be counted.
    #[error("framing {0} has no length that could count its prefix")]
    NoPrefix(&'static str),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::U8 => "u8",
            Kind::Le16 => "le16",
            Kind::Be16 => "be16",
            Kind::Le32 => "le32",
            Kind::Be32 => "be32",
            Kind::Le64 => "le64",
            Kind::Be64 => "be64",
            Kind::Varint => "varint",
            Kind::Lines => "lines",
            Kind::None => "none",
        }
    }

    /// The names of others for it.
    fn alias(self) -> Option<&'static str> {
        Some(match self {
            Kind::Le16 => "u16le",
            Kind::Be16 => "u16be",
            Kind::Le32 => "u32le",
            Kind::Be32 => "u32be",
            Kind::Le64 => "u64le",
            Kind::Be64 => "u64be",
            _ => return None,
        })
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.counts_prefix {
            write!(f, ":{COUNTING}")?;
        }
        match self.limit_asked() {
            Self::DEFAULT_LIMIT => Ok(()),
            limit => write!(f, ":{LIMIT}{limit}"),
        }
    }
}

impl FromStr for Framing {
    type Err = ParseFramingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, options) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name || kind.alias() == Some(name));
        let mut framing = Framing::with(kind.ok_or_else(|| ParseFramingError::Name(name.to_owned()))?);
        for option in options.into_iter().flat_map(|options| options.split(':')) {
            framing = with_option(framing, option)?;
        }
        Ok(framing)
    }
}

fn with_option(framing: Framing, option: &str) -> Result<Framing, ParseFramingError> {
    if option == COUNTING {
        let kind = framing.kind;
        return match kind.has_prefix() {
            true => Ok(framing.counting_prefix()),
            false => Err(ParseFramingError::NoPrefix(kind.name())),
        };
    }
    let Some(bytes) = option.strip_prefix(LIMIT) else {
        return Err(ParseFramingError::Option(option.to_owned()));
    };
    let digits = !bytes.is_empty() && bytes.bytes().all(|byte| byte.is_ascii_digit());
    let limit = digits.then(|| bytes.parse().ok()).flatten();
    Ok(framing.limit(limit.ok_or_else(|| ParseFramingError::Limit(bytes.to_owned()))?))
}
