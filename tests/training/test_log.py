from __future__ import annotations

import getpass
import json
import platform
import re
import socket
from pathlib import Path

import torch

from snn4.training import environment


def test_it_is_json_with_versions_and_machine():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["python"] == platform.python_version()
    assert found["threads"] == torch.get_num_threads()
    assert found["cpu"]
    assert found["commit"] is None or re.fullmatch(r"[0-9a-f]{40}\+?", found["commit"])


def test_it_tells_nothing_about_the_person():
    text = json.dumps(environment())
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text
    assert socket.gethostname() not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text
