"""Trains with a process that reads; between two steps a signal comes to the whole group, as Ctrl-C and SLURM's do.

`python group_stopped.py FOLDER SIGNAL DEVICES START`, in a session of its own; START is how workers start: fork or
forkserver. Prints how long the run took to end after the signal.
"""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

from tiny_runs import FINETUNING

from mv2mae.errors import RunStopped
from mv2mae.train.finetune import FinetuneModule, finetune

if __name__ == "__main__":
    folder, name, devices, start = sys.argv[1:]
    end_of_step, sent = FinetuneModule.on_train_batch_end, []

    def signalled(self, outputs, batch, batch_idx):
        end_of_step(self, outputs, batch, batch_idx)
        if batch_idx == 3 and self.trainer.is_global_zero:
            sent.append(time.monotonic())
            # not by the training itself, which workers obey; the program gets the signal too
            subprocess.run(["kill", "-s", name.removeprefix("SIG"), "--", f"-{os.getpgrp()}"], check=False)
            time.sleep(1)  # a worker that the signal ends would be missed by now

    FinetuneModule.on_train_batch_end = signalled
    cache = "memory" if start == "fork" else "none"
    config = dataclasses.replace(
        FINETUNING,
        data=dataclasses.replace(FINETUNING.data, cache=cache),
        compute=dataclasses.replace(FINETUNING.compute, num_workers=1, devices=int(devices), strategy="auto"),
    )
    try:
        finetune(config, Path(folder))
    except RunStopped as stop:
        print(stop, f"{time.monotonic() - sent[0]:.1f} s")
        sys.exit(stop.status)
