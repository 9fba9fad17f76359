"""Parsing on a Ray cluster: a pool of actors with models that stay, and the runs' way to it.

``work`` says what is to be handed out and what is not through, ``host`` is the run's side,
``cluster`` finds and places the actors, ``actor`` is what runs there. Ray starts, places, watches
and restarts processes, and carries bytes; nothing here does.
"""
