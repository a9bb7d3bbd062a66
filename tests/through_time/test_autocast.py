"""Under bf16 autocast weights multiply in bfloat16, and states stay in float32."""

from __future__ import annotations

import torch

from snn4 import nn, run


def net():
    generator = torch.Generator().manual_seed(0)
    made = torch.nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.LIF(),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.CubaLIF(4.0, 2.0),
        nn.Recurrent(nn.LIF(), nn.Linear(8, 8)),
        nn.Linear(8, 3),
        nn.LI(),
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5 + 0.1)
    return made


def inputs():
    return torch.randn(6, 2, 1, 5, 5, generator=torch.Generator().manual_seed(1))


def test_states_are_float32_and_spikes_follow_the_layers():
    n, seen = net(), {}
    for name, module in n.named_modules():
        module.register_forward_hook(lambda m, args, ys, name=name: seen.__setitem__(name, (args[0].dtype, ys.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        _, state = run(n, inputs())
    for key, entry in state.items():
        for field, value in zip(entry._fields, entry, strict=True):
            if field != "last":
                assert value.dtype == torch.float32, (key, field)
    assert seen["4"] == (torch.bfloat16, torch.bfloat16)  # the layer multiplies in bfloat16
    assert seen["5"] == (torch.bfloat16, torch.bfloat16)  # spikes are exact in it
    assert seen["8"] == (torch.bfloat16, torch.float32)  # a readout keeps what it has


def test_chunks_under_autocast():
    n, x = net().eval(), inputs()
    with torch.autocast("cpu", torch.bfloat16):
        ys = n(x)
        y1, state = run(n, x[:2])
        y2, _ = run(n, x[2:], state)
    assert torch.equal(torch.cat([y1, y2]), ys)


def test_a_slow_leak_is_not_lost():
    # 0.999 is 1 in bfloat16; 1000 steps of it are e^-1
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.zeros(1001, 1, 1, dtype=torch.bfloat16)
        x[0] = 1
        y = nn.LI(tau=1000.0)(x)
    assert abs(y[-1].item() - 0.999**1000) < 1e-3


def test_gradients_arrive_in_float32_weights():
    n = net()
    with torch.autocast("cpu", torch.bfloat16):
        loss = n(inputs()).float().square().sum()
    loss.backward()
    for name, parameter in n.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()
    assert n[0].weight.grad.any()


def test_without_autocast_bfloat16_stays_bfloat16():
    y, state = run(nn.LIF(), torch.randn(4, 2, 3, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert state[""].v.dtype == torch.bfloat16


def test_readouts_count_spikes_exactly():
    with torch.autocast("cpu", torch.bfloat16):
        y = torch.nn.Sequential(nn.IF(), nn.MeanOverTime())(torch.ones(1000, 1, 2, dtype=torch.bfloat16))
    assert torch.equal(y.float(), torch.ones(1, 2))
