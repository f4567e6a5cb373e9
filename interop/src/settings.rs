//! The settings that both sides of a trial share.

use std::fmt;

use sendoff::Cipher;

/// Bytes of the KCP header: the largest segment's data is the MTU less this and what the cipher takes.
const HEADER: usize = 24;

/// A profile by the names that kcptun gave them, and the default of each library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Whatever the library does when it is told nothing.
    Default,
    /// nodelay 0, interval 40, resend 2, nc 1.
    Normal,
    /// nodelay 0, interval 30, resend 2, nc 1.
    Fast,
    /// nodelay 1, interval 20, resend 2, nc 1.
    Fast2,
    /// nodelay 1, interval 10, resend 2, nc 1.
    Fast3,
}

impl Profile {
    /// nodelay, interval in milliseconds, resend, nc; `None` for the library's default.
    pub fn numbers(self) -> Option<[u32; 4]> {
        match self {
            Self::Default => None,
            Self::Normal => Some([0, 40, 2, 1]),
            Self::Fast => Some([0, 30, 2, 1]),
            Self::Fast2 => Some([1, 20, 2, 1]),
            Self::Fast3 => Some([1, 10, 2, 1]),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Normal => "normal",
            Self::Fast => "fast",
            Self::Fast2 => "fast2",
            Self::Fast3 => "fast3",
        })
    }
}

/// The settings that both sides of a trial share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Message mode, not stream mode.
    pub message: bool,
    /// The profile of both sides.
    pub profile: Profile,
    /// Send and receive window of both sides, in segments.
    pub window: u16,
    /// Datagram bytes.
    pub mtu: usize,
    /// The cipher of both sides, with kcptun's key of the default secret.
    pub crypt: Cipher,
}

impl Default for Settings {
    fn default() -> Self {
        Self { message: false, profile: Profile::Fast3, window: 256, mtu: 1_400, crypt: Cipher::Null }
    }
}

impl Settings {
    /// Data bytes of the largest segment.
    pub fn segment_data(&self) -> usize {
        self.mtu - self.crypt.overhead() - HEADER
    }

    /// Sizes of the writes (stream mode), or of messages of at most `fragments` segments.
    pub fn sizes(&self, fragments: usize) -> Vec<usize> {
        let data = self.segment_data();
        if !self.message {
            return vec![16_384];
        }
        let mut sizes = vec![1, data, data / 2, data - 1, 17, data, data * 3 / 4];
        if fragments > 1 {
            sizes.extend([data + 1, 2 * data, 10 * data, 2, fragments * data, fragments / 2 * data + 7]);
        }
        sizes
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, profile, window, mtu, crypt } = self;
        let mode = if *message { "message" } else { "stream" };
        write!(f, "mode={mode} profile={profile} window={window} mtu={mtu}")?;
        // Not without one: the losses of a trial hang on its name.
        if *crypt == Cipher::Null { Ok(()) } else { write!(f, " crypt={crypt}") }
    }
}
