"""Other readers of PDFs beside this one, on the same pages.

What belongs here: which peers there are and how they are called (``drivers/``, one script a peer
that runs in an environment of that peer's own), which pages they read, and the table. What does
not: how quality is scored (the corpus brings its scorer) and how this project is run
(benchmarks/quality.py).
"""
