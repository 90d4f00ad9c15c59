-- The ledger, version 1. Times are seconds of CLOCK_BOOTTIME: they never jump, and run on while the box sleeps.

CREATE TABLE IF NOT EXISTS boot (
    id TEXT NOT NULL,           -- kernel boot id: times of another boot mean nothing
    births INTEGER NOT NULL     -- how often this agent has started
);

CREATE TABLE IF NOT EXISTS prompt (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,   -- response topic and correlation data, else the id
    digest BLOB NOT NULL,       -- sha256 of operation and payload
    id TEXT NOT NULL,
    priority INTEGER NOT NULL,  -- 0 is served first
    body BLOB NOT NULL,         -- the prompt as JSON
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done')),
    attempts INTEGER NOT NULL DEFAULT 0,
    received_s REAL NOT NULL,
    deadline_s REAL NOT NULL
);

CREATE INDEX IF NOT EXISTS prompt_waiting ON prompt (priority, number) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS prompt_deadline ON prompt (deadline_s) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS prompt_open ON prompt (id) WHERE state != 'done';

CREATE TABLE IF NOT EXISTS answer (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    prompt INTEGER UNIQUE REFERENCES prompt (number) ON DELETE CASCADE, -- NULL: a refusal nobody remembers
    body BLOB NOT NULL,         -- the publication as JSON
    state TEXT NOT NULL CHECK (state IN ('unsent', 'sent', 'parked')),
    received_s REAL NOT NULL,
    deadline_s REAL NOT NULL
);

CREATE INDEX IF NOT EXISTS answer_unsent ON answer (number) WHERE state = 'unsent';
