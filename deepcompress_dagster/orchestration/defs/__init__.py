"""What Dagster loads: assets, jobs, sensors, resources."""
