//! What a sketch holds, and its bytes.

use super::super::codec::{Corrupt, Reader, Writer};

/// The version of the bytes.
const VERSION: u8 = 1;
/// The binary logarithm of the number of registers.
pub(super) const LG_K: u8 = 12;
/// The number of registers.
pub(super) const REGISTERS: usize = 1 << LG_K;
/// Up to this number, coupons are kept one by one: three quarters of the library's largest set, which has 512 places.
const COUPONS_LIMIT: usize = 384;
/// The largest value of a register: 62 leading zeros and one.
const REGISTER_LIMIT: u8 = 63;
/// A coupon is a register's value above 26 bits of address.
const ADDRESS_BITS: u32 = 26;
/// A nibble that refers to the list of what is too large for one.
const EXCEPTION: u8 = 15;
/// What follows: coupons.
const COUPONS: u8 = 0;
/// What follows: registers.
const FULL: u8 = 1;

/// What a sketch holds, whatever the order in which it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// In ascending order.
    Coupons(Vec<u32>),
    /// As many as there are.
    Registers(Vec<u8>),
}

impl Content {
    /// The bytes: version, and either the number of coupons and these, or the least register, what each register is
    /// above it (a nibble), and the registers for which 15 is not enough.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.byte(VERSION);
        match self {
            Self::Coupons(coupons) => {
                writer.byte(COUPONS);
                writer.unsigned(coupons.len() as u128);
                coupons.iter().for_each(|coupon| writer.raw(&coupon.to_le_bytes()));
            }
            Self::Registers(registers) => {
                let least = registers.iter().copied().min().unwrap_or_default();
                let nibble = |register: u8| (register - least).min(EXCEPTION);
                writer.byte(FULL);
                writer.byte(least);
                registers.chunks(2).for_each(|pair| writer.byte(nibble(pair[0]) | nibble(pair[1]) << 4));
                let exceptions = registers.iter().filter(|register| nibble(**register) == EXCEPTION);
                exceptions.for_each(|register| writer.byte(*register));
            }
        }
        writer.into_bytes()
    }

    /// Reads the bytes; only what a sketch can hold.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader::new(bytes, "a sketch");
        reader.version(VERSION)?;
        let content = match reader.byte()? {
            COUPONS => Self::Coupons(read_coupons(&mut reader)?),
            FULL => Self::Registers(read_registers(&mut reader)?),
            _ => return Err(reader.corrupt()),
        };
        reader.end()?;
        Ok(content)
    }
}

fn read_coupons(reader: &mut Reader) -> Result<Vec<u32>, Corrupt> {
    let length: usize = reader.unsigned()?;
    if length > COUPONS_LIMIT {
        return Err(reader.corrupt());
    }
    let coupons: Vec<u32> =
        (0..length).map(|_| reader.array().map(u32::from_le_bytes)).collect::<Result<_, _>>()?;
    let are_sorted = coupons.is_sorted_by(|before, after| before < after);
    let have_values = coupons.iter().all(|coupon| coupon >> ADDRESS_BITS > 0);
    if are_sorted && have_values { Ok(coupons) } else { Err(reader.corrupt()) }
}

fn read_registers(reader: &mut Reader) -> Result<Vec<u8>, Corrupt> {
    let least = reader.byte()?;
    if least > REGISTER_LIMIT {
        return Err(reader.corrupt());
    }
    let nibbles = reader.raw(REGISTERS / 2)?.iter().flat_map(|pair| [pair & 15, pair >> 4]);
    let mut registers: Vec<u8> = nibbles.map(|nibble| least + nibble).collect();
    for register in registers.iter_mut().filter(|register| **register == least + EXCEPTION) {
        let exact = reader.byte()?;
        if exact < *register {
            return Err(reader.corrupt());
        }
        *register = exact;
    }
    let has_least = registers.contains(&least);
    let are_in_range = registers.iter().all(|register| *register <= REGISTER_LIMIT);
    let is_empty = registers.iter().all(|register| *register == 0);
    if has_least && are_in_range && !is_empty { Ok(registers) } else { Err(reader.corrupt()) }
}
