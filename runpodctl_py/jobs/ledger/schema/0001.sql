-- Times are seconds since 1970; what is large stands in tables of its own, so that lists are fast.
CREATE TABLE job (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    root TEXT NOT NULL,
    is_local INTEGER NOT NULL,
    endpoint_id TEXT NOT NULL,
    job_id TEXT,
    preset TEXT,
    state TEXT NOT NULL,
    owner TEXT,
    policy TEXT NOT NULL,
    webhook TEXT,
    is_sync INTEGER NOT NULL,
    output_dir TEXT,
    parent TEXT,
    batch_id TEXT,
    batch_row TEXT,
    is_payload_whole INTEGER NOT NULL,
    created_at REAL NOT NULL,
    seen_at REAL,
    finished_at REAL,
    saved_at REAL,
    delay_ms INTEGER,
    execution_ms INTEGER,
    cost_usd REAL,
    worker_id TEXT,
    error TEXT
);
CREATE UNIQUE INDEX job_by_id ON job (job_id, endpoint_id, root) WHERE job_id IS NOT NULL;
CREATE INDEX job_by_endpoint ON job (endpoint_id);
CREATE INDEX job_by_batch ON job (batch_id, batch_row) WHERE batch_id IS NOT NULL;
-- The few that are not done with, among any number that are.
CREATE INDEX job_unsettled ON job (state)
    WHERE saved_at IS NULL AND state NOT IN ('not_sent', 'expired');

CREATE TABLE payload (
    job INTEGER PRIMARY KEY REFERENCES job (number) ON DELETE CASCADE,
    body TEXT,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL
);
CREATE TABLE output (
    job INTEGER PRIMARY KEY REFERENCES job (number) ON DELETE CASCADE,
    body TEXT NOT NULL,
    worker_error TEXT NOT NULL
);
CREATE TABLE sighting (
    job INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    state TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX sighting_of_job ON sighting (job);
CREATE TABLE file (
    job INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    content_type TEXT NOT NULL
);
CREATE INDEX file_of_job ON file (job);
CREATE VIEW listed AS
    SELECT job.*, (SELECT count(*) FROM file WHERE file.job = job.number) AS file_count FROM job;

-- What was set up and taken down: which template and pools an endpoint had at a time.
CREATE TABLE deployment (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    root TEXT NOT NULL,
    is_local INTEGER NOT NULL,
    action TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    template_id TEXT,
    preset TEXT,
    name TEXT,
    image TEXT,
    gpu_ids TEXT,
    gpu_count INTEGER,
    price_per_s_usd REAL
);
CREATE INDEX deployment_of_endpoint ON deployment (endpoint_id, at);
