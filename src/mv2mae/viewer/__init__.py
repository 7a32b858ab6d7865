"""The viewer, `mv2mae view`: a local page on which a person asks a pre-trained model questions about a clip.

Reading order: `requests` (what the page may ask for), `groups` and `uploads` (where clips come from),
`pair_prediction` (what the model makes of a pair of them), `session` (answers, and what is kept between them), `guard`
and `server` (HTTP), `page/` (plain HTML, CSS and JavaScript; nothing is built or fetched from elsewhere).
"""
