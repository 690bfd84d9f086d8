"""Fills a store with what months leave behind: verifications of the last sixty days, none of them live, with their events, and the
limits and wrong codes that are kept on. Half of them were approved; the others expired, and are still there as pending.

Rows are made by the servers themselves; what is right is only what a server may look at: keys, times, states."""

import hashlib
import re
import sqlite3
import time
from pathlib import Path

MIGRATIONS = Path(__file__).resolve().parent.parent.parent / "migrations"

DAY = 24 * 3600 * 1000
# The oldest is within the retention, and the youngest code has ended.
OLDEST, YOUNGEST = 60 * DAY, DAY // 12
RETENTION = 90 * DAY
# How long wrong codes are kept that were forgiven.
FORGIVEN = 30 * DAY
# How many are made at once.
SQL_STEP, REDIS_STEP, FILE_STEP = 200_000, 10_000, 50_000

# What happened to each, and to the approved ones besides.
EVENTS = [("started", "sms"), ("sent", "console"), ("checked", None), ("approved", None)]


def spread(count):
    """The time of row 0, and from one row to the next."""
    now = int(time.time() * 1000)
    return now, now - OLDEST, max(1, (OLDEST - YOUNGEST) // count)


def steps(count, size):
    """From one to `count`, so many at a time."""
    return [(start, min(start + size - 1, count)) for start in range(1, count + 1, size)]


# --- PostgreSQL and MariaDB -------------------------------------------------------------------------------------------

# `n` numbers the rows, `ms` is when each began, `hash` is its own. Functions that both have, save for these.
SOURCES = {
    "postgres": ("generate_series({first}::bigint, {last}::bigint) AS numbers(n)", "TO_HEX(ms)"),
    "mysql": ("(SELECT seq AS n FROM seq_{first}_to_{last}) AS numbers", "LOWER(HEX(ms))"),
}

MADE = """
(SELECT n, ms, hash, n % 2 = 0 AS is_approved, CONCAT(SUBSTR(stamp, 1, 8), '-', SUBSTR(stamp, 9, 4), '-7', SUBSTR(hash, 1, 3), '-8',
    SUBSTR(hash, 4, 3), '-', SUBSTR(hash, 7, 12)) AS id
 FROM (SELECT n, ms, MD5(CONCAT('v', n)) AS hash, LPAD({hex}, 12, '0') AS stamp
    FROM (SELECT n, {oldest} + n * {step} AS ms FROM {source}) AS timed) AS hashed) AS made
"""

VERIFICATIONS = """
INSERT INTO verification (id, service, purpose, destination, country, locale, max_attempts, seed, code_by, created_at, failures_key,
    sends_key, list_key, channel, status, revision, generation, sends, attempts, pepper_id, tag, queued_at, expires_at, ended_at, delivery,
    provider, reference, pending_key)
SELECT id, 'default', 'default', CONCAT('+49160', LPAD(CONCAT('', n), 8, '0')), 'DE', 'en', 5, hash, 'caller', ms, MD5(CONCAT('f', n)),
    MD5(CONCAT('s', n)), MD5(CONCAT('l', n)), 'sms', CASE WHEN is_approved THEN 'approved' ELSE 'pending' END,
    CASE WHEN is_approved THEN 3 ELSE 1 END, 0, 1, CASE WHEN is_approved THEN 1 ELSE 0 END, 1, CONCAT(hash, hash), ms, ms + 300000,
    CASE WHEN is_approved THEN ms + 15000 END, 'sent', 'console', hash, CASE WHEN is_approved THEN NULL ELSE MD5(CONCAT('p', n)) END
FROM {made}
"""

HAPPENED = " UNION ALL ".join(
    f"SELECT {revision} AS revision, 'verification.{kind}' AS kind, {repr(detail) if detail else 'NULL'} AS detail"
    for revision, (kind, detail) in enumerate(EVENTS)
)
HISTORIES = f"""
INSERT INTO event (about, revision, at, kind, detail)
SELECT id, revision, ms + revision * 5000, kind, detail FROM {{made}} CROSS JOIN ({HAPPENED}) AS happened WHERE revision < 2 OR is_approved
"""

# Those of one service and of all of them, for as long as their longest windows.
LIMITS = """
INSERT INTO bucket (bucket_key, state, forget_at)
SELECT MD5(CONCAT(kind, n)), CONCAT('[', ms, ']'), ms + 86400000 FROM {made} CROSS JOIN (SELECT 's' AS kind UNION ALL SELECT 'a') AS kinds
WHERE ms > {now} - 86400000
"""

FORGIVEN_CODES = """
INSERT INTO kept_failure (kind, id, failures, at, forget_at, sequence)
SELECT 'f', MD5(CONCAT('f', n)), 0, ms, ms + {forgiven}, ms * 1000 FROM {made} WHERE is_approved AND ms > {now} - {forgiven}
"""


def fill_sql(dialect, ask, count, has_redis):
    """Fills tables that are empty; with Redis beside them, only those that are used then. `ask` runs statements."""
    now, oldest, step = spread(count)
    source, digits = SOURCES[dialect]
    inserts = [FORGIVEN_CODES] if has_redis else [VERIFICATIONS, HISTORIES, LIMITS]
    # An index that is made at once is the same as one that has grown, and takes minutes and not hours.
    migration = (MIGRATIONS / dialect / "0003_verifications.sql").read_text()
    indexes = [] if has_redis else re.findall(r"^(CREATE INDEX (verification_\w+) .*);$", migration, re.MULTILINE)
    for _, index in indexes:
        ask(f"DROP INDEX {index}" + (" ON verification" if dialect == "mysql" else ""))
    for first, last in steps(count, SQL_STEP):
        made = MADE.format(hex=digits, oldest=oldest, step=step, source=source.format(first=first, last=last))
        for insert in inserts:
            ask(insert.format(made=made, now=now, forgiven=FORGIVEN))
    for maker, _ in indexes:
        ask(maker)


# --- Redis ------------------------------------------------------------------------------------------------------------

# The names of fields and keys are those of src/verification/store/redis/lua/rows.lua.
FILL = """
local base, oldest, step, retention = KEYS[1], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local function key(kind, n)
    return string.sub(redis.sha1hex(kind .. n), 1, 32)
end
local function whole(value)
    return string.format('%.0f', value)
end
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
    local ms, hash, approved = oldest + n * step, key('v', n), n % 2 == 0
    local id = string.format('%012x', ms) .. '7' .. string.sub(hash, 1, 3) .. '8' .. string.sub(hash, 4, 18)
    local row, events, index = base .. ':v:' .. id, base .. ':e:' .. id, base .. ':d:' .. key('l', n)
    local at, gone = whole(ms), whole(ms + retention)
    redis.call('HSET', row, 's', 'default', 'p', 'default', 'to', '+49160' .. string.format('%08d', n), 'co', 'DE', 'ch', 'sms',
        'l', 'en', 'st', approved and 'approved' or 'pending', 'r', approved and 3 or 1, 'g', 0, 'n', 1, 'a', approved and 1 or 0,
        'm', 5, 'se', string.sub(hash, 1, 16), 'pe', 1, 't', hash, 'by', 'caller', 'f', key('f', n), 'cr', at, 'q', at,
        'x', whole(ms + 300000), 'd', 'sent', 'dp', 'console', 'dr', hash, 'w', key('s', n), 'pk', key('p', n), 'ik', key('l', n))
    redis.call('RPUSH', events, '0|' .. at .. '|verification.started|||sms', '1|' .. at .. '|verification.sent|||console')
    if approved then
        redis.call('HSET', row, 'e', whole(ms + 15000))
        redis.call('RPUSH', events, '2|' .. at .. '|verification.checked||', '3|' .. at .. '|verification.approved||')
    end
    redis.call('ZADD', index, 0, id)
    redis.call('ZADD', base .. ':t', at, id)
    for _, name in ipairs({ row, events, index }) do
        redis.call('PEXPIREAT', name, gone)
    end
end
"""


def fill_redis(ask, count):
    """Fills a Redis. `ask` runs a command."""
    _, oldest, step = spread(count)
    for first, last in steps(count, REDIS_STEP):
        ask("EVAL", FILL, 1, "{countersign}", first, last, oldest, step, RETENTION)


# --- SQLite -----------------------------------------------------------------------------------------------------------


def fill_file(path, count):
    """Fills the embedded store. Its limits lie in memory, as long as they last: there are none of the past."""
    _, oldest, step = spread(count)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    for first, last in steps(count, FILE_STEP):
        rows, events, index = [], [], []
        for n in range(first, last + 1):
            ms = oldest + n * step
            digest = hashlib.md5(b"v%d" % n).digest()
            made = ms.to_bytes(6) + bytes([0x70 | digest[0] >> 4, digest[1], 0x80 | digest[2] >> 2]) + digest[3:10]
            rows.append((made, "default", "default", f"+49160{n:08d}", "DE", None, "en", 5, digest, "caller", digest, ms, None, "sms", 1,
                         digest + digest, ms + 300_000))
            changes = [(None, None, None, None, None, None), (None, None, None, "sent", "console", digest.hex()),
                       (None, 1, None, None, None, None), ("approved", None, ms + 15_000, None, None, None)]
            for revision in range(4 if n % 2 == 0 else 2):
                kind, detail = EVENTS[revision]
                status, attempts, ended, delivery, provider, reference = changes[revision]
                events.append((made, revision, ms + revision * 5000, f"verification.{kind}", detail, status, attempts, ended, delivery,
                               provider, reference))
            index.append((digest, made))
        with connection:
            connection.executemany(f"INSERT INTO verification VALUES ({', '.join('?' * 17)})", rows)
            connection.executemany(
                "INSERT INTO event (about, revision, at, kind, detail, status, attempts, ended_at, delivery, provider, reference) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", events)
            # In the order of its keys, or each row would be a page of its own to write.
            connection.executemany("INSERT INTO destination_index VALUES (?, ?)", sorted(index))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
