"""Programs that measure the figures of the READMEs; run them by hand, on a quiet machine."""
