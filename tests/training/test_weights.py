from __future__ import annotations

import json

import pytest
import torch

from snn4.core.errors import CheckpointError, StorageError
from snn4.training import load_weights, save_weights


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_weights_and_buffers_come_back(net, make_net, norm, leaky, path):
    net.train()(torch.randn(2, 5, 4))
    save_weights(net, path, {"recipe": "digits", "steps": 8})
    other = make_net(norm(6), leaky(), seed=5)
    assert load_weights(other, path) == {"recipe": "digits", "steps": 8}
    for name, tensor in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_any_program_can_read_the_file(net, path):
    from safetensors import safe_open

    save_weights(net, path, {"recipe": "digits"})
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(net.state_dict())
        assert torch.equal(file.get_tensor("0.weight"), net[0].weight)
        assert json.loads(file.metadata()["about"])["about"] == {"recipe": "digits"}


def test_all_differences_are_listed_and_nothing_is_loaded(make_net, net, path):
    save_weights(net, path)
    other = make_net(torch.nn.Linear(6, 6), hidden=6, classes=2)
    other.register_buffer("extra", torch.zeros(1))
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(other, path)
    message = str(caught.value)
    for told in (
        "extra is missing",
        "2.weight is missing",
        "3.weight is not in the network",
        "2.leak is not in the network",
        "1.weight is (6,), in the network (6, 6)",
    ):
        assert told in message
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_dtypes_convert_within_their_sort(make_net, path):
    net = make_net()
    save_weights(net, path)
    other = make_net(seed=1).double()
    load_weights(other, path)
    assert other[0].weight.dtype == torch.float64
    assert torch.equal(other[0].weight, net[0].weight.double())
    other.register_buffer("count", torch.zeros((), dtype=torch.int64))
    net.register_buffer("count", torch.zeros(()))
    save_weights(net, path)
    with pytest.raises(CheckpointError, match="count is float32, in the network int64"):
        load_weights(other, path)


def tied(make_net, seed):
    net = make_net(torch.nn.Linear(6, 6, bias=False), torch.nn.Linear(6, 6, bias=False), seed=seed)
    net[2].weight = net[1].weight
    return net


def test_tied_weights_are_written_once_and_stay_tied(make_net, path):
    net, other = tied(make_net, 0), tied(make_net, 1)
    save_weights(net, path)
    assert path.stat().st_size < 6 * 6 * 4 + sum(p.numel() * 4 for p in net.parameters()) + 1200
    load_weights(other, path)
    assert other[2].weight is other[1].weight
    assert torch.equal(other[1].weight, net[1].weight)
    loose = make_net(torch.nn.Linear(6, 6, bias=False), torch.nn.Linear(6, 6, bias=False))
    load_weights(loose, path)
    assert torch.equal(loose[2].weight, net[2].weight)
    assert torch.equal(loose[1].weight, net[2].weight)


def test_two_values_for_one_weight_are_refused(make_net, path):
    loose = make_net(torch.nn.Linear(6, 6, bias=False), torch.nn.Linear(6, 6, bias=False))
    save_weights(loose, path)
    with pytest.raises(CheckpointError, match=r"2\.weight differs from 1\.weight, in the network they are one weight"):
        load_weights(tied(make_net, 0), path)


def test_wrappers_leave_no_trace_in_the_names(make_net, path):
    net, other = make_net(), make_net(seed=1)
    save_weights(torch.nn.DataParallel(net), path)
    load_weights(other, path)
    assert torch.equal(other[0].weight, net[0].weight)
    compiled = torch.compile(make_net(seed=2), backend="eager")
    load_weights(compiled, path)
    assert torch.equal(compiled.get_parameter("_orig_mod.0.weight"), net[0].weight)
    save_weights(compiled, path)
    load_weights(make_net(), path)


def test_errors_tell_what_to_do(net, path, tmp_path):
    with pytest.raises(CheckpointError, match="there is no file"):
        load_weights(net, path)
    path.write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_weights(net, path)
    with pytest.raises(StorageError, match="a folder that exists"):
        save_weights(net, tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(CheckpointError, match="what JSON cannot"):
        save_weights(net, path, {"net": net})
