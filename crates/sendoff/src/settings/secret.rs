//! The cipher, and where its key comes from: never from an address itself, because addresses get printed.

use super::{Given, all};
use crate::{Address, Cipher, Crypt};

/// What the settings that give a secret have in common: only one of them can be given.
pub(super) const SECRET: &str = "the secret";

/// The cipher of those who give a secret and name none.
const DEFAULT: &str = "aes-128-gcm";

/// Variables of the environment that the command takes the secret from: its own, and kcptun's.
const VARIABLES: [&str; 2] = ["SENDOFF_KEY", "KCPTUN_KEY"];

fn is(given: &Given, name: &str) -> bool {
    all()[given.row].name == name
}

/// The secret in `SENDOFF_KEY` or `KCPTUN_KEY`, as if it had been given, where no other is. For the command; what a
/// program reads from its environment is its own affair.
pub fn from_environment(address: &Address, others: &[Given]) -> Option<Given> {
    let gives = |name: &str| all().iter().any(|s| s.subject() == SECRET && s.goes_by(name));
    let elsewhere = others.iter().any(|given| all()[given.row].subject() == SECRET)
        || address.settings().any(|(name, _)| gives(name));
    let row = all().iter().position(|setting| setting.name == "key-env")?;
    if elsewhere || !all()[row].schemes.contains(&address.scheme()) {
        return None;
    }
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let name = VARIABLES.into_iter().find(set)?;
    Some(Given { row, value: name.to_owned(), typed: format!("{name} in the environment") })
}

/// What was given of cipher and key, put together; `None` if nothing was.
pub(super) fn crypt(given: &[Given]) -> Result<Option<Crypt>, String> {
    let secret = given.iter().find(|given| all()[given.row].subject() == SECRET);
    let (cipher, typed) = match (given.iter().find(|given| is(given, "crypt")), secret) {
        (Some(named), _) => (parse(&named.value).map_err(|p| format!("{}: {p}", named.typed))?, &named.typed),
        (None, Some(secret)) => {
            (parse(DEFAULT).map_err(|p| format!("{}: {p}", secret.typed))?, &secret.typed)
        }
        (None, None) => return Ok(None),
    };
    match secret {
        _ if cipher.key_len() == 0 => Ok(Some(Crypt::kcptun(cipher, ""))),
        Some(secret) => {
            with_secret(cipher, secret).map(Some).map_err(|problem| format!("{}: {problem}", secret.typed))
        }
        None => Err(format!(
            "{typed}: needs a secret, from key-file or key-env; the command also takes it from SENDOFF_KEY"
        )),
    }
}

fn parse(name: &str) -> Result<Cipher, String> {
    name.parse().map_err(|error| match error {
        crate::CryptError::UnknownCipher(_) => {
            let names: Vec<_> = Cipher::ALL.iter().map(|cipher| cipher.name()).collect();
            format!("must be one of {}", names.join(", "))
        }
        error => error.to_string(),
    })
}

/// Only `null` is in such a build, and takes no key.
#[cfg(not(feature = "crypt"))]
fn with_secret(cipher: Cipher, _: &Given) -> Result<Crypt, String> {
    Ok(Crypt::kcptun(cipher, ""))
}

#[cfg(feature = "crypt")]
fn with_secret(cipher: Cipher, given: &Given) -> Result<Crypt, String> {
    let secret = match all()[given.row].name {
        "key-file" => reading::file(&given.value),
        "key-env" => reading::variable(&given.value),
        _ => reading::checked(given.value.clone().into_bytes()),
    }?;
    Ok(Crypt::kcptun(cipher, &*secret))
}

/// Secrets in memory, wiped when dropped.
#[cfg(feature = "crypt")]
mod reading {
    use std::{fs::File, io::Read};
    use zeroize::Zeroizing;

    type Secret = Zeroizing<Vec<u8>>;

    /// More is no secret that a person has made, but the wrong file.
    const MAX_BYTES: usize = 4_096;

    /// The contents of a file, less a line break at its end.
    pub(super) fn file(path: &str) -> Result<Secret, String> {
        // Room for all of it: growing would leave copies behind.
        let mut secret = Zeroizing::new(Vec::with_capacity(2 * MAX_BYTES));
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 2).read_to_end(&mut secret));
        read.map_err(|error| format!("cannot be read: {error}"))?;
        for end in [b'\n', b'\r'] {
            if secret.last() == Some(&end) {
                secret.pop();
            }
        }
        check(secret)
    }

    pub(super) fn variable(name: &str) -> Result<Secret, String> {
        // Such names are in no environment; asking for them may panic.
        let value = if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var_os(name) };
        let value = value.ok_or_else(|| format!("{name:?} is not in the environment"))?;
        checked(value.into_encoded_bytes())
    }

    pub(super) fn checked(secret: Vec<u8>) -> Result<Secret, String> {
        check(Zeroizing::new(secret))
    }

    fn check(secret: Secret) -> Result<Secret, String> {
        match secret.len() {
            0 => Err("is empty".into()),
            1..=MAX_BYTES => Ok(secret),
            _ => Err(format!("has more than {MAX_BYTES} bytes")),
        }
    }
}

#[cfg(all(test, feature = "crypt"))]
mod tests {
    use super::*;
    use crate::{Options, settings::apply};

    fn scratch(name: &str, contents: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("sendoff-{}-{name}", std::process::id()));
        std::fs::write(&path, contents).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    fn options(query: &str) -> Result<Crypt, String> {
        let address: Address = format!("h:1?{query}").parse().unwrap();
        apply(&address, &[], true, Options::new()).map(|options| options.kcp.crypt_value().clone())
    }

    fn refused(query: &str) -> String {
        options(query).unwrap_err()
    }

    /// Whether what one seals the other opens.
    fn is_same(one: &Crypt, other: &Crypt) -> bool {
        let mut sample = vec![0; one.overhead() + 24];
        let size = sample.len();
        one.sealer([1; 32]).seal_batch(&mut sample, size);
        other.opener().open(&mut sample).is_ok()
    }

    #[test]
    fn a_secret_comes_from_a_file_with_or_without_a_line_break() {
        let expected = Crypt::kcptun("aes".parse().unwrap(), "correct horse");
        for (n, contents) in ["correct horse", "correct horse\n", "correct horse\r\n"].iter().enumerate() {
            let file = scratch(&format!("line-{n}"), contents.as_bytes());
            let crypt = options(&format!("crypt=aes,key-file={file}")).unwrap();
            assert!(is_same(&crypt, &expected), "{contents:?}");
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn a_secret_without_a_cipher_means_aes_128_gcm_and_a_cipher_without_a_secret_nothing() {
        let file = scratch("default", b"s");
        assert_eq!(options(&format!("key-file={file}")).unwrap().cipher().name(), "aes-128-gcm");
        assert!(refused("crypt=aes").starts_with("crypt=aes in the address: needs a secret"));
        for keyless in ["none", "null"] {
            assert_eq!(options(&format!("crypt={keyless}")).unwrap().cipher().name(), keyless);
            assert_eq!(
                options(&format!("crypt={keyless},key-file={file}")).unwrap().cipher().name(),
                keyless
            );
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_secret_that_is_not_there_or_is_none_is_refused() {
        let file = scratch("empty", b"\n");
        assert_eq!(refused(&format!("key-file={file}")), format!("key-file={file} in the address: is empty"));
        std::fs::write(&file, [b'x'; 5_000]).unwrap();
        assert!(refused(&format!("key-file={file}")).ends_with("has more than 4096 bytes"));
        std::fs::remove_file(&file).unwrap();
        assert!(refused(&format!("key-file={file}")).contains("cannot be read"));
        assert!(
            refused("key-env=SENDOFF_NOT_SET").ends_with("\"SENDOFF_NOT_SET\" is not in the environment")
        );
        assert!(refused("key-env=").contains("is not in the environment"));
        let twice = refused("key-env=A,key-file=b");
        assert!(twice.ends_with("given twice, first as key-env=A in the address"), "{twice}");
        let cipher = refused("crypt=rot13,key-env=A");
        assert!(cipher.starts_with("crypt=rot13 in the address: must be one of aes, aes-192"), "{cipher}");
    }

    #[test]
    fn a_cipher_is_applied_before_the_mtu_that_it_takes_its_share_of() {
        let file = scratch("mtu", b"s");
        assert_eq!(
            refused(&format!("mtu=60,key-file={file}")),
            "mtu=60 in the address: must be at least 78 bytes, 28 of them for encryption and FEC"
        );
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_secret_is_never_printed() {
        let row = all().iter().position(|setting| setting.is_secret()).unwrap();
        let given = Given { row, value: "hunter2".into(), typed: "--key".into() };
        assert!(!format!("{given:?}").contains("hunter2"));
        let address: Address = "h:1".parse().unwrap();
        let options = apply(&address, &[given], true, Options::new()).unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(options.kcp.crypt_value().cipher().name(), "aes-128-gcm");
    }
}
