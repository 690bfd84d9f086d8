-- A verification's row no longer changes. What happens to it is appended: each event says what it changed, and the row with
-- its events over it is where the verification stands. The audit log and the state cannot disagree, and a transition writes
-- one small row.
ALTER TABLE event ADD COLUMN status TEXT;             -- pending, approved, canceled; null, here and below: as before
ALTER TABLE event ADD COLUMN channel TEXT;
ALTER TABLE event ADD COLUMN generation INTEGER;
ALTER TABLE event ADD COLUMN sends INTEGER;
ALTER TABLE event ADD COLUMN attempts INTEGER;
ALTER TABLE event ADD COLUMN pepper_id INTEGER;
ALTER TABLE event ADD COLUMN tag BLOB;
ALTER TABLE event ADD COLUMN queued_at INTEGER;       -- when the newest message was
ALTER TABLE event ADD COLUMN expires_at INTEGER;
ALTER TABLE event ADD COLUMN ended_at INTEGER;
ALTER TABLE event ADD COLUMN delivery TEXT;           -- queued, sent, delivered, failed
ALTER TABLE event ADD COLUMN provider TEXT;
ALTER TABLE event ADD COLUMN reference TEXT;

UPDATE event SET (status, generation, sends, attempts, queued_at, ended_at, delivery, provider, reference) =
    (SELECT status, generation, sends, attempts, created_at, ended_at, delivery, provider, reference
     FROM verification WHERE verification.id = event.about AND verification.revision = event.revision);

CREATE TABLE verification_constant (
    id            BLOB    NOT NULL PRIMARY KEY,  -- UUIDv7
    service       TEXT    NOT NULL,
    purpose       TEXT    NOT NULL,
    destination   TEXT    NOT NULL,              -- E.164, or a mail address
    country       TEXT,                          -- of a phone number
    subject       TEXT,
    locale        TEXT    NOT NULL,
    max_attempts  INTEGER NOT NULL,
    seed          BLOB    NOT NULL,
    code_by       TEXT    NOT NULL,              -- server, caller, provider
    failures_key  BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,              -- milliseconds since the epoch, as all times
    metadata      TEXT,
    channel       TEXT    NOT NULL,              -- of the first message, as all below
    pepper_id     INTEGER NOT NULL,
    tag           BLOB    NOT NULL,              -- HMAC-SHA-256 of the code; the code itself is nowhere
    expires_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO verification_constant
    SELECT id, service, purpose, destination, country, subject, locale, max_attempts, seed,
           CASE custom_code WHEN 0 THEN 'server' ELSE 'caller' END, failures_key, created_at, metadata,
           channel, pepper_id, tag, expires_at
    FROM verification;
DROP TABLE verification;
ALTER TABLE verification_constant RENAME TO verification;
