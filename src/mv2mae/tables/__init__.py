"""Tables and figures of the paper, and studies of one's own, as one command each: `mv2mae table`.

`spec` reads a YAML of rows and columns, `plan` lays them out as trainings and tests that are shared where they can
be, `work` carries these out, `measure` reads what they left, `write` makes the table of it, `slurm` hands them to a
cluster.
"""
