"""Tells the bench how many tickets were handled: eight mapped bytes for each process."""

import mmap
import os
import threading

BODY = "x" * 64

_lock = threading.Lock()
_handled = 0
_mapped = None


def add():
    """One more was handled; a store into memory, no system call."""
    global _handled, _mapped
    with _lock:
        if _mapped is None:
            _mapped = _map()
        _handled += 1
        _mapped[:] = _handled.to_bytes(8, "little")


def _map():
    """A process opens its file at its first ticket: it may have been forked before."""
    path = os.path.join(os.environ["PEERS_COUNTS"], str(os.getpid()))
    with open(path, "w+b") as file:
        file.truncate(8)
        return mmap.mmap(file.fileno(), 8)
