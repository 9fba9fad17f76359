"""What runs in the worker process: the only place that imports PyMuPDF.

The parent (``client.py``, ``pool.py``) imports nothing from here; the two speak ``messages.py``.
"""
