-- Verifications lie in the order of their ids, which is the order of time: a start appends, a sweep cuts off the front.
CREATE TABLE verification (
    id            BLOB    NOT NULL PRIMARY KEY,  -- UUIDv7
    service       TEXT    NOT NULL,
    purpose       TEXT    NOT NULL,
    destination   TEXT    NOT NULL,              -- E.164, or a mail address
    country       TEXT,                          -- of a phone number
    channel       TEXT    NOT NULL,
    subject       TEXT,
    locale        TEXT    NOT NULL,
    status        TEXT    NOT NULL,              -- pending, approved, canceled
    revision      INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    sends         INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    max_attempts  INTEGER NOT NULL,
    seed          BLOB    NOT NULL,
    pepper_id     INTEGER NOT NULL,
    tag           BLOB    NOT NULL,              -- HMAC-SHA-256 of the code; the code itself is nowhere
    custom_code   INTEGER NOT NULL,
    failures_key  BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,              -- milliseconds since the epoch, as all times
    expires_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    delivery      TEXT    NOT NULL,              -- queued, sent, failed
    provider      TEXT,
    reference     TEXT,
    metadata      TEXT
) STRICT, WITHOUT ROWID;

-- The audit log and the timelines. Beside the rows that it tells of, in the same order.
CREATE TABLE event (
    about     BLOB    NOT NULL,
    revision  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    client    BLOB,
    ip        TEXT,
    detail    TEXT,
    PRIMARY KEY (about, revision)
) STRICT, WITHOUT ROWID;

-- Verifications by service and destination. Filled from index_journal when there is time: see docs/decisions.
CREATE TABLE destination_index (
    destination_key  BLOB NOT NULL,
    id               BLOB NOT NULL,
    PRIMARY KEY (destination_key, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE index_journal (
    sequence  INTEGER NOT NULL PRIMARY KEY,
    entries   BLOB    NOT NULL
) STRICT;

-- Limits live in the writer's memory. Each commit journals the buckets that it changed, in one row; now and then a shard
-- is written whole, after which older journal rows are not needed for it.
CREATE TABLE bucket_journal (
    sequence  INTEGER NOT NULL PRIMARY KEY,
    buckets   BLOB    NOT NULL
) STRICT;

CREATE TABLE bucket_shard (
    shard     INTEGER NOT NULL PRIMARY KEY,
    sequence  INTEGER NOT NULL,                  -- newest journal row that it includes
    buckets   BLOB    NOT NULL
) STRICT;

CREATE TABLE idempotency (
    key         BLOB    NOT NULL PRIMARY KEY,
    payload     BLOB    NOT NULL,
    answer      TEXT,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Callers of the API.
CREATE TABLE client (
    id            BLOB    NOT NULL PRIMARY KEY,
    service       TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    key_prefix    TEXT    NOT NULL CONSTRAINT client_key_prefix_unique UNIQUE,
    key_hash      BLOB    NOT NULL,              -- SHA-256 of a 256-bit random key
    scopes        TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER,
    revoked_at    INTEGER
) STRICT, WITHOUT ROWID;
