"""Programs that measure what a note or a README states; run on a quiet machine, by hand."""
