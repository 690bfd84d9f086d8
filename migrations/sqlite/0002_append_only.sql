-- A verification's row no longer changes. What happens to it is appended: each event carries where the verification stands
-- after it, and the newest event is the state. The audit log and the state cannot disagree, and a transition writes once.
ALTER TABLE event ADD COLUMN status TEXT;             -- pending, approved, canceled; of events about verifications, as all below
ALTER TABLE event ADD COLUMN channel TEXT;
ALTER TABLE event ADD COLUMN generation INTEGER;
ALTER TABLE event ADD COLUMN sends INTEGER;
ALTER TABLE event ADD COLUMN attempts INTEGER;
ALTER TABLE event ADD COLUMN pepper_id INTEGER;
ALTER TABLE event ADD COLUMN tag BLOB;                -- HMAC-SHA-256 of the code; the code itself is nowhere
ALTER TABLE event ADD COLUMN expires_at INTEGER;
ALTER TABLE event ADD COLUMN ended_at INTEGER;
ALTER TABLE event ADD COLUMN delivery TEXT;           -- queued, sent, failed
ALTER TABLE event ADD COLUMN provider TEXT;
ALTER TABLE event ADD COLUMN reference TEXT;

UPDATE event SET (status, channel, generation, sends, attempts, pepper_id, tag, expires_at, ended_at, delivery, provider, reference) =
    (SELECT status, channel, generation, sends, attempts, pepper_id, tag, expires_at, ended_at, delivery, provider, reference
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
    custom_code   INTEGER NOT NULL,
    failures_key  BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,              -- milliseconds since the epoch, as all times
    metadata      TEXT
) STRICT, WITHOUT ROWID;

INSERT INTO verification_constant
    SELECT id, service, purpose, destination, country, subject, locale, max_attempts, seed, custom_code, failures_key, created_at, metadata
    FROM verification;
DROP TABLE verification;
ALTER TABLE verification_constant RENAME TO verification;
