//! Unique users, by a HyperLogLog sketch of the Apache DataSketches library.
//!
//! With 4,096 registers (`lg_k` 12) one standard deviation is 1.63 %; up to some hundred users the sketch holds what it
//! has seen one by one and is closer. Sketches are united, never added up. The estimate is always the composite one,
//! which is a function of the registers: the library's other one depends on the order of insertion.
//!
//! The library's own bytes also depend on that order, and its reader believes what they say about themselves. So the
//! bytes here are our own: equal sketches have equal bytes, and the library is given only what was checked.

mod content;
mod library;

#[cfg(test)]
mod tests;

use datasketches::{
    hash::value::raw_bytes,
    hll::{HllSketch, HllType, HllUnion},
};

use self::content::{Content, LG_K, REGISTERS};
use super::codec::Corrupt;

/// How many different users there were.
#[derive(Debug, Clone)]
pub struct Sketch(HllUnion);

impl Default for Sketch {
    fn default() -> Self {
        Self(HllUnion::new(LG_K).expect("the library takes sizes from 4 to 21"))
    }
}

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        self.content() == other.content()
    }
}

impl Eq for Sketch {}

impl Sketch {
    /// The longest encoding, in bytes: registers, all but one of which need a byte of their own.
    pub const SIZE_LIMIT_BYTES: usize = 3 + REGISTERS / 2 + REGISTERS;

    /// Adds a user. A text has one hash on every machine and in every version.
    pub fn add(&mut self, user: &str) {
        self.0.update_value(raw_bytes::from_str(user));
    }

    /// Adds the users of another.
    pub fn merge(&mut self, other: &Self) {
        self.0.update(&other.0.to_sketch(HllType::Hll8));
    }

    /// Whether it has seen nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many users there were, about.
    pub fn estimate(&self) -> f64 {
        self.0.composite_estimate()
    }

    fn content(&self) -> Content {
        library::read(&self.0.to_sketch(HllType::Hll8).serialize())
    }

    /// The bytes: 7 with one user, about 2,060 when all registers are in use. Equal sketches have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.content().encode()
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// They are no sketch of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let content = Content::decode(bytes)?;
        let sketch = HllSketch::deserialize(&library::bytes(&content)).map_err(|_| Corrupt("a sketch"))?;
        let mut union = Self::default();
        union.0.update(&sketch);
        Ok(union)
    }
}
