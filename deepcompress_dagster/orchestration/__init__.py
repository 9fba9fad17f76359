"""The Dagster layer, in four rings; imports go inwards only, which a test holds.

From the inside: partitions, checks, inbox, disk and run_records, which the others share;
``execution/``, what a run does once Dagster has started it; ``defs/``, what Dagster loads; and
ingest (what the command line asks for), doctor and server.
"""
