"""Pages about runs: what was run, how it learnt, how it was tested; written from the files in their folders."""
