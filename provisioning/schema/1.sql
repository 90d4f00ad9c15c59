-- The registry, version 1. Times are seconds since 1970, for they are compared with those in certificates.

CREATE TABLE device (
    name TEXT PRIMARY KEY,
    serial TEXT NOT NULL,       -- '' where it is not known: a bundle carried by hand needs none
    device_group TEXT NOT NULL, -- of the inventory; '' is none
    origin TEXT NOT NULL,       -- 'inventory', or the name of the claim that let it in
    registered_s REAL NOT NULL,
    removed_s REAL              -- NULL while it belongs to the fleet
) STRICT;

-- Two boxes that say they are the same one are the commonest fraud and the commonest accident.
CREATE UNIQUE INDEX device_serial ON device (serial) WHERE removed_s IS NULL AND serial != '';

CREATE TABLE certificate (
    number TEXT PRIMARY KEY,    -- the serial number of the certificate, hexadecimal, lower case
    holder TEXT NOT NULL,       -- its common name: the MQTT user
    party TEXT NOT NULL CHECK (party IN ('device', 'client', 'claim', 'fleet', 'broker')),
    not_before_s REAL NOT NULL,
    not_after_s REAL NOT NULL,
    key_digest TEXT NOT NULL,   -- sha256 of the public key (DER), hexadecimal: which key it was given for
    pem TEXT NOT NULL,
    issued_s REAL NOT NULL,
    revoked_s REAL,             -- NULL while it is good
    reason TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX certificate_holder ON certificate (holder, issued_s);
CREATE INDEX certificate_revoked ON certificate (revoked_s) WHERE revoked_s IS NOT NULL;

CREATE TABLE token (
    digest TEXT PRIMARY KEY,    -- sha256 of the token, hexadecimal: who reads this file learns no token
    claim TEXT NOT NULL,
    made_s REAL NOT NULL,
    expires_s REAL NOT NULL,
    spent_s REAL,               -- NULL while it is unused
    spent_by TEXT NOT NULL DEFAULT ''
) STRICT;

-- What `apply` has brought where: a step whose digest is still the same need not be done again.
CREATE TABLE mark (
    subject TEXT NOT NULL,
    step TEXT NOT NULL,
    digest TEXT NOT NULL,
    done_s REAL NOT NULL,
    PRIMARY KEY (subject, step)
) STRICT;
