-- +goose Up
CREATE TABLE identity_projects (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE identity_users (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    configured    BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE TABLE identity_grants (
    user_id    TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES identity_projects (id) ON DELETE CASCADE,
    role       TEXT NOT NULL,
    PRIMARY KEY (user_id, project_id, role)
);

-- Of a token only its SHA-256 is kept.
CREATE TABLE identity_tokens (
    hash         BYTEA PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    project_id   TEXT NOT NULL,
    methods      TEXT NOT NULL,
    audit_id     TEXT NOT NULL,
    audit_parent TEXT NOT NULL,
    issued_at    BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX identity_tokens_by_user ON identity_tokens (user_id);
CREATE INDEX identity_tokens_by_expiry ON identity_tokens (expires_at, hash);

-- +goose Down
DROP TABLE identity_tokens;
DROP TABLE identity_grants;
DROP TABLE identity_users;
DROP TABLE identity_projects;
