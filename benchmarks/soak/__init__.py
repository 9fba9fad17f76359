"""Faults and load: one module for each thing that is measured."""
