//! Reading what a script answers.

use redis::Value;

use crate::verification::store::StoreError;
use crate::verification::store::ledger::database;
use crate::verification::store::redis::packed;

/// A reply that no script of ours gives: another program's keys under our prefix, or a version that is newer than this one.
#[derive(Debug, thiserror::Error)]
#[error("what Redis answered cannot be read: {0}")]
pub struct Unreadable(pub &'static str);

/// The error for such a reply.
pub fn unreadable(what: &'static str) -> StoreError {
    database(Unreadable(what))
}

/// A list of values, read one after another.
pub struct Reply {
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    /// The list that a value is.
    pub fn of(value: Value) -> Result<Reply, StoreError> {
        match value {
            Value::Array(values) => Ok(Reply { values: values.into_iter() }),
            _ => Err(unreadable("no list")),
        }
    }

    /// The values that were packed.
    pub fn unpacked(bytes: &[u8]) -> Result<Reply, StoreError> {
        Ok(Reply { values: packed::unpack(bytes)?.into_iter() })
    }

    /// Whether all of it was read.
    pub fn is_empty(&self) -> bool {
        self.values.len() == 0
    }

    /// The next value; nothing once the list is read, which is how Redis shows a nil at its end.
    pub fn value(&mut self) -> Value {
        self.values.next().unwrap_or(Value::Nil)
    }

    /// The next value, a list.
    pub fn list(&mut self) -> Result<Reply, StoreError> {
        Reply::of(self.value())
    }

    /// The next value, which is values packed; none of them where it is not there.
    pub fn packed(&mut self) -> Result<Reply, StoreError> {
        Reply::unpacked(&self.bytes()?.unwrap_or_default())
    }

    /// Passes over so many values.
    pub fn skip(&mut self, count: usize) {
        self.values.by_ref().take(count).for_each(drop);
    }

    /// The next value, if it is there.
    pub fn bytes(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.value() {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::SimpleString(text) => Ok(Some(text.into_bytes())),
            Value::Okay => Ok(Some(b"OK".to_vec())),
            Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
            _ => Err(unreadable("no value")),
        }
    }

    /// The next value, a text, if it is there.
    pub fn text(&mut self) -> Result<Option<String>, StoreError> {
        self.bytes()?.map(String::from_utf8).transpose().map_err(|_| unreadable("no text"))
    }

    /// The next value, a text that must be there.
    pub fn needed(&mut self) -> Result<String, StoreError> {
        self.text()?.ok_or_else(|| unreadable("a value is missing"))
    }

    /// The next value, a number that must be there.
    pub fn number<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        self.needed()?.parse().map_err(|_| unreadable("no number"))
    }

    /// The next value, a number, if it is there.
    pub fn maybe_number<T: std::str::FromStr>(&mut self) -> Result<Option<T>, StoreError> {
        self.text()?.map(|number| number.parse().map_err(|_| unreadable("no number"))).transpose()
    }

    /// The next value, so many bytes, if it is there.
    pub fn fixed<const LENGTH: usize>(&mut self) -> Result<Option<[u8; LENGTH]>, StoreError> {
        self.bytes()?.map(|bytes| bytes.try_into().map_err(|_| unreadable("a seed or a tag"))).transpose()
    }

    /// The next value, one of a few names.
    pub fn named<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        parse(&self.needed()?).ok_or_else(|| unreadable("an unknown name"))
    }

    /// The next value, so many bytes in hexadecimal digits.
    pub fn key(&mut self) -> Result<[u8; 16], StoreError> {
        u128::from_str_radix(&self.needed()?, 16).map(u128::to_be_bytes).map_err(|_| unreadable("no key"))
    }
}
