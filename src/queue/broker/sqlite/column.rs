//! Reads columns whose text has a type of its own.

use std::str::FromStr;

use rusqlite::{Row, types::Type};

/// Reads a column through its `FromStr`.
pub(super) trait Parse {
    fn parse<T: FromStr>(&self, column: usize) -> rusqlite::Result<T>;
}

impl Parse for Row<'_> {
    fn parse<T: FromStr>(&self, column: usize) -> rusqlite::Result<T> {
        parsed(&self.get::<_, String>(column)?)
    }
}

/// The value of a text in the file.
pub(super) fn parsed<T: FromStr>(text: &str) -> rusqlite::Result<T> {
    text.parse().map_err(|_| broken(text))
}

/// Whether an error is that of a value that cannot be read, not one of the file.
pub(super) fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(
        error,
        FromSqlConversionFailure(..) | InvalidColumnType(..) | IntegralValueOutOfRange(..) | Utf8Error(..)
    )
}

/// What was read; `None` if it cannot be read.
pub(super) fn readable<T>(read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_unreadable(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error for a value that the queue does not write.
pub(super) fn broken(what: &str) -> rusqlite::Error {
    let error = format!("the file holds {what:?}, which the queue does not write");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into())
}
