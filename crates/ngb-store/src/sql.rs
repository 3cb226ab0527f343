//! A statement with its values, and a row that it gave: the same on both databases.

use std::{fmt::Write as _, sync::Arc};

use ngb_core::{address::Place, clock::Timestamp, id};
use sqlx::{Row as _, postgres::PgRow};

use crate::{DatabaseError, StoreError, dialect::Dialect};

/// A value on its way in. It is typed also where it is NULL, since PostgreSQL wants to know.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
}

/// A statement with `$1`-style places, what it is for, and its values.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    pub(crate) doing: &'static str,
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

/// `text` with its values to follow; `doing` names it in errors.
pub(crate) fn sql(doing: &'static str, text: impl Into<String>) -> Sql {
    Sql { doing, text: text.into(), values: Vec::new() }
}

impl Sql {
    /// The value of the next `$n`.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Fills `{values}` with `($n, ..), ($m, ..)`.
    pub(crate) fn rows(mut self, rows: Vec<Vec<Value>>) -> Self {
        let mut list = String::new();
        for row in rows {
            list.push_str(if list.is_empty() { "(" } else { ", (" });
            places(&mut list, self.values.len(), row.len());
            list.push(')');
            self.values.extend(row);
        }
        self.text = self.text.replace("{values}", &list);
        self
    }

    /// Fills `{values}` with the places of one row that has `width` values; they come after those that are bound.
    pub(crate) fn one_row(mut self, width: usize) -> Self {
        let mut list = "(".to_owned();
        places(&mut list, self.values.len(), width);
        list.push(')');
        self.text = self.text.replace("{values}", &list);
        self
    }

    /// Fills the first `{list}` with `$n, $m, ..`.
    pub(crate) fn list(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        let before = self.values.len();
        self.values.extend(values.into_iter().map(Into::into));
        let mut list = String::new();
        places(&mut list, before, self.values.len() - before);
        self.text = self.text.replacen("{list}", &list, 1);
        self
    }

    /// The text as `dialect` wants it.
    pub(crate) fn fill(&mut self, dialect: Dialect) {
        if self.text.contains('{') {
            self.text = dialect.fill(&self.text);
        }
        if dialect == Dialect::Sqlite && self.text.contains('$') {
            // To SQLite `$2` is a name, `?2` is the second place: https://sqlite.org/lang_expr.html#varparam
            self.text = self.text.replace('$', "?");
        }
    }
}

/// Writes the places of `count` values after the first `before`.
fn places(list: &mut String, before: usize, count: usize) {
    for i in 0..count {
        let comma = if i == 0 { "" } else { ", " };
        // Writing to a `String` can't fail.
        let _ = write!(list, "{comma}${}", before + i + 1);
    }
}

/// One row of values: `row![a, b]`.
macro_rules! row {
    ($($value:expr),+ $(,)?) => { vec![$($crate::sql::Value::from($value)),+] };
}
pub(crate) use row;

impl From<i64> for Value {
    fn from(it: i64) -> Self {
        Self::Int(Some(it))
    }
}

impl From<Option<i64>> for Value {
    fn from(it: Option<i64>) -> Self {
        Self::Int(it)
    }
}

impl From<u32> for Value {
    fn from(it: u32) -> Self {
        Self::Int(Some(it.into()))
    }
}

/// A count that is beyond `i64` is kept as the largest there is.
impl From<u64> for Value {
    fn from(it: u64) -> Self {
        Self::Int(Some(i64::try_from(it).unwrap_or(i64::MAX)))
    }
}

impl From<usize> for Value {
    fn from(it: usize) -> Self {
        Self::Int(Some(i64::try_from(it).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Value {
    fn from(it: bool) -> Self {
        Self::Int(Some(it.into()))
    }
}

impl From<Timestamp> for Value {
    fn from(it: Timestamp) -> Self {
        Self::Int(Some(it.0))
    }
}

impl From<String> for Value {
    fn from(it: String) -> Self {
        Self::Text(Some(without_nul(it)))
    }
}

impl From<&str> for Value {
    fn from(it: &str) -> Self {
        it.to_owned().into()
    }
}

impl From<&String> for Value {
    fn from(it: &String) -> Self {
        it.clone().into()
    }
}

impl From<Option<String>> for Value {
    fn from(it: Option<String>) -> Self {
        Self::Text(it.map(without_nul))
    }
}

impl From<Option<&str>> for Value {
    fn from(it: Option<&str>) -> Self {
        it.map(str::to_owned).into()
    }
}

/// PostgreSQL refuses a NUL in text; one in an agent's answer must not hold up the answer.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

macro_rules! id_values {
    ($($name:ident),+) => {$(
        impl From<id::$name> for Value {
            fn from(it: id::$name) -> Self {
                Self::Int(Some(it.0))
            }
        }

        impl From<Option<id::$name>> for Value {
            fn from(it: Option<id::$name>) -> Self {
                Self::Int(it.map(|it| it.0))
            }
        }
    )+};
}

id_values!(
    GroupId, BindingId, LaneId, MessageId, JobId, RunId, OutboxId, AskId, UserId, TaskId, PassageId
);

/// A row on its way out. Columns are asked for by name.
pub(crate) enum Row {
    Sqlite(Cells),
    Postgres(PgRow),
}

/// What a row of SQLite holds.
pub(crate) struct Cells {
    pub(crate) names: Arc<[String]>,
    pub(crate) cells: Vec<Cell>,
}

pub(crate) type Cell = rusqlite::types::Value;

impl Cells {
    fn get(&self, column: &str) -> Result<&Cell, StoreError> {
        let at = self.names.iter().position(|it| it == column);
        at.and_then(|it| self.cells.get(it)).ok_or_else(|| unread(column, "not there"))
    }
}

fn unread(column: &str, why: &'static str) -> StoreError {
    let source = DatabaseError::Column { column: column.to_owned(), why };
    StoreError::Sql { doing: "read a column", source }
}

fn postgres<T>(read: Result<T, sqlx::Error>) -> Result<T, StoreError> {
    read.map_err(|err| StoreError::Sql { doing: "read a column", source: err.into() })
}

impl Row {
    pub(crate) fn int(&self, column: &str) -> Result<i64, StoreError> {
        self.opt_int(column)?.ok_or_else(|| unread(column, "NULL"))
    }

    pub(crate) fn opt_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(it) => match it.get(column)? {
                Cell::Null => Ok(None),
                Cell::Integer(it) => Ok(Some(*it)),
                Cell::Real(_) | Cell::Text(_) | Cell::Blob(_) => Err(unread(column, "no integer")),
            },
            Self::Postgres(it) => postgres(it.try_get(column)),
        }
    }

    pub(crate) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.opt_text(column)?.ok_or_else(|| unread(column, "NULL"))
    }

    pub(crate) fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(it) => match it.get(column)? {
                Cell::Null => Ok(None),
                Cell::Text(it) => Ok(Some(it.clone())),
                Cell::Integer(_) | Cell::Real(_) | Cell::Blob(_) => Err(unread(column, "no text")),
            },
            Self::Postgres(it) => postgres(it.try_get(column)),
        }
    }

    pub(crate) fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp)
    }

    /// A count, which is never negative.
    pub(crate) fn count(&self, column: &str) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.int(column)?).unwrap_or(0))
    }

    /// A small count, which is never negative.
    pub(crate) fn small(&self, column: &str) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.int(column)?).unwrap_or(u32::MAX))
    }

    /// The columns `jid` and `thread`.
    pub(crate) fn place(&self) -> Result<Place, StoreError> {
        let jid = self.parsed("jid")?;
        let thread = self.text("thread")?;
        Ok(Place { jid, thread: (!thread.is_empty()).then(|| thread.into()) })
    }

    /// A text that has a type of its own.
    pub(crate) fn parsed<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let text = self.text(column)?;
        text.parse().map_err(|err| self.odd(column, format!("`{text}`: {err}")))
    }

    /// A text that is one of our words.
    pub(crate) fn word<T>(
        &self,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        parse(&text).ok_or_else(|| self.odd(column, format!("unknown word `{text}`")))
    }

    /// A text that is JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|err| self.odd(column, err.to_string()))
    }

    pub(crate) fn odd(&self, column: &'static str, why: String) -> StoreError {
        StoreError::Inconsistent { table: column, row: self.int("id").unwrap_or(0), why }
    }
}

/// How a place's thread is stored; the whole chat is the empty text.
pub(crate) fn thread(place: &Place) -> &str {
    place.thread.as_deref().unwrap_or_default()
}

/// JSON of something that always has one.
pub(crate) fn to_json<T: serde::Serialize>(it: &T) -> Result<String, StoreError> {
    serde_json::to_string(it)
        .map_err(|err| StoreError::Sql { doing: "write JSON", source: err.into() })
}
