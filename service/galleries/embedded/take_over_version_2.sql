-- Version 2 did not tell a gallery from another one of its name.
ALTER TABLE galleries ADD COLUMN incarnation TEXT NOT NULL DEFAULT '';
UPDATE galleries SET incarnation = lower(hex(randomblob(8)));
