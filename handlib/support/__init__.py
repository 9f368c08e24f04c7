"""General helpers that know nothing of hands: atomic files, locks, image decoding, safe pickles, compiled loops."""
