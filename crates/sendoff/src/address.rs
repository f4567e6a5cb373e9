//! Addresses as people write them: `[kcp://]HOST:PORT[?setting=value,…]`.

use std::{error::Error, fmt, io, net::Ipv6Addr, str::FromStr};

/// The scheme that may be left out.
const DEFAULT_SCHEME: &str = "kcp";

/// Schemes whose places are always `HOST:PORT`.
const SOCKETS: [&str; 3] = ["kcp", "tcp", "udp"];

/// The address of a transport: `tcp://127.0.0.1:20000`, `kcp://game.example:29900?profile=fast3`, `udp://:30000`.
///
/// Parses, prints, and what is printed parses to the same again. Without a scheme it is `kcp://`. Settings stand
/// behind a `?`, separated by `,` or `&`; what they mean is the transport's affair. A transport of one's own may
/// have places that are no sockets, such as `unix:///run/app.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: String,
    place: Place,
    settings: Vec<(String, Option<String>)>,
}

/// Where an [`Address`] leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// A host and a port, of TCP or UDP.
    Socket {
        /// The host.
        host: Host,
        /// The port; 0 asks the system for one.
        port: u16,
    },
    /// What a transport of one's own makes something of.
    Named(String),
}

/// The host of an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// None was given: every address of this machine.
    All,
    /// A name, or an IP address without its brackets.
    Named(String),
}

/// What is wrong with an address: it prints the address and the part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    address: String,
    problem: String,
}

impl AddressError {
    pub(crate) fn new(address: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { address: address.to_string(), problem: problem.into() }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address.escape_debug(), self.problem)
    }
}

impl Error for AddressError {}

impl From<AddressError> for io::Error {
    fn from(error: AddressError) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

impl Address {
    /// The scheme, such as `tcp`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Where it leads.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Host and port, of an address of TCP, UDP or KCP.
    pub fn socket(&self) -> Option<(&Host, u16)> {
        match &self.place {
            Place::Socket { host, port } => Some((host, *port)),
            Place::Named(_) => None,
        }
    }

    /// What stood behind the `?`, in order: names and, but for bare words, values.
    pub fn settings(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// The same address without its settings.
    #[must_use]
    pub fn without_settings(&self) -> Self {
        Self { settings: Vec::new(), ..self.clone() }
    }

    /// For those that call somebody: host and port must be given.
    ///
    /// # Errors
    /// Which of them is missing.
    pub fn destination(&self) -> Result<(&str, u16), AddressError> {
        let missing = |problem: String| AddressError::new(self.without_settings(), problem);
        match &self.place {
            Place::Named(_) => Err(missing("has no host and port".into())),
            Place::Socket { host: Host::All, port } => {
                Err(missing(format!("missing host; on this machine: 127.0.0.1:{port}")))
            }
            Place::Socket { port: 0, .. } => {
                Err(missing("port 0 can't be reached; it must be 1 to 65535".into()))
            }
            Place::Socket { host: Host::Named(host), port } => Ok((host, *port)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.place)?;
        for (i, (name, value)) in self.settings.iter().enumerate() {
            f.write_str(if i == 0 { "?" } else { "," })?;
            f.write_str(name)?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { host: Host::All, port } => write!(f, ":{port}"),
            Self::Socket { host: Host::Named(host), port } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            Self::Socket { host: Host::Named(host), port } => write!(f, "{host}:{port}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|problem| AddressError::new(text, problem))
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// What an address can be made of: text, or an [`Address`].
pub trait IntoAddress {
    /// Makes it one.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn into_address(self) -> Result<Address, AddressError>;
}

impl IntoAddress for &str {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl IntoAddress for String {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl IntoAddress for &String {
    fn into_address(self) -> Result<Address, AddressError> {
        self.parse()
    }
}

impl IntoAddress for Address {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self)
    }
}

impl IntoAddress for &Address {
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self.clone())
    }
}

fn parse(text: &str) -> Result<Address, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (parse_scheme(scheme)?, rest),
        None => (DEFAULT_SCHEME.to_owned(), text),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let place = match parse_socket(place) {
        Ok(place) => place,
        Err(problem) if SOCKETS.contains(&scheme.as_str()) => return Err(problem),
        Err(_) if place.is_empty() => return Err("nothing behind the ://".into()),
        Err(_) => Place::Named(place.to_owned()),
    };
    Ok(Address { scheme, place, settings: parse_settings(query)? })
}

/// RFC 3986 section 3.1: a letter, then letters, digits, `+`, `-`, `.`; the case doesn't matter.
fn parse_scheme(scheme: &str) -> Result<String, String> {
    let starts = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        Ok(scheme.to_ascii_lowercase())
    } else {
        Err(format!("{scheme:?} is no scheme"))
    }
}

fn parse_socket(place: &str) -> Result<Place, String> {
    let (host, port) = split_port(place.strip_suffix('/').unwrap_or(place))?;
    Ok(Place::Socket { host: parse_host(host)?, port: parse_port(port)? })
}

fn split_port(place: &str) -> Result<(&str, &str), String> {
    if place.contains('/') {
        return Err("a path means nothing here; it must be HOST:PORT".into());
    }
    if place.starts_with('[') && !place.contains(']') {
        return Err("missing ] behind the IPv6 address".into());
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

/// Whether it is an IPv6 address without brackets, with or without a port behind it.
fn looks_like_ipv6(text: &str) -> bool {
    let is_ipv6 = |text: &str| text.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    is_ipv6(text) || text.rsplit_once(':').is_some_and(|(host, _)| is_ipv6(host))
}

fn parse_host(host: &str) -> Result<Host, String> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(|| bad_host(host))?;
        let (address, zone) = inner.split_once('%').map_or((inner, None), |(a, zone)| (a, Some(zone)));
        let zone_fits = zone.is_none_or(|zone| !zone.is_empty() && zone.chars().all(is_name_char));
        return match address.parse::<Ipv6Addr>() {
            Ok(_) if zone_fits => Ok(Host::Named(inner.to_owned())),
            _ => Err(format!("{} is no IPv6 address", host.escape_debug())),
        };
    }
    match host {
        "" => Ok(Host::All),
        name if name.chars().all(is_name_char) => Ok(Host::Named(name.to_owned())),
        _ => Err(bad_host(host)),
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

fn bad_host(host: &str) -> String {
    format!("{host:?} is no host")
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

    fn address(scheme: &str, host: &str, port: u16) -> Address {
        let place = Place::Socket { host: Host::Named(host.into()), port };
        Address { scheme: scheme.into(), place, settings: Vec::new() }
    }

    fn error(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    fn settings(address: &Address) -> Vec<(&str, Option<&str>)> {
        address.settings().collect()
    }

    #[test]
    fn the_scheme_may_be_left_out() {
        assert_eq!("kcp://127.0.0.1:8080".parse(), Ok(address("kcp", "127.0.0.1", 8080)));
        assert_eq!("game.example:29900".parse(), Ok(address("kcp", "game.example", 29900)));
        assert_eq!("TCP://localhost:1/".parse(), Ok(address("tcp", "localhost", 1)));
    }

    #[test]
    fn a_port_alone_means_all_addresses() {
        let all: Address = ":8080".parse().unwrap();
        assert_eq!(all.socket(), Some((&Host::All, 8080)));
        assert_eq!(all.to_string(), "kcp://:8080");
        assert_eq!("udp://:0".parse::<Address>().unwrap().socket(), Some((&Host::All, 0)));
    }

    #[test]
    fn ipv6_goes_in_brackets() {
        assert_eq!("[::1]:8080".parse(), Ok(address("kcp", "::1", 8080)));
        assert_eq!(error("::1:8080"), "::1:8080: an IPv6 address goes in brackets: [::1]:PORT");
        assert_eq!(error("fe80::1%eth0:80"), "fe80::1%eth0:80: an IPv6 address goes in brackets: [::1]:PORT");
        assert_eq!(error("1.2.3.4:5:6"), "1.2.3.4:5:6: more than one colon; it must be HOST:PORT");
        assert_eq!(error("[::1"), "[::1: missing ] behind the IPv6 address");
        assert_eq!(error("[::1]"), format!("[::1]: {}", split_port("x").unwrap_err()));
        assert_eq!(error("[nonsense]:1"), "[nonsense]:1: [nonsense] is no IPv6 address");
        assert_eq!(error("[fe80::1%]:1"), "[fe80::1%]:1: [fe80::1%] is no IPv6 address");
    }

    #[test]
    fn settings_are_separated_by_commas_or_ampersands() {
        let address: Address = "h:1?profile=fast3,mtu=1350&message".parse().unwrap();
        let expected = [("profile", Some("fast3")), ("mtu", Some("1350")), ("message", None)];
        assert_eq!(settings(&address), expected);
        assert_eq!(error("h:1?"), "h:1?: an empty setting behind the ?");
        assert_eq!(error("h:1?a=1,,b=2"), "h:1?a=1,,b=2: an empty setting behind the ?");
        assert_eq!(error("h:1?=2"), "h:1?=2: =2: a value without a setting");
    }

    #[test]
    fn what_is_printed_parses_to_the_same() {
        for text in [
            "kcp://:8080",
            "tcp://127.0.0.1:20000",
            "udp://[fe80::1%eth0]:9",
            "kcp://game.example:29900?profile=fast3,message,keep-alive=off",
            "tcp://[::]:0?nodelay=0",
            "unix:///run/app.sock?mode=600",
            "memory://a-name",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        let plain = "tcp://h:1?nodelay=0".parse::<Address>().unwrap().without_settings();
        assert_eq!(plain.to_string(), "tcp://h:1");
    }

    #[test]
    fn only_a_transport_of_ones_own_has_places_that_are_no_sockets() {
        let unix: Address = "unix:///run/app.sock".parse().unwrap();
        assert_eq!((unix.scheme(), unix.place()), ("unix", &Place::Named("/run/app.sock".into())));
        let tls: Address = "tls://example.org:443".parse().unwrap();
        assert_eq!(tls.destination(), Ok(("example.org", 443)));
        assert_eq!(error("unix://"), "unix://: nothing behind the ://");
    }

    #[test]
    fn the_wrong_part_is_named() {
        assert_eq!(error("h:"), "h:: missing port behind the colon");
        assert_eq!(error("tcp://h:65536"), "tcp://h:65536: port 65536: must be 0 to 65535");
        assert_eq!(error("h:+1"), "h:+1: port +1: must be 0 to 65535");
        assert_eq!(error("udp://h:http"), "udp://h:http: port http: must be 0 to 65535");
        assert_eq!(error("a b:1"), "a b:1: \"a b\" is no host");
        assert_eq!(error("user@h:1"), "user@h:1: \"user@h\" is no host");
        assert_eq!(error("kcp:h:1"), "kcp:h:1: more than one colon; it must be HOST:PORT");
        assert_eq!(error("h:1/path"), "h:1/path: a path means nothing here; it must be HOST:PORT");
        assert_eq!(error("1x://h:1"), "1x://h:1: \"1x\" is no scheme");
        assert_eq!(error("://h:1"), "://h:1: \"\" is no scheme");
        assert!(error("8080").contains("missing port"));
        assert!(error("").contains("missing port"));
        assert!(error("\u{1b}[2J").starts_with("\\u{1b}[2J: "), "{}", error("\u{1b}[2J"));
    }

    #[test]
    fn who_calls_needs_a_host_and_a_port() {
        assert_eq!(address("tcp", "h", 1).destination(), Ok(("h", 1)));
        let refused = |text: &str| text.parse::<Address>().unwrap().destination().unwrap_err().to_string();
        assert_eq!(refused(":8080"), "kcp://:8080: missing host; on this machine: 127.0.0.1:8080");
        assert_eq!(refused("udp://h:0?idle=1s"), "udp://h:0: port 0 can't be reached; it must be 1 to 65535");
        assert_eq!(refused("unix:///a"), "unix:///a: has no host and port");
    }
}
