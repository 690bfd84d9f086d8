//! A table of another system, which is only read. It has a connection of its own and the other system's dialect, so that
//! nothing of our database is used here.

use futures_util::{Stream, StreamExt};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, Row};

/// The table of another system in MySQL or MariaDB.
pub struct ForeignTable {
    connection: MySqlConnection,
    table: String,
    columns: Vec<(String, String)>,
}

impl ForeignTable {
    /// Looks at its columns. The name of the table is checked: letters, digits and underscores.
    pub async fn open(url: &str, table: &str) -> Result<ForeignTable, sqlx::Error> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if table.is_empty() || table.len() > 64 || !table.chars().all(plain) {
            return Err(sqlx::Error::Configuration("the table's name must be letters, digits and underscores".into()));
        }
        let mut connection = MySqlConnection::connect(url).await?;
        let query = "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR) FROM information_schema.columns \
                     WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position";
        let columns: Vec<(String, String)> = sqlx::query_as(query).bind(table).fetch_all(&mut connection).await?;
        Ok(ForeignTable { connection, table: table.to_owned(), columns })
    }

    /// The names of its columns; none where there is no such table.
    pub fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    /// How many rows it has.
    pub async fn count(&mut self) -> Result<u64, sqlx::Error> {
        let query = format!("SELECT COUNT(*) FROM `{}`", self.table);
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut self.connection).await?;
        Ok(count.max(0) as u64)
    }

    /// Its rows as text, the named columns in the order in which they are named; times as Unix seconds.
    pub fn rows<'a>(&'a mut self, wanted: &[String]) -> impl Stream<Item = Result<Vec<Option<String>>, sqlx::Error>> + use<'a> {
        let wanted = wanted.iter().filter_map(|name| self.columns.iter().find(|(column, _)| column == name));
        let selected = wanted.map(|(name, kind)| {
            // A back quote ends a name; doubled, it is part of it.
            let name = format!("`{}`", name.replace('`', "``"));
            match kind.as_str() {
                "datetime" | "timestamp" | "date" => format!("CAST(FLOOR(UNIX_TIMESTAMP({name})) AS CHAR)"),
                _ => format!("CAST({name} AS CHAR)"),
            }
        });
        let selected: Vec<_> = selected.collect();
        let query = format!("SELECT {} FROM `{}`", selected.join(", "), self.table);
        let rows = sqlx::query(AssertSqlSafe(query)).fetch(&mut self.connection);
        rows.map(move |row| {
            let row = row?;
            (0..selected.len()).map(|column| row.try_get::<Option<String>, _>(column)).collect()
        })
    }
}
