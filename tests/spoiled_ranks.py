"""Trains in two processes, one of which has a loss that is not finite and is then asked to stop.

`python spoiled_ranks.py FOLDER`; Lightning starts the second process by the same command.
"""

import dataclasses
import os
import signal
import sys
from pathlib import Path

from tiny_runs import PRETRAINING

from mv2mae.errors import RunStopped
from mv2mae.train.pretrain import PretrainModule, pretrain

if __name__ == "__main__":
    step = PretrainModule.training_step

    def spoiled(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        if self.trainer.global_rank == 1 and batch_idx == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss * float("nan") if self.trainer.global_rank == 1 and batch_idx == 2 else loss

    PretrainModule.training_step = spoiled
    two = dataclasses.replace(PRETRAINING.compute, devices=2, strategy="ddp")
    try:
        pretrain(dataclasses.replace(PRETRAINING, compute=two), Path(sys.argv[1]))
    except RunStopped as stop:
        print(stop)
        sys.exit(stop.status)
