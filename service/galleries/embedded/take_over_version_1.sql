-- Version 1 kept one feature a face and did not keep what a translated one was made from: that feature is the earliest
-- there is and becomes the original; what translated it stays noted beside it.
INSERT INTO spaces (id, dim) SELECT DISTINCT space, dim FROM galleries_1;
INSERT INTO galleries (key, name, incarnation, serving)
    SELECT g.key, g.name, lower(hex(randomblob(8))), p.key FROM galleries_1 AS g JOIN spaces AS p ON p.id = g.space AND p.dim = g.dim;
INSERT INTO copies (gallery, space) SELECT key, serving FROM galleries;
INSERT INTO subjects (number, gallery, subject)
    SELECT (gallery << 32) + row_number() OVER (PARTITION BY gallery ORDER BY subject) - 1, gallery, subject
    FROM (SELECT DISTINCT gallery, subject FROM faces_1);
INSERT INTO faces (number, gallery, face_id, subject, tags, enrolled_at_ms, metadata, origin, revision)
    SELECT (f.gallery << 32) + row_number() OVER (PARTITION BY f.gallery ORDER BY f.rowid) - 1,
        f.gallery, f.face_id, s.number, '[]', 0, '{}', g.serving, 0
    FROM faces_1 AS f
    JOIN subjects AS s ON s.gallery = f.gallery AND s.subject = f.subject
    JOIN galleries AS g ON g.key = f.gallery;
INSERT INTO features (face, space, copy, translator, feature)
    SELECT f.number, f.origin, c.key, o.translator, o.feature
    FROM faces AS f
    JOIN copies AS c ON c.gallery = f.gallery
    JOIN faces_1 AS o ON o.gallery = f.gallery AND o.face_id = f.face_id;
DROP TABLE faces_1;
DROP TABLE galleries_1;
