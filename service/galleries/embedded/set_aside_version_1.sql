-- Makes room for the tables of now beside those of version 1.
DROP INDEX faces_by_subject;
ALTER TABLE faces RENAME TO faces_1;
ALTER TABLE galleries RENAME TO galleries_1;
