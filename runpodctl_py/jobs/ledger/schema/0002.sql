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
-- RunPod's own batches that a batch of ours was handed to, and from which of its rows on.
CREATE TABLE native_batch (
    number INTEGER PRIMARY KEY,
    batch_id TEXT NOT NULL REFERENCES batch (batch_id) ON DELETE CASCADE,
    native_id TEXT NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX native_batch_of_batch ON native_batch (batch_id);
