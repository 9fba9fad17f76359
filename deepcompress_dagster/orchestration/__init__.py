"""The Dagster layer: assets, checks, sensor, resources and what they say. One module a concept."""
