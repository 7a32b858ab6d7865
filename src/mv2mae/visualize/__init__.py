"""Looking at what a model does: attention maps and reconstructions as arrays, figures of them, a report in one file.

Reading order: `attention`, `reconstruct` (arrays), `style`, `strips` (rows of frames, still or moving), `figures`,
`heads`, `correspondences`, `tokens` (pictures of clips), `embedding` (of many clips), `options`, `inputs`, `pictures`,
`outputs`, `visualize` (files in, pictures out); `charts`, `curves` (of runs), `report` (HTML).
"""
