//! Databases of other programs, which are only read: what an import takes from.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde_json::{Map, Value};

use crate::{DatabaseError, StoreError};

/// All rows of a table, each with its columns by name, in the order in which they were written; none where there is no such
/// table. The file is not changed.
///
/// # Errors
///
/// When the file is no SQLite database or can't be read.
pub fn foreign_rows(
    file: &Path,
    table: &str,
) -> Result<Option<Vec<Map<String, Value>>>, StoreError> {
    read(file, table).map_err(|err| StoreError::Open {
        url: file.display().to_string(),
        source: DatabaseError::from(err),
    })
}

fn read(file: &Path, table: &str) -> rusqlite::Result<Option<Vec<Map<String, Value>>>> {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
    if conn.query_row(known, [table], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let quoted = table.replace('"', "\"\"");
    let mut query = conn.prepare(&format!("SELECT * FROM \"{quoted}\" ORDER BY rowid"))?;
    let names: Vec<String> = query.column_names().map(str::to_owned).collect();
    let rows = query.query_map([], |row| {
        let cell = |(at, name): (usize, &String)| Ok((name.clone(), value(row.get_ref(at)?)));
        names.iter().enumerate().map(cell).collect()
    })?;
    rows.collect::<rusqlite::Result<_>>().map(Some)
}

fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(it) => it.into(),
        ValueRef::Real(it) => it.into(),
        ValueRef::Text(it) | ValueRef::Blob(it) => String::from_utf8_lossy(it).into_owned().into(),
    }
}
