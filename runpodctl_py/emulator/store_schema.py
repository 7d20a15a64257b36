"""The forms of the local RunPod's SQLite file, the oldest first: steps that are only added.

Knows SQL and nothing else; `store.py` takes the steps, and says what is kept in the tables.
"""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE template (id TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE endpoint (
        id TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        completed INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        retried INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE job (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        endpoint_id TEXT NOT NULL,
        request TEXT NOT NULL,
        policy TEXT NOT NULL,
        sync INTEGER NOT NULL,
        created_at REAL NOT NULL,
        status TEXT NOT NULL,
        worker_id TEXT,
        started_at REAL,
        finished_at REAL,
        retries INTEGER NOT NULL,
        outcome TEXT NOT NULL
    );
    CREATE INDEX job_of_endpoint ON job (endpoint_id);
    """,
    """
    CREATE TABLE resource (
        number INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (kind, id)
    );
    INSERT INTO resource (kind, id, body) SELECT 'template', id, body FROM template ORDER BY rowid;
    INSERT INTO resource (kind, id, body) SELECT 'endpoint', id, body FROM endpoint ORDER BY rowid;
    CREATE TABLE counters (
        endpoint_id TEXT PRIMARY KEY,
        completed INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        retried INTEGER NOT NULL,
        requested_at REAL
    );
    INSERT INTO counters (endpoint_id, completed, failed, retried)
        SELECT id, completed, failed, retried FROM endpoint;
    DROP TABLE template;
    DROP TABLE endpoint;
    ALTER TABLE job ADD COLUMN queued_at REAL NOT NULL DEFAULT 0;
    ALTER TABLE job ADD COLUMN retention_s REAL NOT NULL DEFAULT 1800;
    ALTER TABLE job ADD COLUMN expires_at REAL;
    ALTER TABLE job ADD COLUMN forgotten_at REAL;
    UPDATE job SET queued_at = created_at, retention_s = iif(sync, 60, 1800);
    UPDATE job SET forgotten_at = finished_at + retention_s WHERE finished_at IS NOT NULL;
    ALTER TABLE job DROP COLUMN sync;
    CREATE INDEX job_by_end ON job (forgotten_at) WHERE forgotten_at IS NOT NULL;
    CREATE TABLE chunk (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX chunk_of_job ON chunk (job_id);
    """,
)
