"""transformers' VideoMAE in a small size, with weights at which a mistake shows."""

import torch
import transformers

SIZES = dict(
    image_size=64, patch_size=16, num_frames=8, tubelet_size=2, hidden_size=48, num_hidden_layers=3,
    num_attention_heads=4, intermediate_size=192, decoder_hidden_size=24, decoder_num_hidden_layers=2,
    decoder_num_attention_heads=3, decoder_intermediate_size=96,
)  # fmt: skip


def make_peer(kind, seed=0, **settings):
    """A model of a class of transformers (`VideoMAEModel`, ...)."""
    torch.manual_seed(seed)
    model = getattr(transformers, kind)(transformers.VideoMAEConfig(**{**SIZES, **settings})).eval()
    for parameter in model.parameters():  # biases and norms start at 0 and 1, where a mistake would not show
        torch.nn.init.normal_(parameter, std=0.3 if parameter.ndim == 1 else 0.1)
    return model


def normalised(clip):
    """A clip [b, 3, t, h, w] in [0, 1] as transformers takes it."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1, 1)
    return ((clip - mean) / std).transpose(1, 2)


def official_names(model):
    """The state of a pre-training or classifying peer under the names of the official releases."""
    state = {name.removeprefix("videomae."): t for name, t in model.state_dict().items()}
    classifying = "classifier.weight" in state
    front = "" if classifying else "encoder."
    renamed = {
        "embeddings.patch_embeddings.projection": f"{front}patch_embed.proj",
        "layernorm": f"{front}norm",
        "classifier": "head",
        "fc_norm": "fc_norm",
    }
    made = {}
    for name, tensor in state.items():
        stem, _, leaf = name.rpartition(".")
        for theirs, ours in (("encoder.layer.", f"{front}blocks."), ("decoder.decoder_layers.", "decoder.blocks.")):
            if stem.startswith(theirs):
                number, _, layer = stem[len(theirs) :].partition(".")
                block = f"{ours}{number}"
                _put(made, block, layer, leaf, tensor, state, f"{theirs}{number}")
                break
        else:
            made[f"{renamed.get(stem, stem)}.{leaf}".lstrip(".")] = tensor
    return made


def _put(made, block, layer, leaf, tensor, state, old):
    attention = f"{old}.attention.attention"
    if layer == "attention.attention.query" and leaf == "weight":
        made[f"{block}.attn.qkv.weight"] = torch.cat(
            [state[f"{attention}.{part}.weight"] for part in ("query", "key", "value")]
        )
    elif layer.startswith("attention.attention."):
        if leaf == "bias":
            made[f"{block}.attn.{layer[20]}_bias"] = tensor
    else:
        names = {
            "layernorm_before": "norm1",
            "layernorm_after": "norm2",
            "attention.output.dense": "attn.proj",
            "intermediate.dense": "mlp.fc1",
            "output.dense": "mlp.fc2",
        }
        made[f"{block}.{names[layer]}.{leaf}"] = tensor
