-- +goose Up
ALTER TABLE vaults ADD COLUMN announced BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD COLUMN hold BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD COLUMN collected_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD COLUMN maintained_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vaults ADD COLUMN verified_at BIGINT NOT NULL DEFAULT 0;

-- Where a backup's map begins; NULL in rows from before: the record says it.
ALTER TABLE backup_records ADD COLUMN map BYTEA;
CREATE INDEX backup_records_by_vault ON backup_records (vault_id);

ALTER TABLE vault_sessions ADD COLUMN collection BIGINT NOT NULL DEFAULT 0;
CREATE INDEX vault_sessions_by_vault ON vault_sessions (vault_id);

ALTER TABLE vault_packs ADD COLUMN condemned_epoch BIGINT NOT NULL DEFAULT 0;
DROP INDEX vault_packs_writable;
CREATE INDEX vault_packs_nameable ON vault_packs (vault_id, pack_id, generation) WHERE state = 'writable' AND kind = 1;
CREATE INDEX vault_packs_condemned ON vault_packs (vault_id, condemned_epoch) WHERE state = 'condemned';
CREATE INDEX vault_packs_by_object ON vault_packs (vault_id, object);
CREATE INDEX vault_packs_by_copy ON vault_packs (vault_id, copy_in);

-- Objects that no row names any more, until they are gone from the store.
CREATE TABLE vault_dead (
    vault_id BYTEA NOT NULL REFERENCES vaults (id),
    object   TEXT NOT NULL,
    PRIMARY KEY (vault_id, object)
);

-- Packs that are known to be missing or damaged.
CREATE TABLE vault_damage (
    vault_id BYTEA NOT NULL REFERENCES vaults (id),
    pack_id  BYTEA NOT NULL,
    what     TEXT NOT NULL,
    spare    BIGINT NOT NULL,
    found_at BIGINT NOT NULL,
    PRIMARY KEY (vault_id, pack_id)
);

CREATE INDEX jobs_queued_subject ON jobs (subject, kind) WHERE state = 'queued';

-- +goose Down
DROP INDEX jobs_queued_subject;
DROP TABLE vault_damage;
DROP TABLE vault_dead;
DROP INDEX vault_packs_by_copy;
DROP INDEX vault_packs_by_object;
DROP INDEX vault_packs_condemned;
DROP INDEX vault_packs_nameable;
CREATE INDEX vault_packs_writable ON vault_packs (vault_id, pack_id, generation) WHERE state = 'writable';
ALTER TABLE vault_packs DROP COLUMN condemned_epoch;
DROP INDEX vault_sessions_by_vault;
ALTER TABLE vault_sessions DROP COLUMN collection;
DROP INDEX backup_records_by_vault;
ALTER TABLE backup_records DROP COLUMN map;
ALTER TABLE vaults DROP COLUMN verified_at;
ALTER TABLE vaults DROP COLUMN maintained_at;
ALTER TABLE vaults DROP COLUMN collected_at;
ALTER TABLE vaults DROP COLUMN hold;
ALTER TABLE vaults DROP COLUMN announced;
