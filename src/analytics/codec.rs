//! The bytes that the log and the stores keep: numbers of variable length, and texts.
//!
//! A number takes seven bits a byte, lowest first (LEB128); a signed one is folded first, so that small negative
//! numbers are short too (ZigZag). Each value has one form. Reading is total: any bytes give a value or [`Corrupt`].

/// The bytes hold nothing that this version has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged, or written by another version: {0}")]
pub struct Corrupt(pub(super) &'static str);

/// Writes values one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn unsigned(&mut self, number: impl Into<u128>) {
        let mut rest = number.into();
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    pub(super) fn signed(&mut self, number: impl Into<i128>) {
        let number = number.into();
        self.unsigned(((number << 1) ^ (number >> 127)) as u128);
    }

    /// A length, and as many bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.unsigned(bytes.len() as u128);
        self.raw(bytes);
    }
}

/// Reads what a [`Writer`] has written.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the bytes in errors.
    pub(super) const fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    pub(super) const fn corrupt(&self) -> Corrupt {
        Corrupt(self.what)
    }

    /// Nothing may be left.
    pub(super) const fn end(&self) -> Result<(), Corrupt> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.corrupt()) }
    }

    /// The version must be this one.
    pub(super) fn version(&mut self, version: u8) -> Result<(), Corrupt> {
        if self.byte()? == version { Ok(()) } else { Err(self.corrupt()) }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Corrupt> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(self.corrupt())?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn raw(&mut self, length: usize) -> Result<&'a [u8], Corrupt> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(self.corrupt())?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn unsigned<T: TryFrom<u128>>(&mut self) -> Result<T, Corrupt> {
        let mut number = 0_u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            // The last of 19 bytes has room for two bits; a last byte of 0 would be a second form.
            if part << shift >> shift != part || (byte == 0 && shift > 0) {
                return Err(self.corrupt());
            }
            number |= part << shift;
            if byte < 0x80 {
                return number.try_into().map_err(|_| self.corrupt());
            }
        }
        Err(self.corrupt())
    }

    pub(super) fn signed<T: TryFrom<i128>>(&mut self) -> Result<T, Corrupt> {
        let folded: u128 = self.unsigned()?;
        let number = (folded >> 1) as i128 ^ -((folded & 1) as i128);
        number.try_into().map_err(|_| self.corrupt())
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let length = self.unsigned()?;
        self.raw(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Corrupt> {
        str::from_utf8(self.bytes()?).map_err(|_| self.corrupt())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T>(bytes: &[u8], read: impl Fn(&mut Reader) -> Result<T, Corrupt>) -> Result<T, Corrupt> {
        let mut reader = Reader::new(bytes, "a test");
        read(&mut reader).and_then(|value| reader.end().map(|()| value))
    }

    #[test]
    fn a_number_has_one_form() {
        let mut writer = Writer::default();
        writer.unsigned(300_u32);
        assert_eq!(writer.into_bytes(), [0xac, 2]);
        for bad in [&[][..], &[0x80], &[0x80, 0], &[0xff; 20], &[0xac, 2, 0]] {
            assert!(read::<u128>(bad, |reader| reader.unsigned()).is_err(), "{bad:?}");
        }
        assert!(read::<u8>(&[0xac, 2], |reader| reader.unsigned()).is_err(), "300 is no byte");
    }

    proptest! {
        #[test]
        fn it_reads_what_it_writes(long: u128, signed: i128, short: i8, text: String) {
            let mut writer = Writer::default();
            writer.unsigned(long);
            writer.signed(signed);
            writer.signed(short);
            writer.bytes(text.as_bytes());
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes, "a test");
            prop_assert_eq!(reader.unsigned(), Ok(long));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.signed(), Ok(short));
            prop_assert_eq!(reader.text(), Ok(&*text));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn other_bytes_are_an_error_or_read_as_written(bytes: Vec<u8>) {
            if let Ok(number) = read::<i128>(&bytes, |reader| reader.signed()) {
                let mut writer = Writer::default();
                writer.signed(number);
                prop_assert_eq!(writer.into_bytes(), bytes);
            }
        }
    }
}
