-- Accounts and what belongs to them. Times are milliseconds since the Unix epoch, ids are UUIDs in lower case, hashes are
-- SHA-256 in base64url. Nothing here opens a door by itself: tokens are hashed, secrets sealed with the pepper.
-- Keys and what is looked for are VARCHAR, and texts compare byte by byte (utf8mb4_bin).

CREATE TABLE account (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    full_name TEXT NOT NULL,
    locale VARCHAR(64) NOT NULL,
    -- Separated by spaces.
    roles TEXT NOT NULL,
    -- active, disabled
    status VARCHAR(32) NOT NULL,
    -- PHC string; none: sign-in by code or passkey only.
    password TEXT,
    password_changed_at BIGINT NOT NULL,
    -- The identifier whose code alone allowed the last reset: as a second factor it proves nothing more.
    password_reset_by VARCHAR(64),
    created_at BIGINT NOT NULL
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;

CREATE TABLE identifier (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    account_id VARCHAR(64) NOT NULL,
    -- phone, email
    kind VARCHAR(64) NOT NULL,
    -- Canonical.
    value VARCHAR(320) NOT NULL,
    -- registered: claimed with the account; added: claimed later, and nothing before it is proven.
    origin VARCHAR(32) NOT NULL,
    claimed_at BIGINT NOT NULL,
    proven_at BIGINT,
    -- The value once it is proven: one owner each. Claims without proof may be many.
    owned_value VARCHAR(320),
    CONSTRAINT identifier_has_one_owner UNIQUE (owned_value),
    CONSTRAINT identifier_once_in_account UNIQUE (account_id, value),
    CONSTRAINT identifier_of_account FOREIGN KEY (account_id) REFERENCES account (id) ON DELETE CASCADE
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX identifier_by_value ON identifier (value);

CREATE TABLE factor (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    account_id VARCHAR(64) NOT NULL,
    -- totp, passkey, recovery_code
    kind VARCHAR(64) NOT NULL,
    -- The person's own name for it.
    name TEXT NOT NULL,
    -- totp: the sealed secret. passkey: the public key (COSE, base64url). recovery_code: PHC string.
    secret TEXT NOT NULL,
    -- passkey: the credential's id. recovery_code: its first part. Found by it.
    selector VARCHAR(1400) CHARACTER SET ascii COLLATE ascii_bin,
    -- totp: the last time step that was accepted. passkey: the signature counter.
    counter BIGINT NOT NULL,
    -- Wrong codes in a row, and until when no other is judged.
    failures BIGINT NOT NULL,
    closed_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Not before then it is a factor.
    confirmed_at BIGINT,
    -- recovery_code: used up.
    used_at BIGINT,
    CONSTRAINT factor_selector_is_unique UNIQUE (selector),
    CONSTRAINT factor_of_account FOREIGN KEY (account_id) REFERENCES account (id) ON DELETE CASCADE
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX factor_by_account ON factor (account_id);

-- What somebody has begun and not ended: a sign-in, a reset, a change that wants proof. Bound to the browser by its token.
CREATE TABLE flow (
    token_hash VARCHAR(64) NOT NULL PRIMARY KEY,
    -- sign_in, reset, prove_identifier, enrol, step_up
    kind VARCHAR(64) NOT NULL,
    account_id VARCHAR(64),
    -- What was typed, for clients without cookies; hashed.
    identifier_hash VARCHAR(64),
    -- Network of whoever began it.
    address VARCHAR(64) NOT NULL,
    -- JSON; its shape belongs to the kind.
    state MEDIUMTEXT NOT NULL,
    -- Each step raises it: of two at once one wins.
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX flow_by_identifier ON flow (identifier_hash);
CREATE INDEX flow_by_account ON flow (account_id);

CREATE TABLE session (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    token_hash VARCHAR(64) NOT NULL,
    account_id VARCHAR(64) NOT NULL,
    -- 1 or 2 (NIST SP 800-63B AAL).
    assurance BIGINT NOT NULL,
    -- amr, separated by spaces.
    methods TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- The last time somebody proved who they are.
    authenticated_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- Without a request for so long it ends, in milliseconds.
    idle BIGINT NOT NULL,
    address VARCHAR(64) NOT NULL,
    agent TEXT NOT NULL,
    CONSTRAINT session_token_is_unique UNIQUE (token_hash),
    CONSTRAINT session_of_account FOREIGN KEY (account_id) REFERENCES account (id) ON DELETE CASCADE
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX session_by_account ON session (account_id);

CREATE TABLE refresh_token (
    token_hash VARCHAR(64) NOT NULL PRIMARY KEY,
    session_id VARCHAR(64) NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at BIGINT,
    CONSTRAINT refresh_token_of_session FOREIGN KEY (session_id) REFERENCES session (id) ON DELETE CASCADE
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

-- Browsers that signed in before: strangers' wrong passwords do not close the door for them.
CREATE TABLE browser (
    token_hash VARCHAR(64) NOT NULL,
    account_id VARCHAR(64) NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    -- Until then no second factor is asked for, where the operator allows that.
    remembered_until BIGINT NOT NULL,
    PRIMARY KEY (token_hash, account_id),
    CONSTRAINT browser_of_account FOREIGN KEY (account_id) REFERENCES account (id) ON DELETE CASCADE
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;

CREATE TABLE signing_key (
    -- kid
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    algorithm VARCHAR(32) NOT NULL,
    -- Sealed.
    secret TEXT NOT NULL,
    public TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Signs from then on; published before.
    active_at BIGINT NOT NULL,
    -- Published until then; none until there is a successor.
    retired_at BIGINT
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;

CREATE TABLE account_event (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    account_id VARCHAR(64),
    at BIGINT NOT NULL,
    kind VARCHAR(64) NOT NULL,
    address VARCHAR(64) NOT NULL,
    detail TEXT NOT NULL
) ENGINE = InnoDB, DEFAULT CHARACTER SET = utf8mb4, COLLATE = utf8mb4_bin;
CREATE INDEX account_event_by_account ON account_event (account_id, id);
CREATE INDEX account_event_by_time ON account_event (at);

-- Names that are locked where no row is there yet to be locked: a name falls on one of these. (SQLite has one writer.)
CREATE TABLE lock_slot (
    slot BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB;
INSERT INTO lock_slot (slot) VALUES
    (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15),
    (16), (17), (18), (19), (20), (21), (22), (23), (24), (25), (26), (27), (28), (29), (30), (31),
    (32), (33), (34), (35), (36), (37), (38), (39), (40), (41), (42), (43), (44), (45), (46), (47),
    (48), (49), (50), (51), (52), (53), (54), (55), (56), (57), (58), (59), (60), (61), (62), (63);
