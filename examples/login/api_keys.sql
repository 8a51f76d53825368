-- Times are milliseconds since 1970. The digest is SHA-256 of the key, which is stored nowhere.
CREATE TABLE api_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    owner      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL, -- separated by spaces
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_owner ON api_keys (owner, created_at);
