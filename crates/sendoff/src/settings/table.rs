//! The rows.

use super::{
    Setting, Side,
    duration::{Bare, parse_duration, parse_duration_above_zero, parse_duration_as},
    secret::SECRET,
};
use crate::{Config, ConfigError, Congestion, Fec, Mode, Options, Profile, SocketOptions};
use std::{fmt, str::FromStr, time::Duration};

const KCP: &[&str] = &["kcp"];
const TCP: &[&str] = &["tcp"];
const UDP: &[&str] = &["udp"];
const KCP_AND_TCP: &[&str] = &["kcp", "tcp"];
const SOCKETS: &[&str] = &["kcp", "tcp", "udp"];

const ROW: Setting = Setting {
    name: "",
    flag: None,
    aliases: &[],
    value: None,
    tcp_value: None,
    subject: "",
    side: Side::Both,
    schemes: KCP,
    help: "",
    apply: |_, _, _| Ok(()),
};

/// In the order in which they are applied: a field of the profile after the profile, a window after
/// the mode that bounds it.
pub(super) static TABLE: &[Setting] = &[
    Setting {
        name: "profile",
        aliases: &["mode"],
        value: Some("NAME"),
        help: "default, normal, fast, fast2 or fast3",
        apply: |options, _, value| {
            let profile = value.parse().map_err(requirement)?;
            kcp(options, |config| Ok(config.profile(profile)))
        },
        ..ROW
    },
    Setting {
        name: "nodelay",
        value: Some("0|1|2"),
        tcp_value: Some("0|1"),
        schemes: KCP_AND_TCP,
        help: "kcp: eager timeouts, instead of the profile's; tcp: 0 lets Nagle join small writes [1]",
        apply: |options, scheme, value| match scheme {
            "tcp" => {
                options.tcp = options.tcp.clone().nodelay(switch(value)?);
                Ok(())
            }
            _ => {
                let nodelay = value.parse().map_err(requirement)?;
                profile(options, |p| Profile::new(nodelay, p.interval(), p.resend(), p.congestion()))
            }
        },
        ..ROW
    },
    Setting {
        name: "interval",
        value: Some("MS"),
        help: "Least slack of the retransmission timeout: 10 to 5000 ms",
        apply: |options, _, value| {
            let interval = parse_duration_as(value, Bare::Milliseconds)?;
            profile(options, |p| Profile::new(p.nodelay(), interval, p.resend(), p.congestion()))
        },
        ..ROW
    },
    Setting {
        name: "resend",
        value: Some("N"),
        help: "Send again after N later acknowledgements (0: never)",
        apply: |options, _, value| {
            let resend = number(value, "0 to 64 acknowledgements")?;
            profile(options, |p| Profile::new(p.nodelay(), p.interval(), resend, p.congestion()))
        },
        ..ROW
    },
    Setting {
        name: "nc",
        value: Some("0|1"),
        help: "1: no congestion window",
        apply: |options, _, value| {
            let congestion = if switch(value)? { Congestion::None } else { Congestion::Classic };
            profile(options, |p| Profile::new(p.nodelay(), p.interval(), p.resend(), congestion))
        },
        ..ROW
    },
    Setting {
        name: "wire",
        value: Some("KIND"),
        help: "extended; classic: packet for packet as kcp-go; required: no stock peers",
        apply: |options, _, value| {
            let wire = value.parse().map_err(requirement)?;
            kcp(options, |config| Ok(config.wire(wire)))
        },
        ..ROW
    },
    Setting {
        name: "message",
        flag: Some("message-mode"),
        subject: "message or stream",
        help: "Messages: each line is one (in an address: message)",
        apply: |options, _, _| kcp(options, |config| Ok(config.mode(Mode::Message))),
        ..ROW
    },
    Setting {
        name: "stream",
        flag: Some("stream-mode"),
        subject: "message or stream",
        help: "A stream of bytes: the default (in an address: stream)",
        apply: |options, _, _| kcp(options, |config| Ok(config.mode(Mode::Stream))),
        ..ROW
    },
    // The cipher is put together with its key before all others are applied: see `secret`.
    Setting {
        name: "crypt",
        value: Some("CIPHER"),
        help: "aes-128-gcm (default with a key), aes, aes-192, aes-128, salsa20 … none, null [null]",
        ..ROW
    },
    Setting {
        name: "key-file",
        value: Some("FILE"),
        subject: SECRET,
        help: "The secret that the key is made from: what is in this file",
        ..ROW
    },
    Setting {
        name: "key-env",
        value: Some("NAME"),
        subject: SECRET,
        help: "The same, from a variable of the environment [the command: SENDOFF_KEY]",
        ..ROW
    },
    Setting {
        name: "key",
        value: Some("SECRET"),
        subject: SECRET,
        help: "The same, here: everybody on this machine can see it",
        ..ROW
    },
    Setting {
        name: "mtu",
        value: Some("BYTES"),
        help: "Largest datagram, 50 to 65507; ping --size finds what the path takes [1400]",
        apply: |options, _, value| {
            let bytes = number(value, "50 to 65507 bytes")?;
            kcp(options, |config| config.mtu(bytes))
        },
        ..ROW
    },
    Setting {
        name: "fec",
        value: Some("DATA/PARITY|auto|off"),
        help: "Parity shards for data shards, as 10/3; auto: as losses call for, up to 10/5 or as auto:10/3 [off]",
        apply: |options, _, value| {
            let ratio = |text: &str| Fec::parse_optional(text).map_err(requirement);
            match value.strip_prefix("auto") {
                Some("") => fec_auto(options, ratio(FEC_AUTO)?),
                Some(rest) => match rest.strip_prefix(':') {
                    Some(most) => fec_auto(options, ratio(most)?),
                    None => Err("must be data/parity such as 10/3, auto or off".into()),
                },
                None => {
                    let fec = ratio(value)?;
                    kcp(options, |config| Ok(config.fec(fec)))
                }
            }
        },
        ..ROW
    },
    Setting {
        name: "prove",
        side: Side::Listen,
        help: "Accept a connection only once its peer has proven its address",
        apply: |options, _, _| kcp(options, |config| Ok(config.prove(true))),
        ..ROW
    },
    Setting {
        name: "drivers",
        value: Some("N"),
        side: Side::Listen,
        help: "Sockets on the port, each with a driver of its own, 1 to 255: for many connections (Linux) [1]",
        apply: |options, _, value| {
            let drivers = number(value, "1 to 255")?;
            kcp(options, |config| config.drivers(drivers))
        },
        ..ROW
    },
    Setting {
        name: "max-per-address",
        value: Some("N"),
        side: Side::Listen,
        help: "Connections with one IP address at a time (IPv6: one /64); further ones are refused",
        apply: |options, _, value| {
            let connections = positive(value)?;
            kcp(options, |config| Ok(config.max_connections_per_address(Some(connections))))
        },
        ..ROW
    },
    Setting {
        name: "follow",
        side: Side::Listen,
        value: Some("on|off"),
        help: "Follow a peer whose address changes [on]",
        apply: |options, _, value| {
            let follow = on_or_off(value)?;
            kcp(options, |config| Ok(config.follow(follow)))
        },
        ..ROW
    },
    Setting {
        name: "snd-wnd",
        aliases: &["sndwnd"],
        value: Some("SEGMENTS"),
        help: "Send window, 1 to 32768 [1024]",
        apply: |options, _, value| {
            let segments = number(value, "1 to 32768 segments")?;
            kcp(options, |config| config.send_window(segments))
        },
        ..ROW
    },
    Setting {
        name: "rcv-wnd",
        aliases: &["rcvwnd"],
        value: Some("SEGMENTS"),
        help: "Receive window, 1 to 32768 [1024]",
        apply: |options, _, value| {
            let segments = number(value, "1 to 32768 segments")?;
            kcp(options, |config| config.recv_window(segments))
        },
        ..ROW
    },
    Setting {
        name: "keep-alive",
        aliases: &["keepalive"],
        value: Some("TIME|off"),
        schemes: KCP_AND_TCP,
        help: "Ask a silent peer for a sign of life [20s; kcp classic and tcp: off]",
        apply: |options, scheme, value| {
            let every = keep_alive(value)?;
            match scheme {
                "tcp" => options.tcp = options.tcp.clone().keep_alive(every),
                _ => options.kcp = options.kcp.clone().keep_alive(every),
            }
            Ok(())
        },
        ..ROW
    },
    Setting {
        name: "linger",
        value: Some("TIME"),
        help: "Wait for acknowledgements at the end [30s]",
        apply: |options, _, value| {
            let linger = parse_duration(value)?;
            kcp(options, |config| Ok(config.linger(linger)))
        },
        ..ROW
    },
    Setting {
        name: "connect-timeout",
        value: Some("TIME"),
        side: Side::Connect,
        schemes: KCP_AND_TCP,
        help: "Give up when nobody answers [5s; tcp: 30s]",
        apply: |options, scheme, value| {
            let timeout = parse_duration_above_zero(value)?;
            match scheme {
                "tcp" => options.tcp = options.tcp.clone().connect_timeout(timeout),
                _ => options.kcp = options.kcp.clone().connect_timeout(timeout),
            }
            Ok(())
        },
        ..ROW
    },
    Setting {
        name: "conv",
        value: Some("N"),
        side: Side::Connect,
        help: "Conversation id, decimal or 0x and hexadecimal [random]",
        apply: |options, _, value| {
            let conv = value.parse().map_err(requirement)?;
            kcp(options, |config| Ok(config.conv(conv)))
        },
        ..ROW
    },
    Setting {
        name: "idle",
        value: Some("TIME"),
        schemes: UDP,
        help: "Forget a UDP peer after so long a silence [60s]",
        apply: |options, _, value| {
            options.udp = options.udp.clone().idle(parse_duration_above_zero(value)?);
            Ok(())
        },
        ..ROW
    },
    Setting {
        name: "max-flows",
        value: Some("N"),
        side: Side::Listen,
        schemes: UDP,
        help: "UDP peers at a time [65536]",
        apply: |options, _, value| {
            options.udp = options.udp.clone().max_flows(positive(value)?);
            Ok(())
        },
        ..ROW
    },
    Setting {
        name: "backlog",
        value: Some("N"),
        side: Side::Listen,
        schemes: TCP,
        help: "TCP connections that wait to be accepted [1024]",
        apply: |options, _, value| {
            options.tcp = options.tcp.clone().backlog(positive(value)?);
            Ok(())
        },
        ..ROW
    },
    Setting {
        name: "snd-buf",
        aliases: &["sockbuf"],
        value: Some("BYTES"),
        schemes: SOCKETS,
        help: "Send buffer of the socket [kcp: 4194304; the system's]",
        apply: |options, scheme, value| {
            let bytes = positive(value)?;
            socket(options, scheme, |socket| Ok(socket.send_buffer(bytes)))
        },
        ..ROW
    },
    Setting {
        name: "rcv-buf",
        value: Some("BYTES"),
        schemes: SOCKETS,
        help: "Receive buffer of the socket [kcp: 4194304; the system's]",
        apply: |options, scheme, value| {
            let bytes = positive(value)?;
            socket(options, scheme, |socket| Ok(socket.recv_buffer(bytes)))
        },
        ..ROW
    },
    Setting {
        name: "dscp",
        value: Some("N"),
        schemes: SOCKETS,
        help: "Differentiated services code point of what is sent, 0 to 63 [0]",
        apply: |options, scheme, value| {
            let dscp = number(value, "0 to 63")?;
            socket(options, scheme, |socket| socket.dscp(dscp).map_err(requirement))
        },
        ..ROW
    },
    Setting {
        name: "reuse-port",
        side: Side::Listen,
        schemes: SOCKETS,
        help: "Let several sockets listen on the port",
        apply: |options, scheme, _| socket(options, scheme, |socket| Ok(socket.reuse_port(true))),
        ..ROW
    },
    Setting {
        name: "bind",
        value: Some("IP"),
        side: Side::Connect,
        schemes: SOCKETS,
        help: "Connect from this address of the machine",
        apply: |options, scheme, value| {
            let ip: std::net::IpAddr = value.parse().map_err(|_| "must be an IP address")?;
            socket(options, scheme, |socket| Ok(socket.local_ip(ip)))
        },
        ..ROW
    },
    Setting {
        name: "interface",
        value: Some("NAME"),
        schemes: SOCKETS,
        help: "Use this network interface alone (Linux)",
        apply: |options, scheme, value| socket(options, scheme, |socket| Ok(socket.interface(value))),
        ..ROW
    },
    Setting {
        name: "only-v6",
        side: Side::Listen,
        schemes: SOCKETS,
        help: "On [::], take IPv6 alone",
        apply: |options, scheme, _| socket(options, scheme, |socket| Ok(socket.only_v6(true))),
        ..ROW
    },
];

/// "mtu 10: must be 50 to 65507 bytes" without what the caller says better.
fn requirement(error: impl fmt::Display) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.as_str(), |(_, requirement)| requirement).to_owned()
}

fn number<T: FromStr>(value: &str, expected: &str) -> Result<T, String> {
    let digits = value.chars().all(|c| c.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or_else(|| format!("must be {expected}"))
}

fn positive<T: FromStr + PartialEq + Default>(value: &str) -> Result<T, String> {
    number(value, "a number from 1 on").and_then(|n: T| match n == T::default() {
        true => Err("must be a number from 1 on".into()),
        false => Ok(n),
    })
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("must be 0 or 1".into()),
    }
}

fn on_or_off(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".into()),
    }
}

/// The most parity that `fec=auto` takes by itself.
const FEC_AUTO: &str = "10/5";

fn fec_auto(options: &mut Options, most: Option<Fec>) -> Result<(), String> {
    let most = most.ok_or("must be data/parity such as auto:10/3")?;
    kcp(options, |config| Ok(config.fec_auto(most)))
}

fn keep_alive(value: &str) -> Result<Option<Duration>, String> {
    match value {
        "off" => Ok(None),
        _ => match parse_duration(value) {
            Ok(Duration::ZERO) => Err("must be more than 0, or off".into()),
            Ok(every) => Ok(Some(every)),
            Err(problem) => Err(format!("{problem}, or off")),
        },
    }
}

fn kcp(
    options: &mut Options,
    change: impl FnOnce(Config) -> Result<Config, ConfigError>,
) -> Result<(), String> {
    options.kcp = change(options.kcp.clone()).map_err(requirement)?;
    Ok(())
}

fn profile(
    options: &mut Options,
    change: impl FnOnce(Profile) -> Result<Profile, ConfigError>,
) -> Result<(), String> {
    let given = options.kcp.profile_value();
    kcp(options, |config| Ok(config.profile(change(given)?.paced(given.is_paced()))))
}

fn socket(
    options: &mut Options,
    scheme: &str,
    change: impl FnOnce(SocketOptions) -> Result<SocketOptions, String>,
) -> Result<(), String> {
    match scheme {
        "tcp" => options.tcp = options.tcp.clone().socket(change(options.tcp.socket_options().clone())?),
        "udp" => options.udp = options.udp.clone().socket(change(options.udp.socket_options().clone())?),
        _ => {
            let changed = change(options.kcp.socket_options_value().clone())?;
            options.kcp = options.kcp.clone().socket_options(changed);
        }
    }
    Ok(())
}
