"""Two processes of torchrun on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What became of them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-port", port, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, run)), env=environment, capture_output=True, text=True, timeout=300, check=False
    )
