-- What has ended is found by when, and not by reading all that has not.
CREATE INDEX flow_by_end ON flow (expires_at);
CREATE INDEX session_by_end ON session (expires_at);
CREATE INDEX refresh_token_by_end ON refresh_token (expires_at);
CREATE INDEX browser_by_end ON browser (expires_at);
CREATE INDEX account_by_end ON account (unproven_until);
