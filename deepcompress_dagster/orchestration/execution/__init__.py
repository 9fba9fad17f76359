"""What a run does once Dagster has started it: plan, execute, stage, report. Defines nothing."""
