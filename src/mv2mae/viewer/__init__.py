"""The viewer, `mv2mae view`: a local page on which a person explores what a pre-trained model makes of a clip.

Reading order: `requests` (what the page may request), `groups` and `uploads` (where clips come from),
`pair_prediction` (what the model makes of a pair), `session` (answers, and what is cached between them), `guard`
and `server` (HTTP), `page/` (plain HTML, CSS and JavaScript; nothing is built or fetched from elsewhere).
"""
