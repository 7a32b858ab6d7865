"""The fast ways of a step equal the plain ones: shortened blocks, checkpoints, gathered tubelets, bfloat16."""

import pytest
import torch

from mv2mae.model.layers import Block, Blocks, CrossBlock, SelfAttention, checkpoint_activations
from mv2mae.model.pretraining import MV2MAE
from mv2mae.model.tubelets import take_tokens, take_tubelets, tubelets


def kept_bytes(forward):
    """What a forward pass keeps for the backward pass, parameters and views of one tensor counted once."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = forward()
    return sum(kept.values()), out


def test_the_last_tokens_alone_are_those_of_all():
    torch.manual_seed(0)
    x, memory = torch.randn(2, 9, 32), torch.randn(2, 4, 32)
    for block, inputs in ((Block(32, 2), (x,)), (CrossBlock(32, 2), (x, memory))):
        torch.testing.assert_close(block(*inputs, num_last=3), block(*inputs)[:, -3:])
        whole, last = (
            torch.autograd.grad(out.square().sum(), list(block.parameters()))
            for out in (block(*inputs)[:, -3:], block(*inputs, num_last=3))
        )
        torch.testing.assert_close(whole, last, rtol=1e-4, atol=1e-4)
    attention = SelfAttention(32, 2)
    torch.testing.assert_close(attention(x, num_asking=3), attention(x)[:, -3:])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_checkpointed_training_is_the_same_with_less_memory(tiny, pair, precision):
    torch.manual_seed(0)
    model, seeds = MV2MAE(tiny), torch.arange(4)

    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return model(*pair, seeds=seeds)

    def step():
        model.zero_grad()
        kept, out = kept_bytes(forward)
        out.loss.backward()  # outside of autocast, as in a training
        return kept, out.loss.detach(), [p.grad.clone() for p in model.parameters()]

    kept, loss, slopes = step()
    checkpoint_activations(model)
    assert any(isinstance(module, Blocks) and module.checkpointed for module in model.modules())
    less, same_loss, same_slopes = step()
    torch.testing.assert_close(same_loss, loss, rtol=0, atol=0)
    torch.testing.assert_close(same_slopes, slopes, rtol=0, atol=0)
    assert less < 0.8 * kept


def test_gradients_in_bfloat16_are_those_of_float32_but_for_rounding(tiny, pair):
    torch.manual_seed(0)
    model, slopes = MV2MAE(tiny), []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = model(*pair, seeds=torch.arange(4)).loss
        loss.backward()
        slopes.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    assert torch.nn.functional.cosine_similarity(*slopes, dim=0) > 0.999


def test_drop_path_draws_the_same_when_a_block_is_made_again():
    torch.manual_seed(0)
    stack, x = Blocks([Block(32, 2, drop_path=0.5)]), torch.randn(16, 4, 32, requires_grad=True)
    slopes = []
    for stack.checkpointed in (False, True):
        torch.manual_seed(1)
        slopes.append(torch.autograd.grad(stack(x).square().sum(), x)[0])
    assert torch.equal(*slopes)


def test_gathered_tubelets_are_those_of_the_whole_clip():
    clip = torch.randint(256, (2, 3, 4, 16, 24), dtype=torch.uint8)
    idx = torch.tensor([[0, 5, 11], [3, 2, 7]])
    assert torch.equal(take_tubelets(clip, idx, (2, 8, 8)), take_tokens(tubelets(clip, (2, 8, 8)), idx))
