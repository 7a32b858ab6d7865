"""Pre-training as a plain PyTorch loop; `mv2mae pretrain` adds what long runs need (schedule, checkpoints, devices)."""

import torch

import mv2mae
from mv2mae.config import PairConfig
from mv2mae.data.datamodule import pretrain_data
from mv2mae.data.views import collate_pairs

config = mv2mae.ModelConfig(
    num_frames=8, image_size=32, tubelet_size=(2, 8, 8), encoder_width=96, encoder_depth=2, encoder_heads=3,
    decoder_width=48, decoder_depth=1, decoder_heads=3,
)  # fmt: skip
data = pretrain_data(PairConfig(manifest="sample", train_query="subject == 1"), num_frames=8, size=32, seed=0)
torch.manual_seed(0)
model = mv2mae.MV2MAE(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
for step in range(10):
    pairs = [data.train[step, (8 * step + i) % len(data.train)] for i in range(8)]  # a key is (epoch, index)
    batch = collate_pairs(pairs)
    out = model(batch["sources"], batch["target"], seeds=batch["seed"])
    optimizer.zero_grad()
    out.loss.backward()
    optimizer.step()
    ratio = out.cross_target.item() / out.baseline_target.item()
    print(f"step {step}: loss {out.loss.item():.3f}, cross-view loss {ratio:.3f} of predicting each tubelet's mean")
