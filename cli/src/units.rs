//! Sizes, rates and times as people write and read them.
//!
//! `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024; `kB`, `MB`, `GB`, `TB` powers of 1000; a number
//! alone is bytes. Bare `K`, `M`, `G` are refused, for they mean both. Ports and counts are here
//! for the sake of their messages. Knows nothing of options.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A number of bytes that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// Bytes a second that were typed; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

/// Why text is no size, rate, port or count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// No digits where a number belongs.
    #[error("{0:?} does not begin with a number; write for example 16KiB, 1MiB or 10MB")]
    Number(String),
    /// The letters behind the number are no unit.
    #[error(
        "{0:?} is no unit; use B, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB (1000)"
    )]
    Unit(String),
    /// `K`, `M`, `G`, `T` alone.
    #[error("{0} alone is unclear: write {0}iB for a power of 1024 or {0}B for a power of 1000")]
    Ambiguous(String),
    /// Bits, not bytes.
    #[error("rates are in bytes, not bits; 8 Mbit/s is 1MB/s")]
    Bits,
    /// Above 2⁶⁴.
    #[error("the number is too large")]
    TooLarge,
    /// A rate of nothing.
    #[error("a limit of 0 would stop everything; leave the option out for no limit")]
    Zero,
    /// Not from 0 to 65535.
    #[error("{0:?} is no port; use a number from 0 to 65535")]
    Port(String),
    /// Nobody is reached there.
    #[error("nobody can be reached at port {0}; use a number from 1 to 65535")]
    PortOfNobody(String),
    /// Not a number without sign and fraction, or beyond what it is for.
    #[error("{0:?} is no whole number from 0 to {1}")]
    Count(String, u32),
}

/// Reads a port; 0 stands for any free one.
///
/// # Errors
/// [`UnitError::Port`].
pub(crate) fn port(text: &str) -> Result<u16, UnitError> {
    let text = text.trim();
    text.parse().map_err(|_| UnitError::Port(text.to_owned()))
}

/// Reads a whole number, of seconds or of things.
///
/// # Errors
/// [`UnitError::Count`].
pub(crate) fn whole(text: &str) -> Result<u32, UnitError> {
    let text = text.trim();
    let wrong = |_| UnitError::Count(text.to_owned(), u32::MAX);
    text.parse().map_err(wrong)
}

/// The same of things that are few.
///
/// # Errors
/// [`UnitError::Count`].
pub(crate) fn count(text: &str) -> Result<u16, UnitError> {
    let text = text.trim();
    let wrong = |_| UnitError::Count(text.to_owned(), u16::MAX.into());
    text.parse().map_err(wrong)
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = factor(unit.trim())?;
        let number = number.replace('_', "");
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        let digits = |text: &str| match text {
            "" => Some(0),
            text if text.len() <= 20 => text.parse::<u128>().ok(),
            _ => None,
        };
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(UnitError::Number(text.to_owned()));
        }
        let whole = digits(whole).ok_or(UnitError::TooLarge)?;
        // Below a billionth of the unit nothing is left of the largest unit but bytes.
        let fraction = &fraction[..fraction.len().min(9)];
        let scale = fraction.chars().fold(1u128, |scale, _| scale * 10);
        let fraction = digits(fraction).ok_or(UnitError::TooLarge)?;
        let bytes = whole * u128::from(unit) + fraction * u128::from(unit) / scale;
        u64::try_from(bytes)
            .map(Self)
            .map_err(|_| UnitError::TooLarge)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let lower = text.trim().to_ascii_lowercase();
        if lower.contains("bit") || lower.ends_with("bps") {
            return Err(UnitError::Bits);
        }
        let size = lower.strip_suffix("/s").unwrap_or(&lower);
        match size.parse::<Size>()? {
            Size(0) => Err(UnitError::Zero),
            Size(bytes) => Ok(Self(bytes)),
        }
    }
}

/// Bytes that one of the unit holds.
fn factor(unit: &str) -> Result<u64, UnitError> {
    Ok(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "m" | "g" | "t" => return Err(UnitError::Ambiguous(unit.to_ascii_uppercase())),
        _ => return Err(UnitError::Unit(unit.to_owned())),
    })
}

/// Shows a number of bytes: `812 B`, `1.50 MiB`.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // Rounding may carry into the next unit: 1023.999 KiB is shown as 1.00 MiB.
        let mut unit = 0;
        let mut hundredths = u128::from(self.0) * 100 / 1024;
        while hundredths >= 102_400 {
            unit += 1;
            hundredths /= 1024;
        }
        let (whole, part) = (hundredths / 100, hundredths % 100);
        match whole {
            _ if self.0.is_multiple_of(1 << (10 * (unit + 1))) => {
                write!(f, "{whole} {}", UNITS[unit])
            }
            0..100 => write!(f, "{whole}.{part:02} {}", UNITS[unit]),
            _ => write!(f, "{whole}.{} {}", part / 10, UNITS[unit]),
        }
    }
}

/// Shows bytes a second: `1.50 MiB/s`.
#[derive(Debug)]
pub(crate) struct PerSecond(pub(crate) u64);

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

/// Shows a time: `0.8 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `4 d 01 h`.
#[derive(Debug)]
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        match s {
            0..10 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            10..60 => write!(f, "{s} s"),
            60..3600 => write!(f, "{} min {:02} s", s / 60, s % 60),
            3600..86_400 => write!(f, "{} h {:02} min", s / 3600, s / 60 % 60),
            86_400..31_536_000 => write!(f, "{} d {:02} h", s / 86_400, s / 3600 % 24),
            _ => f.write_str("over a year"),
        }
    }
}

/// Shows how many there are of something whose plural takes an `s`: `1 peer`, `2 peers`.
#[derive(Debug)]
pub(crate) struct Count<N>(pub(crate) N, pub(crate) &'static str);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Count<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == N::from(1) { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// A moment, shown in UTC.
#[derive(Debug)]
pub(crate) struct Date(pub(crate) i64);

impl Date {
    pub(crate) fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // Before 1970 the clock is wrong, and so is what we show.
        Self(now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Date {
    /// Source: the civil calendar counted from 1 March of year 0, in eras of 400 years.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let days = days + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = era * 400 + year + carry;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

/// Bytes a second over a span; 0 when no time has passed.
pub(crate) fn rate(bytes: u64, span: Duration) -> u64 {
    let ms = span.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / ms).unwrap_or(u64::MAX)
}

/// Whole percent, 100 only when nothing is missing.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    match whole {
        0 => 100,
        _ => u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(100),
    }
}

/// Ascending numbers as runs: first and last.
pub(crate) fn runs<N>(numbers: impl Iterator<Item = N>) -> Vec<[N; 2]>
where
    N: Copy + PartialEq + std::ops::Add<Output = N> + From<u8>,
{
    let mut runs: Vec<[N; 2]> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some([_, last]) if *last + N::from(1) == number => *last = number,
            _ => runs.push([number, number]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_size(text: &str, expect: Option<u64>) {
        assert_eq!(text.parse().ok(), expect.map(Size), "{text}");
    }

    #[test]
    fn size_takes_binary_decimal_and_plain() {
        check_size("0", Some(0));
        check_size("16384", Some(16_384));
        check_size("16KiB", Some(16_384));
        check_size("16kib", Some(16_384));
        check_size("1MiB", Some(1 << 20));
        check_size("1.5 MiB", Some(3 << 19));
        check_size("10MB", Some(10_000_000));
        check_size("10_000B", Some(10_000));
        check_size(".5GiB", Some(1 << 29));
        check_size("16EiB", None);
        check_size("16777216TiB", None);
        check_size("99999999999999999999999", None);
    }

    #[test]
    fn size_refuses_what_it_cannot_be_sure_of() {
        for text in [
            "", "MiB", "-1", "1K", "1M", "1 apple", "1.2.3", ".", "1MiB/s", "é",
        ] {
            check_size(text, None);
        }
        let unclear = "5M".parse::<Size>().unwrap_err();
        assert_eq!(unclear, UnitError::Ambiguous("M".to_owned()));
    }

    #[test]
    fn rate_takes_a_size_with_or_without_per_second() {
        assert_eq!("5MiB/s".parse(), Ok(Rate(5 << 20)));
        assert_eq!("5MiB".parse(), Ok(Rate(5 << 20)));
        assert_eq!("500kB/s".parse(), Ok(Rate(500_000)));
        assert_eq!("0".parse::<Rate>(), Err(UnitError::Zero));
        assert_eq!("8Mbit/s".parse::<Rate>(), Err(UnitError::Bits));
        assert_eq!("8mbps".parse::<Rate>(), Err(UnitError::Bits));
    }

    #[test]
    fn bytes_are_shown_with_three_digits() {
        for (bytes, expect) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1025, "1.00 KiB"),
            (10_000_000, "9.53 MiB"),
            (150 << 20, "150 MiB"),
            ((150 << 20) + 1, "150.0 MiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (u64::MAX, "15.99 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), expect);
        }
    }

    #[test]
    fn times_are_shown_with_two_units() {
        for (s, expect) in [
            (0.84, "0.8 s"),
            (12.9, "12 s"),
            (185.0, "3 min 05 s"),
            (7_620.0, "2 h 07 min"),
            (349_200.0, "4 d 01 h"),
            (1e12, "over a year"),
        ] {
            assert_eq!(Time(Duration::from_secs_f64(s)).to_string(), expect);
        }
    }

    #[test]
    fn one_is_no_plural() {
        for (count, expect) in [(0, "0 peers"), (1, "1 peer"), (2, "2 peers")] {
            assert_eq!(Count(count, "peer").to_string(), expect);
        }
        assert_eq!(Count(1_u64, "file").to_string(), "1 file");
    }

    #[test]
    fn percent_is_full_only_when_nothing_is_missing() {
        assert_eq!(percent(999_999, 1_000_000), 99);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(rate(1000, Duration::from_millis(500)), 2000);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expect) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_102_444_800, "2100-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(Date(seconds).to_string(), expect);
        }
        // Whatever a torrent says, it is shown without a panic.
        assert!(!Date(i64::MAX).to_string().is_empty());
        assert!(!Date(i64::MIN).to_string().is_empty());
    }
}
