//! The ways of computing SHA-1 that this machine has. FIPS 180-4.
//!
//! All give the same digests; they differ in how many messages they take side by side. Which one
//! suits how many messages is `select`'s knowledge.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions that not every processor has")]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions that not every processor has")]
mod avx512;
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "instructions that not every processor has")]
mod neon;
mod portable;
mod rounds;
mod scalar;
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "instructions that not every processor has")]
mod sha;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions that not every processor has")]
mod shani;

use std::fmt;
use std::str::FromStr;

use crate::drive::{Work, drive};

/// A way of computing SHA-1 that this machine has; the value is the proof of that.
///
/// | name | messages side by side | with |
/// |---|---|---|
/// | `avx512` | 16 | AVX-512 F and BW (x86-64) |
/// | `avx2` | 8 | AVX2 (x86-64) |
/// | `shani` | 2 | SHA (x86-64) |
/// | `sha` | 2 | the SHA-1 instructions of aarch64 |
/// | `neon` | 4 | NEON (aarch64) |
/// | `portable` | 16 | plain Rust: the lanes of `avx512` without it; for tests |
/// | `scalar` | 1 | the `sha1` crate, which uses SHA instructions where it finds them |
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    ShaNi(shani::ShaNi),
    #[cfg(target_arch = "aarch64")]
    Sha(sha::Sha),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Portable(portable::Portable),
    Scalar(scalar::Scalar),
}

/// Every name, whether or not this machine has the kernel.
const NAMES: [&str; 7] = [
    "avx512", "avx2", "shani", "sha", "neon", "portable", "scalar",
];

impl Kernel {
    /// All that this machine has.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let kinds = [
            #[cfg(target_arch = "x86_64")]
            avx512::Avx512::detect().map(Kind::Avx512),
            #[cfg(target_arch = "x86_64")]
            avx2::Avx2::detect().map(Kind::Avx2),
            #[cfg(target_arch = "x86_64")]
            shani::ShaNi::detect().map(Kind::ShaNi),
            #[cfg(target_arch = "aarch64")]
            sha::Sha::detect().map(Kind::Sha),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::detect().map(Kind::Neon),
            Some(Kind::Portable(portable::Portable)),
            Some(Kind::Scalar(scalar::Scalar)),
        ];
        kinds.into_iter().flatten().map(Self).collect()
    }

    /// As `SHOAL_SHA1` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => "shani",
            #[cfg(target_arch = "aarch64")]
            Kind::Sha(_) => "sha",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => "neon",
            Kind::Portable(_) => "portable",
            Kind::Scalar(_) => "scalar",
        }
    }

    /// Messages that it takes side by side.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => shani::LANES,
            #[cfg(target_arch = "aarch64")]
            Kind::Sha(_) => sha::LANES,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => neon::LANES,
            Kind::Portable(_) => portable::LANES,
            Kind::Scalar(_) => scalar::LANES,
        }
    }

    /// Compresses until fewer than `busy_min` messages are left.
    pub(crate) fn compress(self, works: &mut [Work<'_>], busy_min: usize) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(kernel) => drive(kernel, works, busy_min),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(kernel) => drive(kernel, works, busy_min),
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(kernel) => drive(kernel, works, busy_min),
            #[cfg(target_arch = "aarch64")]
            Kind::Sha(kernel) => drive(kernel, works, busy_min),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(kernel) => drive(kernel, works, busy_min),
            Kind::Portable(kernel) => drive(kernel, works, busy_min),
            Kind::Scalar(kernel) => drive(kernel, works, busy_min),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a name is none of this machine's kernels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// No machine has such a kernel.
    #[error("there is no SHA-1 kernel `{0}`; here are: {here}", here = names())]
    Unknown(String),
    /// Other machines have it.
    #[error("this processor lacks the SHA-1 kernel `{0}`; here are: {here}", here = names())]
    Unavailable(String),
}

fn names() -> String {
    let names: Vec<_> = Kernel::available().iter().map(|it| it.name()).collect();
    names.join(", ")
}

impl FromStr for Kernel {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        let mut available = Self::available().into_iter();
        let found = available.find(|kernel| kernel.name() == name);
        found.ok_or_else(|| match NAMES.contains(&name) {
            true => KernelError::Unavailable(name.to_owned()),
            false => KernelError::Unknown(name.to_owned()),
        })
    }
}
