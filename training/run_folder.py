"""What lies where in a bake-off's folder."""

RUNS, CANDIDATES = "runs", "candidates"
SUMMARY_FILE, REPORT_FILE = "bakeoff.json", "report.html"
