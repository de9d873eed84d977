"""The parts of the embedded gallery store: records in SQLite, columns and features in memory, and their scans."""
