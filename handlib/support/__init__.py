"""General helpers that know nothing of hands: atomic files, locks, images, safe pickles, compiled code."""
