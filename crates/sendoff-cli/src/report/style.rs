//! Colours, and signs beyond ASCII, where they can be shown.

use sendoff_capture::report::Signs;
use std::{env, ffi::OsString};

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Puts colours around words, or doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Decides for one output.
    pub fn new(when: ColorWhen, is_terminal: bool) -> Self {
        Self { on: decide(when, is_terminal, |name| env::var_os(name)) }
    }

    /// No colours.
    #[cfg(test)]
    pub const PLAIN: Paint = Paint { on: false };

    /// What went wrong.
    pub fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// What went well.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What deserves attention.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Headlines.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What is only there for completeness.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn decide(when: ColorWhen, is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| variable(name).is_some_and(|value| !value.is_empty());
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            is_terminal && !set("NO_COLOR") && variable("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Signs for the way of a datagram, and for what was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrows {
    /// From left to right.
    pub right: &'static str,
    /// From right to left.
    pub left: &'static str,
    /// Between two items.
    pub dot: &'static str,
    /// For what was left out.
    pub ellipsis: &'static str,
}

impl Arrows {
    /// For terminals that know UTF-8.
    pub const UNICODE: Arrows = Arrows { right: "──▶", left: "◀──", dot: "·", ellipsis: "…" };
    /// For all others.
    pub const ASCII: Arrows = Arrows { right: "-->", left: "<--", dot: "|", ellipsis: "..." };

    /// The same, as the library that explains captures has them.
    pub fn signs(self) -> Signs {
        if self == Self::UNICODE { Signs::UNICODE } else { Signs::ASCII }
    }

    /// By the locale's environment variables.
    pub fn of_locale() -> Self {
        Self::of(|name| env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let utf8 =
            locale.map(|l| l.to_ascii_lowercase()).is_some_and(|l| l.contains("utf-8") || l.contains("utf8"));
        // Windows has no such variables, and its terminals know UTF-8.
        if utf8 || cfg!(windows) { Self::UNICODE } else { Self::ASCII }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let with = |when, terminal, name: &'static str, value: &'static str| {
            decide(when, terminal, move |asked| (asked == name).then(|| value.into()))
        };
        assert!(with(ColorWhen::Auto, true, "TERM", "xterm"));
        assert!(!with(ColorWhen::Auto, false, "TERM", "xterm"));
        assert!(!with(ColorWhen::Auto, true, "TERM", "dumb"));
        assert!(!with(ColorWhen::Auto, true, "NO_COLOR", "1"));
        assert!(with(ColorWhen::Auto, true, "NO_COLOR", ""));
        assert!(with(ColorWhen::Always, false, "NO_COLOR", "1"));
        assert!(!with(ColorWhen::Never, true, "TERM", "xterm"));
    }

    #[cfg(not(windows))]
    #[test]
    fn arrows_follow_the_locale() {
        let with = |values: &'static [(&str, &str)]| {
            Arrows::of(|asked| values.iter().find(|(name, _)| *name == asked).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(with(&[("LANG", "de_DE.UTF-8")]), Arrows::UNICODE);
        assert_eq!(with(&[("LANG", "C.utf8")]), Arrows::UNICODE);
        assert_eq!(with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), Arrows::ASCII);
        assert_eq!(with(&[("LC_ALL", ""), ("LC_CTYPE", "en_US.UTF-8"), ("LANG", "C")]), Arrows::UNICODE);
        assert_eq!(with(&[]), Arrows::ASCII);
    }
}
