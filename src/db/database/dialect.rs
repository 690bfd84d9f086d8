//! What the databases say differently. Statements are written once, as SQLite and PostgreSQL read them, with `?` for values;
//! [`Dialect::speak`] says the same to each.

use std::borrow::Cow;

/// Whose SQL a statement is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// One writer at a time: locks on rows do not exist.
    Sqlite,
    /// Placeholders are numbered.
    Postgres,
    /// MySQL and MariaDB: no `ON CONFLICT`.
    Mysql,
}

/// A row that will be changed is locked by this at the end of a `SELECT`.
const FOR_UPDATE: &str = " FOR UPDATE";
/// What is there already stays as it is.
const DO_NOTHING: &str = " ON CONFLICT DO NOTHING";

impl Dialect {
    /// Its name, as people know it.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Sqlite => "SQLite",
            Dialect::Postgres => "PostgreSQL",
            Dialect::Mysql => "MySQL/MariaDB",
        }
    }

    /// The statement in this dialect. Besides placeholders it knows three ends of statements: ` FOR UPDATE`,
    /// ` ON CONFLICT DO NOTHING`, and ` ON CONFLICT (columns) DO UPDATE SET a = excluded.a` without a condition.
    pub(super) fn speak(self, sql: &str) -> Cow<'_, str> {
        match self {
            Dialect::Sqlite => Cow::Borrowed(sql.find(FOR_UPDATE).map_or(sql, |end| &sql[..end])),
            Dialect::Postgres => Cow::Owned(numbered(sql)),
            Dialect::Mysql => mysql(sql),
        }
    }
}

/// `?` as `$1`, `$2` …; in quotes it is a letter like others.
fn numbered(sql: &str) -> String {
    let (mut spoken, mut number, mut quoted) = (String::with_capacity(sql.len() + 16), 0, false);
    for letter in sql.chars() {
        quoted ^= letter == '\'';
        if letter == '?' && !quoted {
            number += 1;
            spoken.push('$');
            spoken.push_str(&number.to_string());
        } else {
            spoken.push(letter);
        }
    }
    spoken
}

fn mysql(sql: &str) -> Cow<'_, str> {
    if let Some(insert) = sql.strip_suffix(DO_NOTHING) {
        return Cow::Owned(insert.replacen("INSERT INTO", "INSERT IGNORE INTO", 1));
    }
    let Some((insert, rest)) = sql.split_once(" ON CONFLICT (") else { return Cow::Borrowed(sql) };
    let Some((_, set)) = rest.split_once(") DO UPDATE SET ") else { return Cow::Borrowed(sql) };
    let mut spoken = format!("{insert} ON DUPLICATE KEY UPDATE ");
    let mut parts = set.split("excluded.");
    spoken.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(part.len());
        spoken.push_str(&format!("VALUES({}){}", &part[..end], &part[end..]));
    }
    Cow::Owned(spoken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_said_to_each() {
        let select = "SELECT a FROM b WHERE c = ? AND d <> '?' AND e = ? FOR UPDATE";
        assert_eq!(Dialect::Sqlite.speak(select), "SELECT a FROM b WHERE c = ? AND d <> '?' AND e = ?");
        assert_eq!(Dialect::Postgres.speak(select), "SELECT a FROM b WHERE c = $1 AND d <> '?' AND e = $2 FOR UPDATE");
        assert_eq!(Dialect::Mysql.speak(select), select);
    }

    #[test]
    fn what_is_there_already_is_said_to_each() {
        let keep = "INSERT INTO a (b) VALUES (?) ON CONFLICT DO NOTHING";
        assert_eq!(Dialect::Sqlite.speak(keep), keep);
        assert_eq!(Dialect::Mysql.speak(keep), "INSERT IGNORE INTO a (b) VALUES (?)");
        let update = "INSERT INTO a (b, c) VALUES (?, ?) ON CONFLICT (b) DO UPDATE SET c = a.c + excluded.c, d = excluded.d_e";
        assert_eq!(Dialect::Sqlite.speak(update), update);
        let mysql = "INSERT INTO a (b, c) VALUES (?, ?) ON DUPLICATE KEY UPDATE c = a.c + VALUES(c), d = VALUES(d_e)";
        assert_eq!(Dialect::Mysql.speak(update), mysql);
    }
}
