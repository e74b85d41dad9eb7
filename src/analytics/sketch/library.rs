//! The library's format: that of DataSketches in Java, version 1.
//!
//! Eight bytes say what follows: a list of coupons, a set of coupons with their number, or registers of eight bits with
//! their sums.

use super::content::{Content, LG_K};

const VERSION: u8 = 1;
const FAMILY: u8 = 7;
const EMPTY: u8 = 4;
const COMPACT: u8 = 8;
const OUT_OF_ORDER: u8 = 16;
const MODE_MASK: u8 = 3;
const LIST: u8 = 0;
const SET: u8 = 1;
const HLL8: u8 = 2 << 2;
/// The length of what precedes the coupons of a list, the coupons of a set, the registers.
const LIST_HEAD_BYTES: usize = 8;
const SET_HEAD_BYTES: usize = 12;
const REGISTERS_HEAD_BYTES: usize = 40;
/// A list of 8 coupons becomes a set.
const LIST_LIMIT: usize = 8;

/// Reads bytes that the library has just written.
pub(super) fn read(bytes: &[u8]) -> Content {
    let coupons = |bytes: &[u8]| {
        let (coupons, _) = bytes.as_chunks();
        let mut coupons: Vec<u32> = coupons.iter().copied().map(u32::from_le_bytes).collect();
        coupons.sort_unstable();
        Content::Coupons(coupons)
    };
    match bytes[7] & MODE_MASK {
        LIST => coupons(&bytes[LIST_HEAD_BYTES..]),
        SET => coupons(&bytes[SET_HEAD_BYTES..]),
        _ => Content::Registers(bytes[REGISTERS_HEAD_BYTES..].to_vec()),
    }
}

/// Bytes that the library reads.
pub(super) fn bytes(content: &Content) -> Vec<u8> {
    let mut bytes;
    match content {
        Content::Coupons(coupons) if coupons.len() < LIST_LIMIT => {
            let flags = if coupons.is_empty() { COMPACT | EMPTY } else { COMPACT };
            bytes = vec![2, VERSION, FAMILY, LG_K, 3, flags, coupons.len() as u8, LIST | HLL8];
            bytes.extend(coupons.iter().flat_map(|coupon| coupon.to_le_bytes()));
        }
        Content::Coupons(coupons) => {
            // The smallest table that is filled to at most three quarters, as the library grows it.
            let lg_size = (5..).find(|lg_size| coupons.len() * 4 <= 3 << lg_size).unwrap_or(u8::MAX);
            bytes = vec![3, VERSION, FAMILY, LG_K, lg_size, COMPACT, 0, SET | HLL8];
            bytes.extend((coupons.len() as u32).to_le_bytes());
            bytes.extend(coupons.iter().flat_map(|coupon| coupon.to_le_bytes()));
        }
        Content::Registers(registers) => {
            bytes = vec![10, VERSION, FAMILY, LG_K, 0, OUT_OF_ORDER, 0, 2 | HLL8];
            // Sums of 2^-register, apart for small and large ones, so that both are exact.
            let sum = |large: bool| -> f64 {
                let of = registers.iter().filter(|register| (**register >= 32) == large);
                of.map(|register| 0.5_f64.powi((*register).into())).sum()
            };
            let zeros = registers.iter().filter(|register| **register == 0).count() as u32;
            [0.0, sum(false), sum(true)].iter().for_each(|sum: &f64| bytes.extend(sum.to_le_bytes()));
            bytes.extend(u64::from(zeros).to_le_bytes());
            bytes.extend_from_slice(registers);
        }
    }
    bytes
}
