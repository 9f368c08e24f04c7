"""Benchmarks: the speed of handlib and of comparable libraries, one file each, run by `handlib bench NAME`.

Timings from different machines or hours are not comparable. Everything that is compared is therefore timed in one run,
in turns, and reported as ratios within a turn.
"""
