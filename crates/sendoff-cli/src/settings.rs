//! One table of all settings: flags, what stands behind the `?` of an address, and the help are made
//! from it, and so is the checked [`Config`].

use crate::{
    address::Address,
    exit::Usage,
    units::{self, Bare},
};
use clap::{Arg, ArgAction, ArgMatches, Command};
use sendoff::{Config, Congestion, Mode, Profile};
use std::{fmt, time::Duration};

/// Who can use a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Both,
    /// Those who connect.
    Connect,
    /// Those who listen.
    Listen,
}

impl Side {
    fn includes(self, connect: bool) -> bool {
        self == if connect { Self::Connect } else { Self::Listen } || self == Self::Both
    }
}

/// A row of the table.
struct Setting {
    /// Name in an address and, unless `flag` says otherwise, of the flag.
    name: &'static str,
    /// Name of the flag where it differs.
    flag: Option<&'static str>,
    /// Other names that users of kcptun know; not shown.
    aliases: &'static [&'static str],
    /// What the value is called in the help; a setting without it takes none.
    value: Option<&'static str>,
    /// Of several settings with one subject only one can be given.
    subject: &'static str,
    /// Whose it is.
    side: Side,
    help: &'static str,
    apply: fn(Config, &str) -> Result<Config, String>,
}

const ROW: Setting = Setting {
    name: "",
    flag: None,
    aliases: &[],
    value: None,
    subject: "",
    side: Side::Both,
    help: "",
    apply: |config, _| Ok(config),
};

/// In the order in which they are applied: a field of the profile after the profile, a window after
/// the mode that bounds it.
static TABLE: [Setting; 16] = [
    Setting {
        name: "profile",
        aliases: &["mode"],
        value: Some("NAME"),
        help: "default, normal, fast, fast2 or fast3",
        apply: |config, value| Ok(config.profile(value.parse().map_err(requirement)?)),
        ..ROW
    },
    Setting {
        name: "nodelay",
        value: Some("0|1|2"),
        help: "Eager timeouts, instead of the profile's",
        apply: |config, value| {
            let nodelay = value.parse().map_err(requirement)?;
            adjust(config, |p| Profile::new(nodelay, p.interval(), p.resend(), p.congestion()))
        },
        ..ROW
    },
    Setting {
        name: "interval",
        value: Some("MS"),
        help: "Least slack of the retransmission timeout: 10 to 5000 ms",
        apply: |config, value| {
            let interval = units::parse_duration_as(value, Bare::Milliseconds)?;
            adjust(config, |p| Profile::new(p.nodelay(), interval, p.resend(), p.congestion()))
        },
        ..ROW
    },
    Setting {
        name: "resend",
        value: Some("N"),
        help: "Send again after N later acknowledgements (0: never)",
        apply: |config, value| {
            let resend = number(value, "0 to 64 acknowledgements")?;
            adjust(config, |p| Profile::new(p.nodelay(), p.interval(), resend, p.congestion()))
        },
        ..ROW
    },
    Setting {
        name: "nc",
        value: Some("0|1"),
        help: "1: no congestion window",
        apply: |config, value| {
            let congestion = match value {
                "0" => Congestion::Classic,
                "1" => Congestion::None,
                _ => return Err("must be 0 or 1".into()),
            };
            adjust(config, |p| Profile::new(p.nodelay(), p.interval(), p.resend(), congestion))
        },
        ..ROW
    },
    Setting {
        name: "wire",
        value: Some("KIND"),
        help: "extended; classic: packet for packet as kcp-go; required: no stock peers",
        apply: |config, value| Ok(config.wire(value.parse().map_err(requirement)?)),
        ..ROW
    },
    Setting {
        name: "message",
        flag: Some("message-mode"),
        subject: "message or stream",
        help: "Messages: each line is one (in an address: message)",
        apply: |config, _| Ok(config.mode(Mode::Message)),
        ..ROW
    },
    Setting {
        name: "stream",
        flag: Some("stream-mode"),
        subject: "message or stream",
        help: "A stream of bytes: the default (in an address: stream)",
        apply: |config, _| Ok(config.mode(Mode::Stream)),
        ..ROW
    },
    Setting {
        name: "mtu",
        value: Some("BYTES"),
        help: "Largest datagram, 50 to 65507 [1400]",
        apply: |config, value| config.mtu(number(value, "50 to 65507 bytes")?).map_err(requirement),
        ..ROW
    },
    Setting {
        name: "prove",
        side: Side::Listen,
        help: "Accept a connection only once its peer has proven its address",
        apply: |config, _| Ok(config.prove(true)),
        ..ROW
    },
    Setting {
        name: "snd-wnd",
        aliases: &["sndwnd"],
        value: Some("SEGMENTS"),
        help: "Send window, 1 to 32768 [1024]",
        apply: |config, value| config.send_window(number(value, "1 to 32768 segments")?).map_err(requirement),
        ..ROW
    },
    Setting {
        name: "rcv-wnd",
        aliases: &["rcvwnd"],
        value: Some("SEGMENTS"),
        help: "Receive window, 1 to 32768 [1024]",
        apply: |config, value| config.recv_window(number(value, "1 to 32768 segments")?).map_err(requirement),
        ..ROW
    },
    Setting {
        name: "keep-alive",
        aliases: &["keepalive"],
        value: Some("TIME|off"),
        help: "Ask a silent peer for a sign of life [20s; classic: off]",
        apply: |config, value| match value {
            "off" => Ok(config.keep_alive(None)),
            _ => match units::parse_duration(value) {
                Ok(Duration::ZERO) => Err("must be more than 0, or off".into()),
                Ok(every) => Ok(config.keep_alive(every)),
                Err(problem) => Err(format!("{problem}, or off")),
            },
        },
        ..ROW
    },
    Setting {
        name: "linger",
        value: Some("TIME"),
        help: "Wait for acknowledgements at the end [30s]",
        apply: |config, value| Ok(config.linger(units::parse_duration(value)?)),
        ..ROW
    },
    Setting {
        name: "connect-timeout",
        value: Some("TIME"),
        side: Side::Connect,
        help: "Give up when nobody answers [5s]",
        apply: |config, value| Ok(config.connect_timeout(units::parse_duration_above_zero(value)?)),
        ..ROW
    },
    Setting {
        name: "conv",
        value: Some("N"),
        side: Side::Connect,
        help: "Conversation id, decimal or 0x and hexadecimal [random]",
        apply: |config, value| Ok(config.conv(value.parse().map_err(requirement)?)),
        ..ROW
    },
];

impl Setting {
    fn flag(&self) -> &'static str {
        self.flag.unwrap_or(self.name)
    }

    fn subject(&self) -> &'static str {
        if self.subject.is_empty() { self.name } else { self.subject }
    }

    fn goes_by(&self, name: &str) -> bool {
        self.name == name || self.flag() == name || self.aliases.contains(&name)
    }

    fn arg(&'static self) -> Arg {
        let arg = Arg::new(self.flag()).long(self.flag()).help(self.help).help_heading("Settings");
        let arg = self.aliases.iter().fold(arg, |arg, alias| arg.alias(*alias));
        match self.value {
            Some(value) => arg.value_name(value).allow_hyphen_values(true),
            None => arg.action(ArgAction::SetTrue),
        }
    }
}

/// "mtu 10: must be 50 to 65507 bytes" without what the caller says better.
fn requirement(error: impl fmt::Display) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.as_str(), |(_, requirement)| requirement).to_owned()
}

fn number<T: std::str::FromStr>(value: &str, expected: &str) -> Result<T, String> {
    let digits = value.chars().all(|c| c.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or_else(|| format!("must be {expected}"))
}

fn adjust(
    config: Config,
    change: impl FnOnce(Profile) -> Result<Profile, sendoff::ConfigError>,
) -> Result<Config, String> {
    let given = config.profile_value();
    let profile = change(given).map_err(requirement)?;
    Ok(config.profile(profile.paced(given.is_paced())))
}

/// The settings that were given as flags; `CONNECT` says on which side.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags<const CONNECT: bool> {
    given: Vec<Given>,
}

/// A setting and its value, as typed.
#[derive(Clone, Debug)]
struct Given {
    row: usize,
    value: String,
    /// How the user wrote it: `--mtu 10`, or `mtu=10 in the address`.
    typed: String,
}

impl<const CONNECT: bool> SettingFlags<CONNECT> {
    /// Puts flags and the settings of the address together into a checked [`Config`].
    ///
    /// # Errors
    /// [`Usage`], with the setting as it was typed and what would do.
    pub fn config(&self, address: &Address) -> Result<Config, Usage> {
        let mut given = self.given.clone();
        for (name, value) in &address.settings {
            given.push(in_address(name, value.as_deref(), CONNECT)?);
        }
        refuse_repeated(&given)?;
        given.sort_by_key(|given| given.row);
        given.iter().try_fold(Config::new(), |config, given| {
            (TABLE[given.row].apply)(config, &given.value)
                .map_err(|problem| Usage(format!("{}: {problem}", given.typed)))
        })
    }
}

fn in_address(name: &str, value: Option<&str>, connect: bool) -> Result<Given, Usage> {
    let typed = match value {
        Some(value) => format!("{}={} in the address", name.escape_debug(), value.escape_debug()),
        None => format!("{} in the address", name.escape_debug()),
    };
    let refuse = |problem: String| Err(Usage(format!("{typed}: {problem}")));
    if name == "key" {
        return Err(Usage("key= in the address: refused, because addresses get printed".into()));
    }
    let Some(row) = TABLE.iter().position(|setting| setting.goes_by(name)) else {
        let names: Vec<_> = TABLE.iter().map(|setting| setting.name).collect();
        return refuse(format!("unknown setting; there are {}", names.join(", ")));
    };
    let setting = &TABLE[row];
    match (setting.value, value) {
        _ if !setting.side.includes(connect) => {
            let who = if connect { "listen" } else { "connect" };
            refuse(format!("only for those who {who}"))
        }
        (Some(what), None) => refuse(format!("needs a value: {}={what}", setting.name)),
        (None, Some(_)) => refuse(format!("takes no value: {}", setting.name)),
        (_, value) => Ok(Given { row, value: value.unwrap_or_default().to_owned(), typed }),
    }
}

fn refuse_repeated(given: &[Given]) -> Result<(), Usage> {
    for (i, later) in given.iter().enumerate() {
        let same = |earlier: &&Given| TABLE[earlier.row].subject() == TABLE[later.row].subject();
        if let Some(earlier) = given[..i].iter().find(same) {
            return Err(Usage(format!("{}: given twice, first as {}", later.typed, earlier.typed)));
        }
    }
    Ok(())
}

impl<const CONNECT: bool> clap::Args for SettingFlags<CONNECT> {
    fn augment_args(command: Command) -> Command {
        let rows = TABLE.iter().filter(|setting| setting.side.includes(CONNECT));
        command.args(rows.map(Setting::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const CONNECT: bool> clap::FromArgMatches for SettingFlags<CONNECT> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (row, setting) in TABLE.iter().enumerate().filter(|(_, s)| s.side.includes(CONNECT)) {
            let flag = setting.flag();
            let (value, typed) = match setting.value {
                None if matches.get_flag(flag) => (String::new(), format!("--{flag}")),
                None => continue,
                Some(_) => match matches.get_one::<String>(flag) {
                    Some(value) => (value.clone(), format!("--{flag} {}", value.escape_debug())),
                    None => continue,
                },
            };
            self.given.push(Given { row, value, typed });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};
    use sendoff::{NoDelay, Wire};

    fn parse<const CONNECT: bool>(flags: &str, query: &str) -> Result<Config, String> {
        let command = SettingFlags::<CONNECT>::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(flags.split_whitespace()).map_err(|e| e.to_string())?;
        let flags = SettingFlags::<CONNECT>::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        let address = Address::parse(&format!("h:1{query}")).map_err(|e| e.0)?;
        flags.config(&address).map_err(|e| e.0)
    }

    fn config(flags: &str, query: &str) -> Config {
        parse::<true>(flags, query).unwrap()
    }

    fn refused(flags: &str, query: &str) -> String {
        parse::<true>(flags, query).unwrap_err()
    }

    #[test]
    fn flags_and_address_set_the_same_things() {
        for (flags, query) in [
            ("--profile fast3 --mtu 1350 --snd-wnd 512 --rcv-wnd 256", ""),
            ("", "?profile=fast3,mtu=1350&snd-wnd=512,rcv-wnd=256"),
            ("--mode fast3 --sndwnd 512", "?mtu=1350,rcvwnd=256"),
        ] {
            let config = config(flags, query);
            assert_eq!(config.profile_value(), Profile::FAST3);
            assert_eq!(config.mtu_bytes(), 1_350);
            assert_eq!(config.send_window_segments(), 512);
            assert_eq!(config.recv_window_segments(), 256);
        }
    }

    #[test]
    fn every_setting_of_time_and_identity_arrives() {
        let (off, classic) = (config("--keep-alive off", ""), config("", "?wire=classic"));
        let config = config("--keep-alive 10 --connect-timeout 500ms", "?linger=1m,conv=0x10");
        assert_eq!(config.keep_alive_interval(), Some(Duration::from_secs(10)));
        assert_eq!(config.connect_timeout_duration(), Duration::from_millis(500));
        assert_eq!(config.linger_duration(), Duration::from_secs(60));
        assert_eq!(config.conv_value().map(|conv| conv.value()), Some(16));
        assert_eq!(off.keep_alive_interval(), None);
        assert_eq!(classic.wire_value(), Wire::Classic);
    }

    #[test]
    fn fields_override_the_profile_wherever_they_stand() {
        let expected =
            Profile::new(NoDelay::Twice, Duration::from_millis(15), 5, Congestion::Classic).unwrap();
        for (flags, query) in [
            ("--nodelay 2 --interval 15 --resend 5 --nc 0 --profile normal", ""),
            ("--profile normal", "?nc=0,resend=5,interval=15ms,nodelay=2"),
        ] {
            assert_eq!(config(flags, query).profile_value(), expected);
        }
    }

    #[test]
    fn message_mode_is_a_bare_word_or_a_flag() {
        for (flags, query) in [("--message-mode", ""), ("", "?message"), ("", "?message-mode")] {
            assert_eq!(config(flags, query).mode_value(), Mode::Message);
        }
        assert_eq!(config("", "?stream").mode_value(), Mode::Stream);
        assert_eq!(refused("", "?message=1"), "message=1 in the address: takes no value: message");
        assert_eq!(
            refused("--rcv-wnd 64 --message-mode", ""),
            "--rcv-wnd 64: must be at least 128 segments in message mode"
        );
    }

    #[test]
    fn bad_values_are_refused_as_they_were_typed() {
        for (flags, expected) in [
            ("--mtu 10", "--mtu 10: must be 50 to 65507 bytes"),
            ("--mtu x", "--mtu x: must be 50 to 65507 bytes"),
            ("--mtu -5", "--mtu -5: must be 50 to 65507 bytes"),
            ("--mtu 65508", "--mtu 65508: must be 50 to 65507 bytes"),
            ("--snd-wnd 0", "--snd-wnd 0: must be 1 to 32768 segments"),
            ("--rcv-wnd 32769", "--rcv-wnd 32769: must be 1 to 32768 segments"),
            ("--profile fast9", "--profile fast9: must be default, normal, fast, fast2 or fast3"),
            ("--wire none", "--wire none: must be extended, classic or required"),
            ("--nodelay 3", "--nodelay 3: must be 0, 1 or 2"),
            ("--interval 9", "--interval 9: must be 10 ms to 5 s"),
            ("--resend 65", "--resend 65: must be 0 to 64 acknowledgements"),
            ("--nc 2", "--nc 2: must be 0 or 1"),
            ("--linger x", "--linger x: must be a duration such as 500ms, 2s or 1m"),
            ("--keep-alive x", "--keep-alive x: must be a duration such as 500ms, 2s or 1m, or off"),
            ("--keep-alive 0", "--keep-alive 0: must be more than 0, or off"),
            ("--connect-timeout 0", "--connect-timeout 0: must be more than 0"),
            ("--conv 0", "--conv 0: must be 1 to 4294967295, decimal or 0x and hexadecimal"),
        ] {
            assert_eq!(refused(flags, ""), expected);
            let query = flags.trim_start_matches("--").replacen(' ', "=", 1);
            let expected = expected.replacen(flags, &format!("{query} in the address"), 1);
            assert_eq!(refused("", &format!("?{query}")), expected);
        }
    }

    #[test]
    fn a_setting_given_twice_is_refused() {
        assert_eq!(
            refused("--mtu 1400", "?mtu=1350"),
            "mtu=1350 in the address: given twice, first as --mtu 1400"
        );
        assert_eq!(
            refused("", "?sndwnd=1,snd-wnd=1"),
            "snd-wnd=1 in the address: given twice, first as sndwnd=1 in the address"
        );
        assert_eq!(
            refused("", "?message,stream"),
            "stream in the address: given twice, first as message in the address"
        );
        assert!(refused("--mtu 60 --mtu 70", "").contains("cannot be used multiple times"));
    }

    #[test]
    fn unknown_settings_and_keys_are_refused() {
        assert!(
            refused("", "?mtus=1").starts_with("mtus=1 in the address: unknown setting; there are profile,")
        );
        assert_eq!(refused("", "?mtu"), "mtu in the address: needs a value: mtu=BYTES");
        let key = refused("", "?key=secret");
        assert!(key.contains("refused") && !key.contains("secret"), "{key}");
    }

    #[test]
    fn who_listens_has_no_settings_of_who_connects() {
        assert_eq!(
            parse::<false>("", "?conv=5").unwrap_err(),
            "conv=5 in the address: only for those who connect"
        );
        assert!(parse::<false>("--conv 5", "").is_err());
        assert!(parse::<false>("--mtu 1000", "").is_ok());
    }
}
