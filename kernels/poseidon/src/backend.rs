//! **Purpose**: which instructions the kernels use, found at run time.
//!
//! **Invariants**: a backend runs only where [`Backend::is_available`]; the public functions check it.

use std::fmt;

/// A way of computing; all give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// 64-bit limbs, any machine.
    Portable,
    /// 64-bit limbs, compiled for CPUs with `mulx` (which in practice have `adcx` and `adox` too).
    Adx,
    /// Eight lanes of 52-bit limbs.
    Avx512Ifma,
}

impl Backend {
    const ALL: [Self; 3] = [Self::Portable, Self::Adx, Self::Avx512Ifma];

    /// The fastest backend of this machine.
    pub fn detect() -> Self {
        Self::ALL.into_iter().rev().find(|backend| backend.is_available()).unwrap_or(Self::Portable)
    }

    /// All backends of this machine, the portable one first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|backend| backend.is_available()).collect()
    }

    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Adx => is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("adx"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Ifma => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    pub(crate) fn check(self) {
        assert!(
            self.is_available(),
            "could not run the Poseidon kernel `{self}`: this CPU lacks its instructions; \
             take one of Backend::available()"
        );
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Adx => "adx",
            Self::Avx512Ifma => "avx512-ifma",
        })
    }
}
