-- Batches: their rows are jobs, and a row that was sent several times is several jobs.
CREATE TABLE batch (
    number INTEGER PRIMARY KEY,
    batch_id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    root TEXT NOT NULL,
    is_local INTEGER NOT NULL,
    endpoint_id TEXT NOT NULL,
    preset TEXT,
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    total INTEGER NOT NULL,
    invalid INTEGER NOT NULL,
    options TEXT NOT NULL,
    output_dir TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT,
    created_at REAL NOT NULL,
    ended_at REAL
);
CREATE INDEX batch_by_identity ON batch (identity);
ALTER TABLE job ADD COLUMN batch_line INTEGER;
CREATE INDEX job_by_line ON job (batch_id, batch_line) WHERE batch_id IS NOT NULL;
-- RunPod's own batches that rows of ours were handed to; nothing of one runs before it is
-- finalized, and its jobs stand here before that.
CREATE TABLE native_batch (
    number INTEGER PRIMARY KEY,
    batch_id TEXT NOT NULL REFERENCES batch (batch_id) ON DELETE CASCADE,
    native_id TEXT,
    state TEXT NOT NULL,
    first_sha256 TEXT NOT NULL
);
CREATE INDEX native_batch_of_batch ON native_batch (batch_id);
ALTER TABLE job ADD COLUMN native_batch INTEGER;
CREATE INDEX job_by_native_batch ON job (native_batch) WHERE native_batch IS NOT NULL;
-- Jobs whose answers were lost are looked for by what they were sent.
CREATE INDEX payload_by_sha256 ON payload (sha256);
