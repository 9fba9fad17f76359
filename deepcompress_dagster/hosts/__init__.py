"""Where parsing runs: hosts that turn a list of tasks into a stream of events.

What belongs here: carrying tasks to a place, events back, and models over from run to run. What
does not: how a page is read (pipeline/), and what becomes of the events (orchestration/).
"""
