//! `--capture`: what passes through the socket of a command, into a file.

use crate::{
    exit::Usage,
    report::{Event, Report},
    signals::Interrupts,
};
use anyhow::Context;
use sendoff::{Address, Cipher, Options, Tap};
use sendoff_capture::record::{DEFAULT_LIMIT, Form, RecordOptions, Recording};
use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The flags.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Capture")]
pub struct CaptureArgs {
    /// Write every datagram to a pcapng file, as IP packets with comments: for dissect and Wireshark
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// Stop writing when the file has that size, such as 500kB, 100MB or 2GB
    #[arg(long, value_name = "SIZE", default_value = "100MB", value_parser = parse_size, requires = "capture", allow_hyphen_values = true)]
    pub capture_limit: u64,
    /// Write sealed datagrams as they are on the wire, not what is inside
    #[arg(long, requires = "capture")]
    pub capture_sealed: bool,
}

/// The smallest file that is of any use.
const LEAST: u64 = 10_000;

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => 0,
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| *size >= LEAST).ok_or_else(|| "must be a size of at least 10kB, such as 100MB".into())
}

impl CaptureArgs {
    /// Begins the file, if one is wanted, and has the endpoint of `options` recorded.
    ///
    /// # Errors
    /// A usage error, or why the file can't be written.
    pub async fn start(
        &self,
        address: &Address,
        options: &mut Options,
        report: &Report,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Option<Capture>> {
        let scheme = address.scheme();
        if self.capture.is_some() && !matches!(scheme, "kcp" | "udp") {
            let why = "has no datagrams: the system makes its packets (capture those with dissect --live)";
            return Err(Usage(format!("--capture: {scheme}:// {why}")).into());
        }
        let cipher = if scheme == "kcp" { options.kcp.crypt_value().cipher() } else { Cipher::Null };
        let Some(capture) = self.open(address, cipher, report, interrupts).await? else { return Ok(None) };
        match scheme {
            "kcp" => options.kcp = options.kcp.clone().tap(capture.tap.clone()),
            _ => options.udp = options.udp.clone().tap(capture.tap.clone()),
        }
        Ok(Some(capture))
    }

    /// Begins the file, if one is wanted.
    ///
    /// # Errors
    /// Why it can't be written.
    pub async fn open(
        &self,
        address: &Address,
        cipher: Cipher,
        report: &Report,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Option<Capture>> {
        let Some(path) = self.capture.clone() else { return Ok(None) };
        refuse_stdout("--capture", &path)?;
        let name = path.display().to_string();
        // A named pipe is opened only once somebody reads it.
        let opening = tokio::task::spawn_blocking(move || create(&path));
        let file = tokio::select! {
            file = opening => file?.with_context(|| format!("--capture {name}"))?,
            () = interrupts.first() => anyhow::bail!("--capture {name}: nobody reads it"),
        };
        let form = if self.capture_sealed { Form::Sealed } else { Form::Clear };
        let (told, file_name) = (report.clone(), name.clone());
        let options = RecordOptions::new(address.without_settings().to_string())
            .form(form)
            .limit(self.capture_limit)
            .on_stop(move |why| {
                told.event(&Event::CaptureStopped { file: file_name, why: why.to_string() });
            });
        let recording = Recording::start(file, options).with_context(|| format!("--capture {name}"))?;
        let tap = recording.tap(cipher);
        let opened = form == Form::Clear && cipher != Cipher::Null;
        Ok(Some(Capture { recording, tap, name, opened, report: report.clone() }))
    }
}

impl Default for CaptureArgs {
    fn default() -> Self {
        Self { capture: None, capture_limit: DEFAULT_LIMIT, capture_sealed: false }
    }
}

/// A capture has no place on stdout, which has the command's own output.
///
/// # Errors
/// When `path`, of the flag with that name, is `-`.
pub fn refuse_stdout(flag: &str, path: &Path) -> Result<(), Usage> {
    match path.as_os_str() == "-" {
        true => Err(Usage(format!("{flag} -: stdout is taken; a named pipe does (mkfifo)"))),
        false => Ok(()),
    }
}

/// For its owner alone: payloads may be in it that nobody else could read on the wire.
///
/// # Errors
/// Those of the system.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, OWNER_ALONE);
    let file = options.open(path)?;
    #[cfg(unix)]
    close_to_others(&file)?;
    Ok(file)
}

#[cfg(unix)]
const OWNER_ALONE: u32 = 0o600;

/// A file that was there has kept its mode. Devices and pipes are let alone, and so is what isn't ours to change.
#[cfg(unix)]
fn close_to_others(file: &File) -> io::Result<()> {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};
    if !file.metadata()?.is_file() {
        return Ok(());
    }
    match file.set_permissions(Permissions::from_mode(OWNER_ALONE)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        set => set,
    }
}

/// A file that is being written.
pub struct Capture {
    recording: Recording,
    tap: Arc<dyn Tap>,
    name: String,
    /// Whether what was sealed is written opened.
    opened: bool,
    report: Report,
}

impl Capture {
    /// What sees the datagrams.
    pub fn tap(&self) -> &Arc<dyn Tap> {
        &self.tap
    }

    /// Writes what is left, and says what the file has.
    ///
    /// # Errors
    /// None of a file: it was told when it happened.
    pub async fn finish(self) -> anyhow::Result<()> {
        let Self { recording, name, opened, report, .. } = self;
        let totals = tokio::task::spawn_blocking(move || recording.finish()).await?;
        report.event(&Event::Captured { file: name, totals, opened });
        Ok(())
    }
}

/// Has a command's capture end with it, whatever became of the command.
pub async fn finished<T>(capture: Option<Capture>, result: anyhow::Result<T>) -> anyhow::Result<T> {
    if let Some(capture) = capture {
        capture.finish().await?;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_a_least() {
        for (text, size) in [
            ("10000", 10_000),
            ("500kB", 500_000),
            ("100MB", DEFAULT_LIMIT),
            ("2g", 2_000_000_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in ["", "9999", "-1", "1.5GB", "MB", "5 MB", "20000000000GB", "100MX"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
