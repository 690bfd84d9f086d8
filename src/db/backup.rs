//! Copies of the files of SQLite, made while a server runs, and what must die when one is put back.
//!
//! A backup is a directory that appears whole or not at all. Putting it back turns the clock back: codes that were used or
//! replaced since would be good again, and so would sessions that have ended. So whatever opens a door by itself is closed in
//! the same step: live codes, flows, sessions, refresh tokens, remembered browsers; and an authenticator app's codes count
//! from now on only (R27). What only the backup can know stays as it was then: passwords, keys of clients, limits.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What tells of a backup.
const MANIFEST: &str = "backup.json";
/// The shape of a backup that this version writes and reads.
const FORMAT: u32 = 1;
/// Length of a time step of authenticator apps, in milliseconds.
const STEP_MS: i64 = 30_000;

/// Why a backup was not made or not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system refused.
    #[error("{0}: {1}")]
    File(String, #[source] io::Error),
    /// SQLite refused.
    #[error("{0}: {1}")]
    Database(String, #[source] rusqlite::Error),
    /// None of the files exists.
    #[error("there is nothing to back up: {0} does not exist. Does this command see the server's configuration (--config)?")]
    Nothing(String),
    /// There is something already.
    #[error("{0} is there already")]
    Occupied(String),
    /// It is no backup, or a newer version's.
    #[error("{0} is no backup that this version can read")]
    Unreadable(String),
}

/// What a backup says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Which version made it.
    pub version: String,
    /// When.
    pub made_at: Timestamp,
    /// Its files.
    pub files: Vec<String>,
}

/// What a restore closed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Closed {
    /// Codes that were waited for.
    pub codes: usize,
    /// Sessions.
    pub sessions: usize,
    /// Authenticator apps whose earlier codes are spent.
    pub apps: usize,
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::File(path, error)
}

fn database_error(path: &Path) -> impl FnOnce(rusqlite::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::Database(path, error)
}

/// Copies these files of SQLite, each as it is at one moment, into a new directory that only its owner can read.
pub fn make(files: &[PathBuf], directory: &Path, version: &str, now: Timestamp) -> Result<Manifest, BackupError> {
    if directory.exists() {
        return Err(BackupError::Occupied(directory.display().to_string()));
    }
    let partial = partial(directory);
    // What an earlier try that died left.
    let _ = fs::remove_dir_all(&partial);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&partial).map_err(file_error(&partial))?;
    let mut manifest = Manifest { format: FORMAT, version: version.to_owned(), made_at: now, files: Vec::new() };
    if !files.iter().any(|file| file.exists()) {
        return Err(BackupError::Nothing(files.first().map(|file| file.display().to_string()).unwrap_or_default()));
    }
    for file in files.iter().filter(|file| file.exists()) {
        let name = name_of(file)?;
        let copy = partial.join(&name);
        // An empty file is filled, and keeps its mode.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy).map_err(file_error(&copy))?;
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(database_error(file))?;
        connection.execute("VACUUM INTO ?1", [copy.display().to_string()]).map_err(database_error(file))?;
        sync(&copy)?;
        manifest.files.push(name);
    }
    let told = partial.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| BackupError::File(told.display().to_string(), error.into()))?;
    fs::write(&told, text).map_err(file_error(&told))?;
    fs::set_permissions(&told, fs::Permissions::from_mode(0o600)).map_err(file_error(&told))?;
    sync(&told)?;
    sync(&partial)?;
    fs::rename(&partial, directory).map_err(file_error(directory))?;
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync(parent)?;
    }
    Ok(manifest)
}

/// Puts a backup's files where these lie, which must not be there, and closes what it would open. `verifications` and
/// `accounts`: which file is which.
pub fn put_back(directory: &Path, verifications: &Path, accounts: &Path, now: Timestamp) -> Result<(Manifest, Closed), BackupError> {
    let told = directory.join(MANIFEST);
    let text = fs::read(&told).map_err(file_error(&told))?;
    let unreadable = || BackupError::Unreadable(directory.display().to_string());
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| unreadable())?;
    if manifest.format != FORMAT {
        return Err(unreadable());
    }
    let mut closed = Closed::default();
    let mut ready = Vec::new();
    for target in [verifications, accounts] {
        let source = directory.join(name_of(target)?);
        if !manifest.files.contains(&name_of(target)?) {
            continue;
        }
        if target.exists() {
            return Err(BackupError::Occupied(target.display().to_string()));
        }
        let partial = partial(target);
        let _ = fs::remove_file(&partial);
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial).map_err(file_error(&partial))?;
        let mut original = File::open(&source).map_err(file_error(&source))?;
        io::copy(&mut original, &mut copy).map_err(file_error(&partial))?;
        let connection = Connection::open(&partial).map_err(database_error(&partial))?;
        let done = if target == verifications {
            void_codes(&connection, manifest.made_at, now).map(|codes| closed.codes = codes)
        } else {
            close_doors(&connection, now).map(|(sessions, apps)| (closed.sessions, closed.apps) = (sessions, apps))
        };
        done.map_err(database_error(&partial))?;
        connection.close().map_err(|(_, error)| BackupError::Database(partial.display().to_string(), error))?;
        sync(&partial)?;
        ready.push((partial, target));
    }
    // Last, so that no file is there before all are as they must be.
    for (partial, target) in ready {
        // A log of the file that was here before would be worked into this one.
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(with_end(target, end));
        }
        fs::rename(&partial, target).map_err(file_error(target))?;
    }
    Ok((manifest, closed))
}

/// Calls off every verification that lived when the backup was made.
fn void_codes(connection: &Connection, made_at: Timestamp, now: Timestamp) -> rusqlite::Result<usize> {
    connection.execute(
        "INSERT INTO event (about, revision, at, kind, detail, status, ended_at) \
         SELECT id, (SELECT MAX(revision) FROM event WHERE about = id) + 1, ?2, 'verification.canceled', 'restored from a backup', 'canceled', ?2 \
         FROM verification \
         WHERE NOT EXISTS (SELECT 1 FROM event WHERE about = id AND status IN ('approved', 'canceled')) \
         AND COALESCE((SELECT event.expires_at FROM event WHERE about = id AND event.expires_at IS NOT NULL ORDER BY revision DESC LIMIT 1), \
             verification.expires_at) > ?1",
        params![made_at.0, now.0],
    )
}

/// Ends what was signed in or half signed in, and spends the codes that authenticator apps have shown so far.
fn close_doors(connection: &Connection, now: Timestamp) -> rusqlite::Result<(usize, usize)> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute("DELETE FROM refresh_token", [])?;
    let sessions = connection.execute("DELETE FROM session", [])?;
    connection.execute("DELETE FROM flow", [])?;
    connection.execute("UPDATE browser SET remembered_until = 0", [])?;
    let mut apps = connection.execute("UPDATE factor SET counter = MAX(counter, ?1) WHERE kind = 'totp'", [now.0 / STEP_MS])?;
    // The same of integrators' factors, whose steps have lengths of their own, and what was asked of them. A backup of an
    // early version has none.
    if connection.table_exists(None, "entity_factor")? {
        apps += connection.execute("UPDATE entity_factor SET last_step = MAX(last_step, ?1 / (period * 1000))", [now.0])?;
        connection.execute("UPDATE challenge SET expires_at = MIN(expires_at, ?1) WHERE status = 'pending'", [now.0])?;
    }
    connection.execute_batch("COMMIT")?;
    Ok((sessions, apps))
}

fn name_of(file: &Path) -> Result<String, BackupError> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| BackupError::Unreadable(file.display().to_string()))
}

fn partial(path: &Path) -> PathBuf {
    with_end(path, ".partial")
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(file_error(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Synchronous, migrate};

    const NOW: Timestamp = Timestamp(1_767_225_600_000);

    /// A backup that died leaves nothing that looks like one, and the next one is not in its way.
    #[test]
    fn a_backup_is_whole_or_not_there() {
        let home = tempfile::tempdir().expect("a directory");
        let (file, backup) = (home.path().join("countersign.db"), home.path().join("backup"));
        migrate(&file).expect("tables");
        fs::create_dir(home.path().join("backup.partial")).expect("what died");
        fs::write(home.path().join("backup.partial/countersign.db"), "half").expect("what died");
        let elsewhere = make(&[home.path().join("elsewhere.db")], &backup, "1", NOW);
        assert!(matches!(elsewhere, Err(BackupError::Nothing(_))) && !backup.exists(), "a backup of nothing");
        let no_database = home.path().join("none.db");
        fs::write(&no_database, "no database at all, but long enough to be looked at").expect("a file");
        assert!(make(&[file.clone(), no_database], &backup, "1", NOW).is_err());
        assert!(!backup.exists(), "half a backup");
        let manifest = make(std::slice::from_ref(&file), &backup, "1", NOW).expect("a backup");
        assert_eq!(manifest.files, ["countersign.db"]);
        for (path, mode) in [("", 0o700), ("countersign.db", 0o600), (MANIFEST, 0o600)] {
            let path = backup.join(path);
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, mode, "{}", path.display());
        }
        assert!(matches!(make(&[file], &backup, "1", NOW), Err(BackupError::Occupied(_))));
    }

    /// R27: what was waited for is called off, what had ended stays as it was.
    #[test]
    fn live_codes_die_with_a_restore() {
        let home = tempfile::tempdir().expect("a directory");
        let (file, backup, accounts) = (home.path().join("countersign.db"), home.path().join("backup"), home.path().join("accounts.db"));
        migrate(&file).expect("tables");
        let connection = crate::db::connect(&file, Synchronous::Normal).expect("opens");
        for (id, expires_at, status) in [(1_u8, NOW.0 + 1, None), (2, NOW.0, None), (3, NOW.0 + 1, Some("approved"))] {
            let insert =
                "INSERT INTO verification VALUES (?1, '', '', '', NULL, NULL, '', 5, x'', 'server', x'', 0, NULL, 'sms', 1, x'', ?2)";
            connection.execute(insert, params![[id; 16], expires_at]).expect("a row");
            let event = "INSERT INTO event (about, revision, at, kind, status) VALUES (?1, 0, 0, 'verification.started', ?2)";
            connection.execute(event, params![[id; 16], status]).expect("a row");
        }
        make(std::slice::from_ref(&file), &backup, "1", NOW).expect("a backup");
        assert!(matches!(put_back(&backup, &file, &accounts, NOW), Err(BackupError::Occupied(_))), "nothing is written over");
        drop(connection);
        fs::remove_file(&file).expect("away");
        let (_, closed) = put_back(&backup, &file, &accounts, NOW).expect("put back");
        assert_eq!(closed.codes, 1);
        let connection = crate::db::connect(&file, Synchronous::Normal).expect("opens");
        let mut statement = connection.prepare("SELECT about, revision FROM event WHERE status = 'canceled'").expect("a statement");
        let found: Vec<([u8; 16], u32)> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows").collect::<Result<_, _>>().expect("rows");
        assert_eq!(found, [([1; 16], 1)]);
    }
    /// R27: codes of authenticator apps up to now are spent, of people's and of integrators', whatever their steps are long; and
    /// what was asked of them is over.
    #[test]
    fn apps_count_from_now_on() {
        let connection = Connection::open_in_memory().expect("sqlite");
        for tables in [include_str!("../../migrations/sqlite/0001_accounts.sql"), include_str!("../../migrations/sqlite/0005_factors.sql")]
        {
            connection.execute_batch(tables).expect("tables");
        }
        connection.execute_batch("PRAGMA foreign_keys = OFF").expect("rows may stand alone");
        for (id, period, last_step) in [("one", 30, 7), ("two", 60, 7), ("ahead", 30, NOW.0)] {
            let insert = "INSERT INTO entity_factor VALUES (?1, '', '', 'sha1', 6, ?2, 1, '', NULL, ?3, 0, 0, 0, NULL)";
            connection.execute(insert, params![id, period, last_step]).expect("a factor");
        }
        for (id, status) in [("asked", "pending"), ("answered", "approved")] {
            let insert = "INSERT INTO challenge VALUES (?1, 'one', '', ?2, 0, NULL, NULL, NULL, 0, 0, ?3, NULL)";
            connection.execute(insert, params![id, status, NOW.0 + 60_000]).expect("a challenge");
        }
        assert_eq!(close_doors(&connection, NOW).expect("closed"), (0, 3));
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(sql);
        assert_eq!(number("SELECT last_step FROM entity_factor WHERE id = 'one'"), NOW.0 / 30_000);
        assert_eq!(number("SELECT last_step FROM entity_factor WHERE id = 'two'"), NOW.0 / 60_000);
        assert_eq!(number("SELECT last_step FROM entity_factor WHERE id = 'ahead'"), NOW.0);
        assert_eq!(number("SELECT expires_at FROM challenge WHERE id = 'asked'"), NOW.0);
        assert_eq!(number("SELECT expires_at FROM challenge WHERE id = 'answered'"), NOW.0 + 60_000);
    }
}
