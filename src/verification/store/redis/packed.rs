//! Values one behind another, as MessagePack: what scripts take, and what verifications, events and buckets are kept as. Redis's
//! scripts read and write it by themselves (`cmsgpack`). Only what they need of it: nothing, booleans, whole numbers, bytes and lists.

use redis::Value;

use crate::hex;
use crate::verification::limit::BucketKey;
use crate::verification::store::StoreError;
use crate::verification::store::redis::reply::unreadable;

/// Values, packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl AsRef<[u8]> for Packed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Packed {
    /// No values yet.
    pub fn new() -> Packed {
        Packed(Vec::with_capacity(512))
    }

    /// One more value.
    pub fn add(mut self, bytes: impl AsRef<[u8]>) -> Packed {
        let bytes = bytes.as_ref();
        match bytes.len() {
            length @ ..32 => self.0.push(0xa0 | length as u8),
            length @ ..0x1_0000 => self.head(0xda, &(length as u16).to_be_bytes()),
            length => self.head(0xdb, &(length as u32).to_be_bytes()),
        }
        self.0.extend_from_slice(bytes);
        self
    }

    /// One more value, a number.
    pub fn number(mut self, number: i64) -> Packed {
        match number {
            0..=0x7f => self.0.push(number as u8),
            _ => self.head(0xd3, &number.to_be_bytes()),
        }
        self
    }

    /// One more value, yes or no.
    pub fn flag(mut self, flag: bool) -> Packed {
        self.0.push(0xc2 | u8::from(flag));
        self
    }

    /// One more value, which may not be there.
    pub fn maybe(mut self, bytes: Option<impl AsRef<[u8]>>) -> Packed {
        match bytes {
            Some(bytes) => self.add(bytes),
            None => {
                self.0.push(0xc0);
                self
            }
        }
    }

    /// One more value, a number, which may not be there.
    pub fn maybe_number(self, number: Option<i64>) -> Packed {
        match number {
            Some(number) => self.number(number),
            None => self.maybe(None::<&str>),
        }
    }

    /// One more value, in hexadecimal digits.
    pub fn key(self, key: &BucketKey) -> Packed {
        self.add(hex::digits(key))
    }

    /// One more value: a list of as many values as follow.
    pub fn list(mut self, length: usize) -> Packed {
        match length {
            ..16 => self.0.push(0x90 | length as u8),
            _ => self.head(0xdd, &(length as u32).to_be_bytes()),
        }
        self
    }

    fn head(&mut self, kind: u8, bytes: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(bytes);
    }
}

/// The values that were packed.
pub fn unpack(packed: &[u8]) -> Result<Vec<Value>, StoreError> {
    let mut rest = Rest(packed);
    let mut values = Vec::with_capacity(16);
    while !rest.0.is_empty() {
        values.push(rest.value(NESTED_MAX).ok_or_else(|| unreadable("no packed values"))?);
    }
    Ok(values)
}

/// Lists within lists that are read: none of ours has any.
const NESTED_MAX: u8 = 4;

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn value(&mut self, nested: u8) -> Option<Value> {
        let kind = self.number::<1>()? as u8;
        Some(match kind {
            0x00..=0x7f => Value::Int(kind.into()),
            0x90..=0x9f => self.list(u64::from(kind & 15), nested)?,
            0xa0..=0xbf => self.bytes(u64::from(kind & 31))?,
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Boolean(kind == 0xc3),
            0xcc => Value::Int(self.number::<1>()? as i64),
            0xcd => Value::Int(self.number::<2>()? as i64),
            0xce => Value::Int(self.number::<4>()? as i64),
            0xcf => Value::Int(self.number::<8>()?.try_into().ok()?),
            0xd0 => Value::Int((self.number::<1>()? as i8).into()),
            0xd1 => Value::Int((self.number::<2>()? as i16).into()),
            0xd2 => Value::Int((self.number::<4>()? as i32).into()),
            0xd3 => Value::Int(self.number::<8>()? as i64),
            0xd9 => self.number::<1>().and_then(|length| self.bytes(length))?,
            0xda => self.number::<2>().and_then(|length| self.bytes(length))?,
            0xdb => self.number::<4>().and_then(|length| self.bytes(length))?,
            0xdc => self.number::<2>().and_then(|length| self.list(length, nested))?,
            0xdd => self.number::<4>().and_then(|length| self.list(length, nested))?,
            0xe0..=0xff => Value::Int((kind as i8).into()),
            _ => return None,
        })
    }

    fn number<const BYTES: usize>(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<BYTES>()?;
        self.0 = rest;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn bytes(&mut self, length: u64) -> Option<Value> {
        let (bytes, rest) = self.0.split_at_checked(length.try_into().ok()?)?;
        self.0 = rest;
        Some(Value::BulkString(bytes.to_vec()))
    }

    fn list(&mut self, length: u64, nested: u8) -> Option<Value> {
        let nested = nested.checked_sub(1)?;
        (0..length).map(|_| self.value(nested)).collect::<Option<_>>().map(Value::Array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let long = [7_u8; 70_000];
        let packed = Packed::new().add("a").number(-1).flag(true).maybe(None::<&str>).maybe(Some([0_u8; 300])).list(2).number(1 << 53);
        let values = unpack(packed.flag(false).add(long).as_ref()).expect("values");
        let list = Value::Array(vec![Value::Int(1 << 53), Value::Boolean(false)]);
        let text = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        assert_eq!(values, [text(b"a"), Value::Int(-1), Value::Boolean(true), Value::Nil, text(&[0; 300]), list, text(&long)]);
    }

    /// The forms that scripts write and we do not.
    #[test]
    fn short_numbers_are_read() {
        let packed = b"\xcc\xff\xcd\xff\xfe\xce\xff\xff\xff\xfe\xcf\0\x20\0\0\0\0\0\0\xd0\x80\xd1\x80\0\xd2\x80\0\0\0\xff\xd9\x02ab";
        let values = unpack(packed).expect("values");
        let numbers = [255, 65_534, 4_294_967_294, 1 << 53, -128, -32_768, -2_147_483_648, -1];
        assert_eq!(values[..8], numbers.map(Value::Int));
        assert_eq!(values[8..], [Value::BulkString(b"ab".to_vec())]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
        }

        #[test]
        fn every_number_comes_back(number in any::<i64>()) {
            prop_assert_eq!(unpack(Packed::new().number(number).as_ref()).ok(), Some(vec![Value::Int(number)]));
        }
    }
}
