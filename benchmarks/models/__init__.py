"""Models side by side: one module for each comparison."""
