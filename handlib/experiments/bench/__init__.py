"""Benchmarks: handlib's speed against its peers', one file a benchmark, run by `handlib bench NAME`.

Timings mean little across machines and hours, so all that is compared is timed in one run, in turns, and what is
reported is the ratio within a turn.
"""
