//! Addresses as typed: `[kcp://]HOST:PORT[?setting=value,…]`.

use crate::exit::Usage;
use std::{fmt, net::Ipv6Addr};

/// Schemes that are known, but not spoken.
const LATER: [&str; 2] = ["tcp", "udp"];

/// A parsed address. Its settings are still text; [`Settings`](crate::settings) knows what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub host: Host,
    /// UDP port; 0 asks the system for one.
    pub port: u16,
    /// What stood behind the `?`, in order: name and, but for bare words, value.
    pub settings: Vec<(String, Option<String>)>,
}

/// The host of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// None was given: every address of this machine.
    All,
    /// A name, or an IP address without its brackets.
    Named(String),
}

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// [`Usage`], naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, Usage> {
        parse(text).map_err(|problem| Usage(format!("{}: {problem}", text.escape_debug())))
    }

    /// For those that call somebody: host and port must be given.
    ///
    /// # Errors
    /// [`Usage`], saying which is missing.
    pub fn destination(&self) -> Result<(&str, u16), Usage> {
        let Host::Named(host) = &self.host else {
            return Err(Usage(format!("{self}: missing host; on this machine: 127.0.0.1:{}", self.port)));
        };
        match self.port {
            0 => Err(Usage(format!("{self}: port 0 can't be reached; it must be 1 to 65535"))),
            port => Ok((host, port)),
        }
    }
}

impl fmt::Display for Address {
    /// Without the settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::All => write!(f, "kcp://:{}", self.port),
            Host::Named(host) if host.contains(':') => write!(f, "kcp://[{host}]:{}", self.port),
            Host::Named(host) => write!(f, "kcp://{host}:{}", self.port),
        }
    }
}

fn parse(text: &str) -> Result<Address, String> {
    let rest = match text.split_once("://") {
        Some(("kcp", rest)) => rest,
        Some((scheme, _)) if LATER.contains(&scheme) => {
            return Err(format!("{scheme}:// is not in this version of sendoff: only kcp://"));
        }
        Some((scheme, _)) => {
            return Err(format!("unknown scheme {}:// (there is kcp://)", scheme.escape_debug()));
        }
        None => text,
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let (host, port) = split_port(place.strip_suffix('/').unwrap_or(place))?;
    Ok(Address { host: parse_host(host)?, port: parse_port(port)?, settings: parse_settings(query)? })
}

fn split_port(place: &str) -> Result<(&str, &str), String> {
    if place.contains('/') {
        return Err("a path means nothing here; it must be HOST:PORT".into());
    }
    // An IPv6 address in brackets has colons of its own.
    let behind_brackets = place.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = place[behind_brackets..].find(':').map(|at| behind_brackets + at) else {
        return Err("missing port; it must be HOST:PORT, or :PORT to listen on all addresses".into());
    };
    let (host, port) = (&place[..colon], &place[colon + 1..]);
    match behind_brackets {
        0 if port.contains(':') && looks_like_ipv6(place) => {
            Err("an IPv6 address goes in brackets: [::1]:PORT".into())
        }
        _ if port.contains(':') => Err("more than one colon; it must be HOST:PORT".into()),
        _ => Ok((host, port)),
    }
}

fn looks_like_ipv6(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '%'))
}

fn parse_host(host: &str) -> Result<Host, String> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(|| bad_host(host))?;
        let address = inner.split_once('%').map_or(inner, |(address, _zone)| address);
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok(Host::Named(inner.to_owned())),
            Err(_) => Err(format!("{} is no IPv6 address", host.escape_debug())),
        };
    }
    match host {
        "" => Ok(Host::All),
        name if name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')) => {
            Ok(Host::Named(name.to_owned()))
        }
        _ => Err(bad_host(host)),
    }
}

fn bad_host(host: &str) -> String {
    format!("{:?} is no host", host)
}

fn parse_port(port: &str) -> Result<u16, String> {
    let digits = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    match port.parse() {
        Ok(number) if digits => Ok(number),
        _ if port.is_empty() => Err("missing port behind the colon".into()),
        _ => Err(format!("port {}: must be 0 to 65535", port.escape_debug())),
    }
}

fn parse_settings(query: Option<&str>) -> Result<Vec<(String, Option<String>)>, String> {
    let Some(query) = query else { return Ok(Vec::new()) };
    query
        .split([',', '&'])
        .map(|setting| match setting.split_once('=') {
            _ if setting.is_empty() => Err("an empty setting behind the ?".into()),
            Some(("", value)) => Err(format!("={}: a value without a setting", value.escape_debug())),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((setting.to_owned(), None)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str, port: u16) -> Address {
        Address { host: Host::Named(host.into()), port, settings: Vec::new() }
    }

    fn error(text: &str) -> String {
        Address::parse(text).unwrap_err().0
    }

    #[test]
    fn the_scheme_may_be_left_out() {
        assert_eq!(Address::parse("kcp://127.0.0.1:8080"), Ok(named("127.0.0.1", 8080)));
        assert_eq!(Address::parse("game.example:29900"), Ok(named("game.example", 29900)));
        assert_eq!(Address::parse("kcp://localhost:1/"), Ok(named("localhost", 1)));
    }

    #[test]
    fn a_port_alone_means_all_addresses() {
        let all = Address::parse(":8080").unwrap();
        assert_eq!((&all.host, all.port), (&Host::All, 8080));
        assert_eq!(all.to_string(), "kcp://:8080");
        assert_eq!(Address::parse("kcp://:0").unwrap().port, 0);
    }

    #[test]
    fn ipv6_goes_in_brackets() {
        assert_eq!(Address::parse("[::1]:8080"), Ok(named("::1", 8080)));
        assert_eq!(Address::parse("kcp://[fe80::1%eth0]:9").unwrap().to_string(), "kcp://[fe80::1%eth0]:9");
        assert_eq!(error("::1:8080"), "::1:8080: an IPv6 address goes in brackets: [::1]:PORT");
        assert_eq!(error("[::1"), "[::1: more than one colon; it must be HOST:PORT");
        assert_eq!(error("[::1]"), format!("[::1]: {}", split_port("x").unwrap_err()));
        assert_eq!(error("[nonsense]:1"), "[nonsense]:1: [nonsense] is no IPv6 address");
    }

    #[test]
    fn settings_are_separated_by_commas_or_ampersands() {
        let address = Address::parse("h:1?profile=fast3,mtu=1350&message").unwrap();
        let settings: Vec<_> = address.settings.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
        assert_eq!(settings, [("profile", Some("fast3")), ("mtu", Some("1350")), ("message", None)]);
        assert_eq!(error("h:1?"), "h:1?: an empty setting behind the ?");
        assert_eq!(error("h:1?a=1,,b=2"), "h:1?a=1,,b=2: an empty setting behind the ?");
        assert_eq!(error("h:1?=2"), "h:1?=2: =2: a value without a setting");
    }

    #[test]
    fn the_wrong_part_is_named() {
        assert_eq!(error("http://h:1"), "http://h:1: unknown scheme http:// (there is kcp://)");
        assert_eq!(error("tcp://h:1"), "tcp://h:1: tcp:// is not in this version of sendoff: only kcp://");
        assert_eq!(error("udp://:1"), "udp://:1: udp:// is not in this version of sendoff: only kcp://");
        assert_eq!(error("h:"), "h:: missing port behind the colon");
        assert_eq!(error("h:65536"), "h:65536: port 65536: must be 0 to 65535");
        assert_eq!(error("h:+1"), "h:+1: port +1: must be 0 to 65535");
        assert_eq!(error("h:http"), "h:http: port http: must be 0 to 65535");
        assert_eq!(error("a b:1"), "a b:1: \"a b\" is no host");
        assert_eq!(error("user@h:1"), "user@h:1: \"user@h\" is no host");
        assert_eq!(error("kcp:h:1"), "kcp:h:1: more than one colon; it must be HOST:PORT");
        assert_eq!(error("h:1/path"), "h:1/path: a path means nothing here; it must be HOST:PORT");
        assert!(error("8080").contains("missing port"));
        assert!(error("").contains("missing port"));
        assert!(error("\u{1b}[2J").starts_with("\\u{1b}[2J: "), "{}", error("\u{1b}[2J"));
    }

    #[test]
    fn who_calls_needs_a_host_and_a_port() {
        assert_eq!(Address::parse("h:1").unwrap().destination(), Ok(("h", 1)));
        let refused = |text: &str| Address::parse(text).unwrap().destination().unwrap_err().0;
        assert_eq!(refused(":8080"), "kcp://:8080: missing host; on this machine: 127.0.0.1:8080");
        assert_eq!(refused("h:0"), "kcp://h:0: port 0 can't be reached; it must be 1 to 65535");
    }
}
