"""Slow, obvious implementations of what the paper defines; the package's fast ones must equal them."""

import math

import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tubelets(clip, size):
    """[c, t, h, w] -> list of arrays [p0, p1, p2, c], over time, rows, columns."""
    _, t, h, w = clip.shape
    p0, p1, p2 = size
    parts = []
    for i in range(0, t, p0):
        for j in range(0, h, p1):
            for k in range(0, w, p2):
                parts.append(np.moveaxis(clip[:, i : i + p0, j : j + p1, k : k + p2], 0, -1))
    return parts


def motion_weights(clip, size, temperature):
    """Algorithm 1 for one clip [c, t, h, w] in [0, 1], line by line."""
    frames = np.stack([(clip[c] - MEAN[c]) / STD[c] for c in range(3)])
    differences = [frames[:, i + 1] - frames[:, i] for i in range(frames.shape[1] - 1)]
    differences = np.stack([differences[0], *differences], axis=1)
    norms = [math.sqrt(sum(float(v) ** 2 for v in part.ravel())) for part in tubelets(differences, size)]
    exponentials = [math.exp((norm - max(norms)) / temperature) for norm in norms]
    return np.array([e / sum(exponentials) for e in exponentials])


def target(clip, size):
    """Each colour of each tubelet centred and divided by its unbiased standard deviation + 1e-6."""
    rows = []
    for part in tubelets(clip, size):
        pixels = part.reshape(-1, 3)
        out = np.empty_like(pixels)
        for c in range(3):
            mean = pixels[:, c].sum() / len(pixels)
            variance = ((pixels[:, c] - mean) ** 2).sum() / (len(pixels) - 1)
            out[:, c] = (pixels[:, c] - mean) / (math.sqrt(variance) + 1e-6)
        rows.append(out.ravel())
    return np.stack(rows)


def loss(prediction, wanted, weights):
    """Equation 2 over the masked tokens of one clip; |.|^2 is the mean over a token's values, as in VideoMAE."""
    total = 0.0
    for p, q, w in zip(prediction, wanted, weights, strict=True):
        total += w * sum((float(a) - float(b)) ** 2 for a, b in zip(p, q, strict=True)) / len(p)
    return total / len(prediction)


def entropy_number(weights):
    """Exponential of the entropy."""
    return math.exp(-sum(w * math.log(w) for w in weights if w > 0))


def attention(q, k, v):
    """Softmax attention of one head: [n, d], [m, d], [m, d] -> weights [n, m], values [n, d]."""
    scores = q @ k.T / math.sqrt(q.shape[1])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights, weights @ v
