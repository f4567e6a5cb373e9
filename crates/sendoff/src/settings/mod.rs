//! Settings by name: one table makes what stands behind the `?` of an address, the flags of the command, and
//! both into checked options.
//!
//! Public for the command only; programs set typed options ([`Options`](crate::Options)).

mod duration;
mod secret;
mod table;

pub use duration::{Bare, parse_duration, parse_duration_above_zero, parse_duration_as};
pub use secret::from_environment;

use crate::{Address, AddressError, Options};
use std::fmt;

/// Who can use a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Everybody.
    Both,
    /// Those who connect.
    Connect,
    /// Those who listen.
    Listen,
}

impl Side {
    /// Whether those who connect, or those who listen, can use it.
    pub fn includes(self, connect: bool) -> bool {
        self == if connect { Self::Connect } else { Self::Listen } || self == Self::Both
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Name in an address and, unless `flag` says otherwise, of the flag.
    pub name: &'static str,
    flag: Option<&'static str>,
    /// Other names that users of kcptun know; not shown.
    pub aliases: &'static [&'static str],
    /// What the value is called in the help; a setting without it takes none.
    pub value: Option<&'static str>,
    /// The same over TCP, where that is another.
    tcp_value: Option<&'static str>,
    subject: &'static str,
    /// Whose it is.
    pub side: Side,
    /// The schemes that have it.
    pub schemes: &'static [&'static str],
    /// What it does.
    pub help: &'static str,
    apply: fn(&mut Options, &str, &str) -> Result<(), String>,
}

impl Setting {
    /// Name of the flag.
    pub fn flag(&self) -> &'static str {
        self.flag.unwrap_or(self.name)
    }

    /// Of several settings with one subject only one can be given.
    fn subject(&self) -> &'static str {
        if self.subject.is_empty() { self.name } else { self.subject }
    }

    /// Whether it is about encryption: the cipher, or where the key comes from.
    pub fn is_about_encryption(&self) -> bool {
        self.name == "crypt" || self.subject() == secret::SECRET
    }

    /// Whether its value is a secret itself: it must be given as a flag, if at all, and isn't printed.
    pub fn is_secret(&self) -> bool {
        self.name == "key"
    }

    /// What the value is called of an address with that scheme.
    fn value_for(&self, scheme: &str) -> Option<&'static str> {
        self.tcp_value.filter(|_| scheme == "tcp").or(self.value)
    }

    fn check_scheme(&self, scheme: &str, typed: &str) -> Result<(), String> {
        match self.schemes.contains(&scheme) {
            true => Ok(()),
            false => Err(format!("{typed}: not a setting of {scheme}://")),
        }
    }

    fn goes_by(&self, name: &str) -> bool {
        self.name == name || self.flag() == name || self.aliases.contains(&name)
    }
}

/// All settings, in the order in which they are applied.
pub fn all() -> &'static [Setting] {
    table::TABLE
}

/// A setting and its value, as typed.
#[derive(Clone)]
pub struct Given {
    /// Where the setting stands in [`all`].
    pub row: usize,
    /// Empty where it takes none.
    pub value: String,
    /// How the user wrote it: `--mtu 10`, or `mtu=10 in the address`.
    pub typed: String,
}

/// Without the value where that is a secret.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Lays the settings of an address, and others that were given, over `options`.
///
/// # Errors
/// The setting as it was typed, and what would do.
pub fn apply(
    address: &Address,
    others: &[Given],
    connect: bool,
    options: Options,
) -> Result<Options, String> {
    let (table, scheme) = (all(), address.scheme());
    let mut given = others.to_vec();
    for given in &given {
        table[given.row].check_scheme(scheme, &given.typed)?;
    }
    for (name, value) in address.settings() {
        given.push(in_address(name, value, scheme, connect)?);
    }
    refuse_repeated(&given)?;
    given.sort_by_key(|given| given.row);
    let mut options = options;
    if let Some(crypt) = secret::crypt(&given)? {
        options.kcp = options.kcp.crypt(crypt);
    }
    given.iter().try_fold(options, |mut options, given| {
        (table[given.row].apply)(&mut options, scheme, &given.value)
            .map_err(|problem| format!("{}: {problem}", given.typed))?;
        Ok(options)
    })
}

/// The same for the settings of an address alone.
pub(crate) fn of_address(
    address: &Address,
    connect: bool,
    options: &Options,
) -> Result<Options, AddressError> {
    apply(address, &[], connect, options.clone())
        .map_err(|problem| AddressError::new(address.without_settings(), problem))
}

fn in_address(name: &str, value: Option<&str>, scheme: &str, connect: bool) -> Result<Given, String> {
    let typed = match value {
        Some(value) => format!("{}={} in the address", name.escape_debug(), value.escape_debug()),
        None => format!("{} in the address", name.escape_debug()),
    };
    let refuse = |problem: String| Err(format!("{typed}: {problem}"));
    if name == "key" {
        return Err("key= in the address: refused, because addresses get printed; key-file= or key-env= \
                    say where it is"
            .into());
    }
    let Some(row) = all().iter().position(|setting| setting.goes_by(name)) else {
        let names: Vec<_> = all().iter().filter(|s| !s.is_secret()).map(|s| s.name).collect();
        return refuse(format!("unknown setting; there are {}", names.join(", ")));
    };
    let setting = &all()[row];
    setting.check_scheme(scheme, &typed)?;
    match (setting.value_for(scheme), value) {
        _ if !setting.side.includes(connect) => {
            let who = if connect { "listen" } else { "connect" };
            refuse(format!("only for those who {who}"))
        }
        (Some(what), None) => refuse(format!("needs a value: {}={what}", setting.name)),
        (None, Some(_)) => refuse(format!("takes no value: {}", setting.name)),
        (_, value) => Ok(Given { row, value: value.unwrap_or_default().to_owned(), typed }),
    }
}

fn refuse_repeated(given: &[Given]) -> Result<(), String> {
    for (i, later) in given.iter().enumerate() {
        let subject = all()[later.row].subject();
        let same = |earlier: &&Given| all()[earlier.row].subject() == subject;
        if let Some(earlier) = given[..i].iter().find(same) {
            return Err(format!("{}: given twice, first as {}", later.typed, earlier.typed));
        }
    }
    Ok(())
}
