"""Looking at what a model does: attention maps and reconstructions as arrays, figures of them, a report in one file.

Reading order: `attention`, `reconstruct` (arrays), `style`, `figures` (pictures of clips), `charts` (of runs),
`report` (HTML), `visualize` (files in, pictures out).
"""
