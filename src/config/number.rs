//! Whole numbers in a range.

/// Declares a whole number within a range.
#[macro_export]
macro_rules! bounded {
    ($(#[$doc:meta])* $vis:vis $name:ident: $type:ty = $min:literal to $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        $vis struct $name($type);

        impl $name {
            /// The smallest allowed value.
            #[allow(dead_code, reason = "not every value is shown with its range")]
            $vis const MIN: $type = $min;
            /// The largest allowed value.
            #[allow(dead_code, reason = "not every value is shown with its range")]
            $vis const MAX: $type = $max;

            /// The value as a number.
            $vis const fn get(self) -> $type {
                self.0
            }
        }
        impl $crate::config::Allowed for $name {
            const ALLOWED: &'static str =
                concat!("a whole number from ", stringify!($min), " to ", stringify!($max));
        }
        impl TryFrom<u64> for $name {
            type Error = $crate::config::Invalid;
            fn try_from(value: u64) -> Result<Self, Self::Error> {
                match <$type>::try_from(value) {
                    Ok(inside) if ($min..=$max).contains(&inside) => Ok(Self(inside)),
                    _ => Err($crate::config::Invalid::new(value, <Self as $crate::config::Allowed>::ALLOWED)),
                }
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::config::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.trim()
                    .parse::<u64>()
                    .map_err(|_| $crate::config::Invalid::new(text, <Self as $crate::config::Allowed>::ALLOWED))
                    .and_then(Self::try_from)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }
        $crate::documented!($name as Integer by get);
    };
}

bounded!(
    /// The seed of the random generators: the same seed gives the same draws.
    pub Seed: u64 = 0 to 18446744073709551615
);

/// The `--seed` flag that commands share.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct SeedArg {
    /// The seed of the random draws: the same seed gives the same draws
    #[arg(long, env = "LAB_SEED", default_value = "1", value_name = <Seed as super::invalid::Allowed>::ALLOWED)]
    seed: Seed,
}

impl SeedArg {
    /// The seed.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.seed.get()
    }

    /// The seed plus `count`, wrapping around.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self { seed: Seed(self.get().wrapping_add(count)) }
    }
}
