"""Results in the browser: documents, their pages with what was found drawn over them, failures.

What belongs here: pages that show what the tables hold, read-only. What does not: anything that
writes, and Dagster, which has a UI of its own.
"""
