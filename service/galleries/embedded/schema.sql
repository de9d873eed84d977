-- Galleries, schema version 3. The number of a face or a subject is its gallery's key * 2^32 + its slot in memory.
CREATE TABLE spaces (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    dim INTEGER NOT NULL,
    UNIQUE (id, dim)
) STRICT;
-- A dropped gallery has no name and stays until all it held is erased. Keys are used again, an incarnation never is.
CREATE TABLE galleries (
    key INTEGER PRIMARY KEY,
    name TEXT UNIQUE,
    incarnation TEXT NOT NULL,
    serving INTEGER NOT NULL REFERENCES spaces (key)
) STRICT;
-- A dropped copy stays until all its features are erased; its key is never used again.
CREATE TABLE copies (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    gallery INTEGER NOT NULL REFERENCES galleries (key) ON DELETE CASCADE,
    space INTEGER NOT NULL REFERENCES spaces (key),
    dropped INTEGER NOT NULL DEFAULT 0
) STRICT;
-- The sketch of a copy that has one, and what it found when it was built.
CREATE TABLE approximations (
    copy INTEGER PRIMARY KEY REFERENCES copies (key) ON DELETE CASCADE,
    basis BLOB NOT NULL, -- [k, dim] little-endian float32
    built_at_ms INTEGER NOT NULL,
    faces INTEGER NOT NULL,
    probes INTEGER NOT NULL,
    recall_at_1 REAL NOT NULL,
    recall_at_10 REAL NOT NULL
) STRICT;
CREATE TABLE subjects (
    number INTEGER PRIMARY KEY,
    gallery INTEGER NOT NULL REFERENCES galleries (key) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}',
    UNIQUE (gallery, subject)
) STRICT;
CREATE TABLE faces (
    number INTEGER PRIMARY KEY,
    gallery INTEGER NOT NULL REFERENCES galleries (key) ON DELETE CASCADE,
    face_id TEXT NOT NULL,
    subject INTEGER NOT NULL REFERENCES subjects (number),
    tags TEXT NOT NULL, -- a JSON array
    enrolled_at_ms INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    origin INTEGER NOT NULL REFERENCES spaces (key),
    revision INTEGER NOT NULL,
    UNIQUE (gallery, face_id)
) STRICT;
CREATE INDEX faces_by_subject ON faces (subject);
-- One row for each feature in a copy, and for an original that is in none.
CREATE TABLE features (
    face INTEGER NOT NULL REFERENCES faces (number) ON DELETE CASCADE,
    space INTEGER NOT NULL REFERENCES spaces (key),
    copy INTEGER, -- a key of copies; no foreign key, which would want an index
    translator TEXT,
    confidence REAL,
    feature BLOB NOT NULL, -- little-endian float32
    UNIQUE (face, space)
) STRICT;
CREATE TABLE revisions (last INTEGER NOT NULL) STRICT;
INSERT INTO revisions VALUES (0);
CREATE TABLE notes (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tallies (
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (key, name)
) STRICT, WITHOUT ROWID;
