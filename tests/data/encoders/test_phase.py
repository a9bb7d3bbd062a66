from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn4.data import Phase


@given(data=st.data(), bits=st.integers(1, 24), periods=st.integers(1, 3), weighted=st.booleans())
def test_the_digits_are_those_of_the_number(data, bits, periods, weighted):
    number = data.draw(st.integers(0, 2**bits - 1))
    x = torch.tensor([number / 2**bits])
    spikes = Phase(bits * periods, bits, weighted)(x)[:, 0]
    digits = [int(digit) for digit in format(number, f"0{bits}b")] * periods
    sizes = [2.0 ** -(t % bits + 1) for t in range(bits * periods)] if weighted else [1.0] * (bits * periods)
    assert spikes.tolist() == [digit * size for digit, size in zip(digits, sizes, strict=True)]


@given(value=st.floats(0, 1, width=32), bits=st.integers(1, 20), periods=st.integers(1, 3), weighted=st.booleans())
def test_decoding_cuts_off_less_than_the_last_digit(value, bits, periods, weighted):
    encoder = Phase(bits * periods, bits, weighted)
    x = torch.tensor([value], dtype=torch.float64)
    decoded = encoder.decode(encoder(x)).item()
    if value == 1:
        assert decoded == 1 - 2.0**-bits
    else:
        assert 0 <= value - decoded < 2.0**-bits


def test_multiples_of_the_last_digit_are_exact():
    x = torch.arange(256) / 256
    for weighted in (False, True):
        encoder = Phase(16, bits=8, weighted=weighted)
        assert torch.equal(encoder.decode(encoder(x)), x)


def test_weights_by_hand():
    assert Phase(6, bits=3).weights.tolist() == [0.5, 0.25, 0.125, 0.5, 0.25, 0.125]
    assert Phase(3, bits=3)(torch.tensor([0.8])).flatten().tolist() == [1, 1, 0]


@pytest.mark.parametrize("bits", [8, 9])
def test_bytes_fill_eight_digits(bits):
    # k / 256 in bfloat16 is exact
    x = (torch.arange(256) / 256).to(torch.bfloat16)
    encoder = Phase(bits, bits)
    assert torch.equal(encoder.decode(encoder(x)), x)
