"""Low-rank adapters on the encoder (LoRA: Hu et al., 2022), by peft: few numbers learn, the result is a plain model.

W x becomes W x + s B A x with A [r, in] and B [out, r]; W stays. What a run keeps for use has the product added to W.
"""

from __future__ import annotations

import copy
from typing import Any

from mv2mae.errors import InputError
from mv2mae.model.classifier import Classifier

_TARGETS = r".*blocks\.\d+\.(attention\.(qkv|proj)|mlp\.[02])"
"""All matrices of the blocks."""


def add_adapters(model: Classifier, rank: int, scale: float) -> str:
    """Freeze the encoder and put adapters on its blocks; the head learns as ever. Returns a line that says so.

    Args:
        model: is changed.
        rank: r, columns of B.
        scale: s, by which B A counts.

    Raises:
        InputError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError("lora_rank needs peft; pip install 'mv2mae[lora]'") from error
    model.encoder.requires_grad_(False)
    settings: dict[str, Any] = {"r": rank, "lora_alpha": scale * rank, "target_modules": _TARGETS}
    inject_adapter_in_model(LoraConfig(**settings), model.encoder)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return f"adapters of rank {rank}: {learning:,} parameters learn"


def merged(model: Classifier) -> Classifier:
    """The same model without adapters, their products added to the matrices; itself where it has none."""
    if not any(hasattr(module, "get_base_layer") for module in model.modules()):
        return model
    made = copy.deepcopy(model)
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "get_base_layer"):
                adapted: Any = child
                adapted.merge()
                setattr(parent, name, adapted.get_base_layer())
    return made
