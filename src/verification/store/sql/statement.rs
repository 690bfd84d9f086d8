//! The statements, in three dialects. Each takes all of its rows as one value, a JSON array of objects: its text is the same for
//! one row and for five hundred, so it is prepared once, and a batch is one round trip.

use std::collections::HashMap;

use crate::db::database::Dialect;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An id or a hash, which rows are found by.
    Key,
    /// Text.
    Text,
    /// A number, or a time.
    Number,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    name: &'static str,
    kind: Kind,
}

/// A table and its columns, the key first.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    name: &'static str,
    /// What a row is found by, and what of it never changes.
    constant: &'static [Column],
    /// What changes.
    state: &'static [Column],
}

const fn key(name: &'static str) -> Column {
    Column { name, kind: Kind::Key }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: Kind::Number }
}

/// See the migration.
pub const VERIFICATION: Table = Table {
    name: "verification",
    constant: &[
        key("id"),
        text("service"),
        text("purpose"),
        text("destination"),
        text("country"),
        text("subject"),
        text("locale"),
        number("max_attempts"),
        text("seed"),
        text("code_by"),
        number("created_at"),
        text("metadata"),
        text("failures_key"),
        text("sends_key"),
        text("list_key"),
    ],
    state: &[
        text("channel"),
        text("status"),
        number("revision"),
        number("generation"),
        number("sends"),
        number("attempts"),
        number("pepper_id"),
        text("tag"),
        number("queued_at"),
        number("expires_at"),
        number("ended_at"),
        text("delivery"),
        text("provider"),
        text("reference"),
        text("pending_key"),
        text("queued_by"),
    ],
};

/// Who is to hand over a message.
pub const CLAIM: Table = Table { name: "verification", constant: &[key("id")], state: &[text("queued_by")] };

/// See the migration.
pub const EVENT: Table = Table {
    name: "event",
    constant: &[key("about"), number("revision"), number("at"), text("kind"), text("client"), text("ip"), text("detail")],
    state: &[],
};

/// See the migration.
pub const BUCKET: Table = Table { name: "bucket", constant: &[key("bucket_key")], state: &[text("state"), number("forget_at")] };

/// See the migration.
pub const IDEMPOTENCY: Table =
    Table { name: "idempotency", constant: &[key("idempotency_key")], state: &[text("payload"), text("answer"), number("created_at")] };

/// See the migration.
pub const REFERENCE: Table = Table {
    name: "provider_reference",
    constant: &[key("reference_key")],
    state: &[text("verification"), text("good_for"), number("expires_at"), number("forget_at")],
};

impl Table {
    fn key(&self) -> Column {
        self.constant[0]
    }

    fn columns(&self) -> impl Iterator<Item = &'static Column> {
        self.constant.iter().chain(self.state)
    }

    /// Keys, as the statements take them.
    pub fn keyed(&self, keys: impl IntoIterator<Item = String>) -> Vec<HashMap<&'static str, String>> {
        keys.into_iter().map(|key| HashMap::from([(self.key().name, key)])).collect()
    }

    /// Every column, as a `SELECT` names it.
    pub fn selected(&self) -> String {
        listed(self.columns().map(|column| format!("{}.{}", self.name, column.name)))
    }
}

impl Dialect {
    /// Rows of that key, locked in the order in which the keys come (sort them: then nobody waits in a circle).
    pub fn lock(self, table: &Table) -> String {
        let (name, key) = (table.name, table.key());
        let (source, selected) = (self.source([&key]), table.selected());
        let key = key.name;
        match self {
            Dialect::Sqlite => format!("SELECT {selected} FROM {source} JOIN {name} ON {name}.{key} = item.{key}"),
            Dialect::Postgres => {
                format!(
                    "SELECT {selected} FROM {source} JOIN {name} ON {name}.{key} = item.{key} ORDER BY {name}.{key} FOR UPDATE OF {name}"
                )
            }
            Dialect::Mysql => format!("SELECT {selected} FROM {} FOR UPDATE", found(&source, name, key)),
        }
    }

    /// New rows. One that is there already refuses them all.
    pub fn insert(self, table: &Table) -> String {
        let columns = listed(table.columns().map(|column| column.name.to_owned()));
        format!("INSERT INTO {} ({columns}) SELECT {columns} FROM {}", table.name, self.source(table.columns()))
    }

    /// The state of rows.
    pub fn update(self, table: &Table) -> String {
        let (name, key) = (table.name, table.key());
        let source = self.source(std::iter::once(&key).chain(table.state));
        let key = key.name;
        match self {
            Dialect::Sqlite | Dialect::Postgres => {
                let set = listed(table.state.iter().map(|column| format!("{0} = item.{0}", column.name)));
                format!("UPDATE {name} SET {set} FROM {source} WHERE {name}.{key} = item.{key}")
            }
            Dialect::Mysql => {
                let set = listed(table.state.iter().map(|column| format!("{name}.{0} = item.{0}", column.name)));
                format!("UPDATE {} SET {set}", found(&source, name, key))
            }
        }
    }

    /// Rows of that key go, where `guard` still holds for them.
    pub fn delete(self, table: &Table, guard: &str) -> String {
        let (name, key) = (table.name, table.key());
        let source = self.source([&key]);
        let key = key.name;
        match self {
            Dialect::Sqlite => format!("DELETE FROM {name} WHERE {key} IN (SELECT {key} FROM {source}) AND {guard}"),
            Dialect::Postgres => format!("DELETE FROM {name} USING {source} WHERE {name}.{key} = item.{key} AND {guard}"),
            Dialect::Mysql => format!("DELETE {name} FROM {} WHERE {guard}", found(&source, name, key)),
        }
    }

    /// Ids of verifications that may be pending, by their `pending_key`; not older than the second value.
    pub fn pending(self) -> String {
        let source = self.source([&key("pending_key")]);
        let (join, index) = match self {
            Dialect::Mysql => ("STRAIGHT_JOIN", " FORCE INDEX (verification_pending)"),
            Dialect::Sqlite | Dialect::Postgres => ("JOIN", ""),
        };
        format!(
            "SELECT verification.id, verification.pending_key FROM {source} {join} verification{index} \
             ON verification.pending_key = item.pending_key WHERE verification.expires_at > ?"
        )
    }

    /// A JSON array of objects as rows of `item`.
    fn source<'c>(self, columns: impl IntoIterator<Item = &'c Column>) -> String {
        let columns = columns.into_iter();
        match self {
            Dialect::Sqlite => {
                let columns = listed(columns.map(|column| format!("value ->> '$.{0}' AS {0}", column.name)));
                format!("(SELECT {columns} FROM json_each(?)) AS item")
            }
            Dialect::Postgres => {
                let columns = listed(columns.map(|column| format!("{} {}", column.name, column.kind.postgres())));
                format!("json_to_recordset(CAST(? AS json)) AS item({columns})")
            }
            Dialect::Mysql => {
                let columns = listed(columns.map(|column| format!("{0} {1} PATH '$.{0}'", column.name, column.kind.mysql())));
                format!("JSON_TABLE(?, '$[*]' COLUMNS ({columns})) AS item")
            }
        }
    }
}

impl Kind {
    fn postgres(self) -> &'static str {
        match self {
            Kind::Key | Kind::Text => "text",
            Kind::Number => "bigint",
        }
    }

    /// A key is found through its index only as what the index holds.
    fn mysql(self) -> &'static str {
        match self {
            Kind::Key => "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin",
            Kind::Text => "TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            Kind::Number => "BIGINT",
        }
    }
}

/// MySQL would rather read a small table from one end to the other, and lock all of it.
fn found(source: &str, name: &str, key: &str) -> String {
    format!("{source} STRAIGHT_JOIN {name} FORCE INDEX (PRIMARY) ON {name}.{key} = item.{key}")
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
