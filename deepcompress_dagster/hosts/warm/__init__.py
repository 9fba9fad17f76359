"""A long-lived process beside the runs that keeps models loaded, and the runs' way to it.

``place`` says where the two meet, ``messages`` what they say, ``client`` is the run's side,
``server`` and ``session`` are the process.
"""
