"""RandAugment's operations as timm composes them from Pillow's, frame by frame: what the batched ones must equal.

Each takes an image and a level, a signed magnitude over 10.
"""

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

GREY = {"resample": Image.Resampling.BILINEAR, "fillcolor": (128, 128, 128)}


def affine(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, **GREY)


def solarize_add(image, level):
    amount = int(abs(level) * 110)
    return image.point([min(255, i + amount) if i < 128 else i for i in range(256)] * 3)


REFERENCE = {
    "auto-contrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
    "invert": lambda image, level: ImageOps.invert(image),
    "posterize": lambda image, level: ImageOps.posterize(image, max(1, 4 - int(abs(level) * 4))),
    "solarize": lambda image, level: ImageOps.solarize(image, 256 - int(abs(level) * 256)),
    "solarize-add": solarize_add,
    "colour": lambda image, level: ImageEnhance.Color(image).enhance(1 + 0.9 * level),
    "contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(1 + 0.9 * level),
    "brightness": lambda image, level: ImageEnhance.Brightness(image).enhance(1 + 0.9 * level),
    "sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * level),
    "rotate": lambda image, level: image.rotate(30 * level, **GREY),
    "shear-x": lambda image, level: affine(image, 1, 0.3 * level, 0, 0, 1, 0),
    "shear-y": lambda image, level: affine(image, 1, 0, 0, 0.3 * level, 1, 0),
    "translate-x": lambda image, level: affine(image, 1, 0, 0.45 * level * image.width, 0, 1, 0),
    "translate-y": lambda image, level: affine(image, 1, 0, 0, 0, 1, 0.45 * level * image.height),
}


def augment(clip, names, levels):
    """A clip [3, t, h, w] after the operations in order; a name of None leaves one out."""
    frames = []
    for frame in clip.unbind(1):
        image = Image.fromarray(frame.permute(1, 2, 0).numpy())
        for name, level in zip(names, levels, strict=True):
            image = image if name is None else REFERENCE[name](image, level)
        frames.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    return torch.stack(frames, dim=1)
