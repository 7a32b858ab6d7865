"""What looks on while a model is trained is called once a step, and measures when it is due."""

from types import SimpleNamespace

import torch
from torch import nn

from mv2mae.train.callbacks import Measurement, StepCallback, in_eval_mode


class Counting(StepCallback):
    def __init__(self):
        self.steps = []

    def after_step(self, trainer, module):
        self.steps.append(trainer.global_step)


class Losing(Measurement):
    """Measures the number of the step; at step 6 it finds nothing."""

    def measure(self, trainer, module):
        return {} if trainer.global_step == 6 else {"seen/step": float(trainer.global_step)}


def trained(callback, *, first=0, last=7, parts=2):
    """A training of `last` steps in parts, as far as a callback sees it: rows of its log, and its module."""
    rows = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: rows.append((step, metrics)))
    trainer = SimpleNamespace(global_step=first, max_steps=last, accumulate_grad_batches=parts, loggers=[logger])
    module = SimpleNamespace(latest={})
    callback.on_train_start(trainer, module)
    for batch_idx in range(first * parts, last * parts):
        trainer.global_step += (batch_idx + 1) % parts == 0
        callback.on_train_batch_end(trainer, module, None, None, batch_idx)
    return rows, module


def test_parts_of_a_step_are_no_steps():
    counting = Counting()
    trained(counting, parts=3)
    assert counting.steps == [1, 2, 3, 4, 5, 6, 7]


def test_measured_are_the_beginning_every_so_many_steps_and_the_end():
    rows, module = trained(Losing(3, 4))
    assert rows == [(step, {"seen/step": float(step)}) for step in (0, 3, 4, 7)]  # of step 6 there is nothing to log
    assert module.latest == {"seen/step": 7.0}
    rows, _ = trained(Losing(3), first=2)  # a run that goes on does not measure where it was stopped
    assert [step for step, _ in rows] == [3, 7]


def test_modes_come_back_even_if_a_measurement_fails():
    for mode in (True, False):
        module = nn.Dropout().train(mode)
        try:
            with in_eval_mode(module):
                assert torch.equal(module(torch.ones(9)), torch.ones(9))
                raise ArithmeticError
        except ArithmeticError:
            assert module.training is mode
