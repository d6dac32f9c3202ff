-- +goose Up
CREATE TABLE volumes (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    name              TEXT NOT NULL,
    description       TEXT NOT NULL,
    status            TEXT NOT NULL,
    previous_status   TEXT NOT NULL,
    size              BIGINT NOT NULL,
    volume_type       TEXT NOT NULL,
    availability_zone TEXT NOT NULL,
    bootable          BIGINT NOT NULL,
    metadata          TEXT NOT NULL,
    snapshot_id       TEXT NOT NULL,
    source_volid      TEXT NOT NULL,
    backup_id         TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL
);
CREATE INDEX volumes_by_project ON volumes (project_id, created_at, id);
CREATE INDEX volumes_by_time ON volumes (created_at, id);
CREATE INDEX volumes_by_name ON volumes (project_id, name);

CREATE TABLE snapshots (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    volume_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    status      TEXT NOT NULL,
    size        BIGINT NOT NULL,
    metadata    TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX snapshots_by_project ON snapshots (project_id, created_at, id);
CREATE INDEX snapshots_by_time ON snapshots (created_at, id);
CREATE INDEX snapshots_by_name ON snapshots (project_id, name);
CREATE INDEX snapshots_by_volume ON snapshots (volume_id, created_at, id);

CREATE TABLE backups (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    volume_id         TEXT NOT NULL,
    volume_name       TEXT NOT NULL,
    snapshot_id       TEXT NOT NULL,
    parent_id         TEXT NOT NULL,
    incremental       BIGINT NOT NULL,
    name              TEXT NOT NULL,
    description       TEXT NOT NULL,
    container         TEXT NOT NULL,
    status            TEXT NOT NULL,
    fail_reason       TEXT NOT NULL,
    size              BIGINT NOT NULL,
    bytes             BIGINT NOT NULL,
    object_count      BIGINT NOT NULL,
    availability_zone TEXT NOT NULL,
    metadata          TEXT NOT NULL,
    volume_metadata   TEXT NOT NULL,
    volume_bootable   BIGINT NOT NULL,
    volume_desc       TEXT NOT NULL,
    restore_volume_id TEXT NOT NULL,
    data_timestamp    BIGINT NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    stats_read        BIGINT NOT NULL,
    stats_new         BIGINT NOT NULL,
    stats_stored      BIGINT NOT NULL
);
CREATE INDEX backups_by_project ON backups (project_id, created_at, id);
CREATE INDEX backups_by_time ON backups (created_at, id);
CREATE INDEX backups_by_name ON backups (project_id, name);
CREATE INDEX backups_by_volume ON backups (volume_id, data_timestamp, created_at, id);
CREATE INDEX backups_by_parent ON backups (parent_id);

-- What the vault needs to read a backup; absent until one is whole.
CREATE TABLE backup_records (
    backup_id    TEXT PRIMARY KEY REFERENCES backups (id) ON DELETE CASCADE,
    vault_id     BYTEA NOT NULL,
    object       TEXT NOT NULL,
    hash         BYTEA NOT NULL,
    source_state TEXT NOT NULL,
    job_id       TEXT NOT NULL
);

-- A project's row is locked while its quota is checked.
CREATE TABLE projects (
    id      TEXT PRIMARY KEY,
    touched BIGINT NOT NULL
);

CREATE TABLE quota_limits (
    project_id TEXT NOT NULL,
    resource   TEXT NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);

CREATE TABLE services (
    program    TEXT NOT NULL,
    host       TEXT NOT NULL,
    zone       TEXT NOT NULL,
    disabled   BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (program, host)
);

CREATE TABLE vaults (
    id          BYTEA PRIMARY KEY,
    project_id  TEXT NOT NULL UNIQUE,
    epoch       BIGINT NOT NULL,
    incarnation BYTEA NOT NULL,
    key_set     BYTEA,
    ready       BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE vault_sessions (
    id         BYTEA PRIMARY KEY,
    vault_id   BYTEA NOT NULL REFERENCES vaults (id),
    job_id     TEXT NOT NULL,
    backup_id  TEXT NOT NULL,
    parent_id  TEXT NOT NULL,
    token      BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    state      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL
);
CREATE INDEX vault_sessions_open ON vault_sessions (vault_id, epoch) WHERE state = 'open';
CREATE INDEX vault_sessions_by_backup ON vault_sessions (backup_id);

CREATE TABLE vault_checkpoints (
    session_id   BYTEA PRIMARY KEY REFERENCES vault_sessions (id) ON DELETE CASCADE,
    source_state TEXT NOT NULL,
    done_to      BIGINT NOT NULL,
    progress     BYTEA NOT NULL,
    saved_at     BIGINT NOT NULL
);

CREATE TABLE vault_packs (
    vault_id   BYTEA NOT NULL REFERENCES vaults (id),
    pack_id    BYTEA NOT NULL,
    generation BIGINT NOT NULL,
    kind       BIGINT NOT NULL,
    state      TEXT NOT NULL,
    session_id BYTEA NOT NULL,
    object     TEXT NOT NULL,
    pack_at    BIGINT NOT NULL,
    pack_len   BIGINT NOT NULL,
    dir_at     BIGINT NOT NULL,
    copy_in    TEXT NOT NULL,
    copy_at    BIGINT NOT NULL,
    live       BIGINT NOT NULL,
    PRIMARY KEY (vault_id, pack_id, generation)
);
CREATE INDEX vault_packs_writable ON vault_packs (vault_id, pack_id, generation) WHERE state = 'writable';
CREATE INDEX vault_packs_by_session ON vault_packs (session_id);

CREATE TABLE vault_segments (
    vault_id   BYTEA NOT NULL REFERENCES vaults (id),
    epoch      BIGINT NOT NULL,
    session_id BYTEA NOT NULL,
    object     TEXT NOT NULL,
    size       BIGINT NOT NULL,
    PRIMARY KEY (vault_id, epoch)
);

CREATE TABLE vault_pins (
    backup_id TEXT NOT NULL,
    holder    TEXT NOT NULL,
    pinned_at BIGINT NOT NULL,
    PRIMARY KEY (backup_id, holder)
);
CREATE INDEX vault_pins_by_holder ON vault_pins (holder);

CREATE TABLE workers (
    id         TEXT PRIMARY KEY,
    host       TEXT NOT NULL,
    place      TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);

CREATE TABLE jobs (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    project_id   TEXT NOT NULL,
    lane         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    request_id   TEXT NOT NULL,
    payload      TEXT NOT NULL,
    state        TEXT NOT NULL,
    attempt      BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    crashes      BIGINT NOT NULL,
    worker       TEXT NOT NULL,
    reserved_for TEXT NOT NULL,
    lease_until  BIGINT NOT NULL,
    progress     TEXT NOT NULL,
    error        TEXT NOT NULL,
    canceled     BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    run_after    BIGINT NOT NULL,
    started_at   BIGINT NOT NULL,
    ended_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX jobs_running_lane ON jobs (lane) WHERE state = 'running' AND lane <> '';
CREATE INDEX jobs_queued ON jobs (created_at, id) WHERE state = 'queued';
CREATE INDEX jobs_queued_lane ON jobs (lane, created_at, id) WHERE state = 'queued' AND lane <> '';
CREATE INDEX jobs_running ON jobs (worker) WHERE state = 'running';
CREATE INDEX jobs_by_subject ON jobs (subject, created_at, id);
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at > 0;

-- +goose Down
DROP TABLE jobs;
DROP TABLE workers;
DROP TABLE vault_pins;
DROP TABLE vault_segments;
DROP TABLE vault_packs;
DROP TABLE vault_checkpoints;
DROP TABLE vault_sessions;
DROP TABLE vaults;
DROP TABLE services;
DROP TABLE quota_limits;
DROP TABLE projects;
DROP TABLE backup_records;
DROP TABLE backups;
DROP TABLE snapshots;
DROP TABLE volumes;
