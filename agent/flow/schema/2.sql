-- Version 2: how many bytes wait is counted without reading the prompts.

ALTER TABLE prompt ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE prompt SET size_bytes = length(body);

-- Whether the broker has ever taken this answer: only one that it never took may be given another content.
ALTER TABLE answer ADD COLUMN was_delivered INTEGER NOT NULL DEFAULT 0;
UPDATE answer SET was_delivered = 1 WHERE state = 'sent';

CREATE INDEX prompt_waiting_bytes ON prompt (size_bytes) WHERE state = 'waiting';
-- What is counted several times a second must not pass by a week of answers.
CREATE INDEX prompt_running ON prompt (number) WHERE state = 'running';
CREATE INDEX answer_parked ON answer (number) WHERE state = 'parked';
CREATE INDEX prompt_done ON prompt (number) WHERE state = 'done';
