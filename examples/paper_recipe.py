"""The paper's recipe for NTU RGB+D 60: its settings, what a run will do, two steps on made-up data of that layout.

For the real run: `mv2mae pretrain --recipe paper-ntu60-xsub --data ntu60.parquet --run runs/ntu60-xsub`.
"""

import dataclasses

from mv2mae.config import PretrainConfig
from mv2mae.recipes import load_recipe
from mv2mae.train.forecast import forecast
from mv2mae.train.rehearsal import rehearse

config = load_recipe("paper-ntu60-xsub", PretrainConfig)
print(f"encoder of width {config.model.encoder_width}, depth {config.model.encoder_depth}; the whole run:")
for line in forecast(config):
    print(f"  {line}")

# a smaller model, so that a laptop takes seconds; without it these are two steps of the paper's own
small = dataclasses.replace(config.model, num_frames=8, image_size=64, encoder_depth=2, decoder_depth=1)
print("\nThe same with a smaller model\n")
rehearse(dataclasses.replace(config, model=small))
