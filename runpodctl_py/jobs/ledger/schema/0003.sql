-- What a job's file is to be called, without its extension; the bucket that it was to put files
-- into, as JSON and without its keys.
ALTER TABLE job ADD COLUMN output_name TEXT;
ALTER TABLE job ADD COLUMN bucket TEXT;
-- Whether a mere text as its output says what went wrong.
ALTER TABLE job ADD COLUMN returns_object INTEGER NOT NULL DEFAULT 0;
-- What a job has streamed: RunPod hands each piece out only once. They go when its files are saved.
CREATE TABLE piece (
    number INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    body TEXT NOT NULL
);
CREATE INDEX piece_of_job ON piece (job);
