-- What a service knows of people of the integrator's own: their authenticator apps, and the challenges that were put to them;
-- and what stands beside that in the face of another API. Times are milliseconds, ids are text, secrets and texts are sealed.

CREATE TABLE entity (
    id TEXT NOT NULL PRIMARY KEY,
    service TEXT NOT NULL,
    -- The integrator's own name for a person.
    identity TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT entity_identity UNIQUE (service, identity)
);

CREATE TABLE entity_factor (
    id TEXT NOT NULL PRIMARY KEY,
    entity_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- sha1, sha256, sha512
    algorithm TEXT NOT NULL,
    digits BIGINT NOT NULL,
    -- Seconds of a time step, and steps to either side that are taken too.
    period BIGINT NOT NULL,
    skew BIGINT NOT NULL,
    -- Sealed for this entity and this factor.
    secret TEXT NOT NULL,
    -- JSON, the integrator's own.
    metadata TEXT,
    -- The last time step that was accepted.
    last_step BIGINT NOT NULL,
    -- Wrong codes in a row.
    failures BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- Not before then it counts.
    verified_at BIGINT,
    CONSTRAINT entity_factor_entity FOREIGN KEY (entity_id) REFERENCES entity (id) ON DELETE CASCADE
);
CREATE INDEX entity_factor_by_entity ON entity_factor (entity_id, created_at);

CREATE TABLE challenge (
    id TEXT NOT NULL PRIMARY KEY,
    factor_id TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    -- pending, approved, denied; a pending one past its end is expired.
    status TEXT NOT NULL,
    -- Codes that were judged.
    attempts BIGINT NOT NULL,
    -- JSON, the integrator's own.
    details TEXT,
    hidden_details TEXT,
    metadata TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    answered_at BIGINT,
    CONSTRAINT challenge_factor FOREIGN KEY (factor_id) REFERENCES entity_factor (id) ON DELETE CASCADE
);
CREATE INDEX challenge_by_factor ON challenge (factor_id, created_at);
CREATE INDEX challenge_by_entity ON challenge (entity_id, created_at);
CREATE INDEX challenge_by_time ON challenge (created_at);

-- Whom to tell of what happens to factors and challenges.
CREATE TABLE service_webhook (
    id TEXT NOT NULL PRIMARY KEY,
    service TEXT NOT NULL,
    -- The service's name outside.
    service_sid TEXT NOT NULL,
    -- The client that asked for it: its secret signs.
    client_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Separated by spaces.
    events TEXT NOT NULL,
    url TEXT NOT NULL,
    -- enabled, disabled
    status TEXT NOT NULL,
    version TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX service_webhook_by_service ON service_webhook (service, created_at);

CREATE TABLE safe_number (
    id TEXT NOT NULL PRIMARY KEY,
    -- The client whose list it is in.
    client_id TEXT NOT NULL,
    -- Canonical.
    value TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT safe_number_once UNIQUE (client_id, value)
);

CREATE TABLE messaging_configuration (
    service TEXT NOT NULL,
    -- ISO 3166, or all.
    country TEXT NOT NULL,
    messaging_service TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (service, country)
);

-- Texts of the integrator's own that were sent for them.
CREATE TABLE free_text (
    id TEXT NOT NULL PRIMARY KEY,
    -- The client that sent it.
    client_id TEXT NOT NULL,
    service TEXT NOT NULL,
    -- sms, whatsapp
    channel TEXT NOT NULL,
    -- Canonical.
    recipient TEXT NOT NULL,
    -- As the integrator named them; none, where they named the other.
    sender TEXT,
    messaging_service TEXT,
    -- Sealed: a code may stand in it. None: taken out by the integrator.
    body TEXT,
    segments BIGINT NOT NULL,
    -- queued, sent, delivered, undelivered, failed, canceled
    status TEXT NOT NULL,
    error_code BIGINT,
    -- Where the integrator hears of it.
    callback TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    sent_at BIGINT,
    -- Still queued then: it failed.
    expires_at BIGINT NOT NULL
);
CREATE INDEX free_text_by_client ON free_text (client_id, created_at);
CREATE INDEX free_text_by_time ON free_text (created_at);
