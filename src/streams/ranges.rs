//! The ranges of what a run may be started with; of five numbers `--unbounded-ranges` lifts the upper end.

use std::{fmt, str::FromStr, time::Duration};

use crate::{
    bounded,
    config::{Allowed, Invalid, Misfit, SizeText, TimeText, read_milliseconds, read_size},
    documented,
};

bounded!(
    /// How often the first stream emits for each time another one does.
    pub NoisyFactor: u32 = 1 to 10000
);

/// How a value that can be lifted is read and shown.
struct Grammar {
    read: fn(&str) -> Option<usize>,
    show: fn(usize) -> String,
}

const COUNT: Grammar = Grammar { read: |text| text.trim().parse().ok(), show: |count| count.to_string() };
const MILLISECONDS: Grammar = Grammar {
    read: |text| usize::try_from(read_milliseconds(text)?).ok(),
    show: |ms| TimeText(Duration::from_millis(ms as u64)).to_string(),
};
const BYTES: Grammar = Grammar {
    read: |text| usize::try_from(read_size(text)?).ok(),
    show: |bytes| SizeText(bytes as u64).to_string(),
};

/// A value whose upper end `--unbounded-ranges` lifts: read up to the lifted end, and checked against the usual
/// one when all flags are known.
macro_rules! liftable {
    ($(#[$doc:meta])* $name:ident, $variable:literal: $what:literal, $min:literal to $max:literal $unit:literal,
     lifted to $ceiling:literal, $grammar:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(usize);

        impl $name {
            /// The least.
            pub const MIN: u64 = $min;

            /// The most, if ranges are lifted or not.
            pub const fn most(unbounded: bool) -> u64 {
                if unbounded { $ceiling } else { $max }
            }
            /// The number.
            pub const fn get(self) -> usize {
                self.0
            }
            /// The number, if the usual range has it or ranges are lifted.
            ///
            /// # Errors
            /// [`Misfit`] when it lies above.
            pub fn within(self, unbounded: bool) -> Result<usize, Misfit> {
                if unbounded || self.0 <= $max {
                    Ok(self.0)
                } else {
                    Err(Misfit::new($variable, self, Self::ALLOWED))
                }
            }
        }
        impl Allowed for $name {
            const ALLOWED: &'static str = concat!(
                $what, " from ", $min, $unit, " to ", $max, $unit, ", to ", $ceiling, $unit, " with --unbounded-ranges"
            );
        }
        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let value = ($grammar.read)(text).filter(|value| ($min..=$ceiling).contains(value));
                value.map(Self).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&($grammar.show)(self.0))
            }
        }
        documented!($name as Integer by get);
    };
}

liftable!(
    /// Workers in the pool.
    WorkersCount, "WORKERS_COUNT": "a whole number", 10 to 200 "", lifted to 100000, COUNT
);
liftable!(
    /// Generated streams.
    StreamsCount, "STREAMS_COUNT": "a whole number", 10 to 500 "", lifted to 1000000, COUNT
);
liftable!(
    /// The longest pause between two chunks of a stream, in milliseconds.
    StreamInterval, "STREAM_INTERVAL": "a time such as 250ms, a bare number being milliseconds,",
    100 to 5000 "ms", lifted to 86400000, MILLISECONDS
);
liftable!(
    /// The longest chunk, in bytes.
    ChunkSize, "CHUNK_SIZE": "a size such as 1KiB, a bare number being bytes,",
    512 to 4096 "B", lifted to 16777216, BYTES
);
liftable!(
    /// Places in the buffer, chunks.
    BufferSize, "BUFFER_SIZE": "a whole number", 100 to 2000 "", lifted to 10000000, COUNT
);
