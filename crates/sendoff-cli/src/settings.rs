//! Settings as flags: the library's table gives their names, help and meaning.

use crate::exit::Usage;
use clap::{Arg, ArgAction, ArgMatches, Command};
use sendoff::{
    Address, Options,
    settings::{self, Given, Setting},
};

/// The settings that were given as flags; `CONNECT` says on which side, `CRYPT_ONLY` that there are those of
/// encryption alone.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags<const CONNECT: bool, const CRYPT_ONLY: bool = false> {
    given: Vec<Given>,
}

impl<const CONNECT: bool, const CRYPT_ONLY: bool> SettingFlags<CONNECT, CRYPT_ONLY> {
    /// Puts flags, the settings of the address, and a secret in the environment together into checked options.
    ///
    /// # Errors
    /// [`Usage`], with the setting as it was typed and what would do.
    pub fn options(&self, address: &Address) -> Result<Options, Usage> {
        let mut given = self.given.clone();
        given.extend(settings::from_environment(address, &given));
        settings::apply(address, &given, CONNECT, Options::new()).map_err(Usage)
    }

    /// A setting as it was given, in a flag or in the address, before anything is checked.
    pub fn value_of(&self, name: &str, address: &Address) -> Option<String> {
        let flag = self.given.iter().find(|given| settings::all()[given.row].name == name);
        let in_address = || address.settings().find(|(given, _)| *given == name)?.1.map(str::to_owned);
        flag.map(|given| given.value.clone()).or_else(in_address)
    }

    /// Whether a secret stands on the command line, where everybody on this machine can see it.
    pub fn shows_secret(&self) -> bool {
        self.given.iter().any(|given| settings::all()[given.row].is_secret())
    }

    fn rows() -> impl Iterator<Item = (usize, &'static Setting)> {
        let rows = settings::all().iter().enumerate();
        rows.filter(|(_, s)| s.side.includes(CONNECT) && (!CRYPT_ONLY || s.is_about_encryption()))
    }
}

fn arg(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.flag()).long(setting.flag()).help(setting.help).help_heading("Settings");
    let arg = setting.aliases.iter().fold(arg, |arg, alias| arg.alias(*alias));
    match setting.value {
        Some(value) => arg.value_name(value).allow_hyphen_values(true),
        None => arg.action(ArgAction::SetTrue),
    }
}

impl<const CONNECT: bool, const CRYPT_ONLY: bool> clap::Args for SettingFlags<CONNECT, CRYPT_ONLY> {
    fn augment_args(command: Command) -> Command {
        command.args(Self::rows().map(|(_, setting)| arg(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const CONNECT: bool, const CRYPT_ONLY: bool> clap::FromArgMatches for SettingFlags<CONNECT, CRYPT_ONLY> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (row, setting) in Self::rows() {
            let flag = setting.flag();
            let (value, typed) = match setting.value {
                None if matches.get_flag(flag) => (String::new(), format!("--{flag}")),
                None => continue,
                Some(_) => match matches.get_one::<String>(flag) {
                    Some(value) if setting.is_secret() => (value.clone(), format!("--{flag}")),
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
    use sendoff::{Config, Congestion, Mode, NoDelay, Profile, Wire};
    use std::time::Duration;

    fn parse<const CONNECT: bool>(flags: &str, query: &str) -> Result<Config, String> {
        let command = SettingFlags::<CONNECT>::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(flags.split_whitespace()).map_err(|e| e.to_string())?;
        let flags = SettingFlags::<CONNECT>::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        let address: Address = format!("h:1{query}").parse().unwrap();
        flags.options(&address).map(|options| options.kcp).map_err(|e| e.0)
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
    fn the_secret_of_a_flag_is_used_and_not_printed() {
        let with_key = config("--crypt aes --key hunter2", "");
        assert_eq!(with_key.crypt_value().cipher().name(), "aes");
        let twice = refused("--key hunter2", "?key-env=A");
        assert_eq!(twice, "key-env=A in the address: given twice, first as --key");
        let missing = refused("--crypt aes-128", "");
        assert!(
            missing.starts_with("--crypt aes-128: needs a secret, from key-file or key-env"),
            "{missing}"
        );
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
