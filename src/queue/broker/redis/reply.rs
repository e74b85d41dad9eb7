//! Reads what scripts return, value by value.

use std::{collections::VecDeque, str::FromStr};

use ::redis::Value;
use bytes::Bytes;

use crate::storage::StoreError;

/// The error for a reply of another form than the script states.
pub(super) fn malformed(what: &str) -> StoreError {
    StoreError::Refused(format!("the store's reply is not what the script returns: {what:.80}"))
}

/// The reply of a script.
pub(super) struct Reply(pub(super) Value);

impl Reply {
    pub(super) fn list(self) -> Result<List, StoreError> {
        match self.0 {
            Value::Array(values) => Ok(List(values.into())),
            other => Err(malformed(&format!("{other:?}"))),
        }
    }

    pub(super) fn number(self) -> Result<u64, StoreError> {
        number(self.0)
    }

    pub(super) fn text(self) -> Result<String, StoreError> {
        text(self.0)
    }

    /// The value of `all` with the name that was returned.
    pub(super) fn named<T: Copy>(self, all: &[T], label: fn(T) -> &'static str) -> Result<T, StoreError> {
        let name = text(self.0)?;
        all.iter().copied().find(|&value| label(value) == name).ok_or_else(|| malformed(&name))
    }
}

/// A list in a reply, from which values are taken in order.
pub(super) struct List(VecDeque<Value>);

impl List {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.0.pop_front().ok_or_else(|| malformed("too short"))
    }

    pub(super) fn list(&mut self) -> Result<Self, StoreError> {
        Reply(self.next()?).list()
    }

    /// The next value, if it is a list.
    pub(super) fn list_if_any(&mut self) -> Option<Self> {
        match self.0.front() {
            Some(Value::Array(_)) => self.list().ok(),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        text(self.next()?)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, StoreError> {
        bytes(self.next()?)
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        number(self.next()?)
    }

    /// A number, of which -1 means none.
    pub(super) fn number_or_none(&mut self) -> Result<Option<u64>, StoreError> {
        match self.next()? {
            Value::Int(-1) => Ok(None),
            value => number(value).map(Some),
        }
    }

    pub(super) fn parsed<T: FromStr>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| malformed(&text))
    }

    /// All values that are left.
    pub(super) fn rest<T: FromStr>(&mut self) -> Result<Vec<T>, StoreError> {
        (0..self.0.len()).map(|_| self.parsed()).collect()
    }

    pub(super) fn optional_bytes(&mut self) -> Result<Option<Bytes>, StoreError> {
        match self.next()? {
            Value::Nil => Ok(None),
            value => bytes(value).map(Some),
        }
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.next()? {
            Value::Nil => Ok(None),
            value => text(value).map(Some),
        }
    }
}

fn bytes(value: Value) -> Result<Bytes, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::SimpleString(text) => Ok(text.into_bytes().into()),
        Value::Int(number) => Ok(number.to_string().into_bytes().into()),
        other => Err(malformed(&format!("{other:?}"))),
    }
}

/// Errors of handlers are kept as they were given, so they may be cut inside a character.
fn text(value: Value) -> Result<String, StoreError> {
    bytes(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn number(value: Value) -> Result<u64, StoreError> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| malformed(&number.to_string())),
        value => {
            let text = text(value)?;
            text.parse().map_err(|_| malformed(&text))
        }
    }
}
