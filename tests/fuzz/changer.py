"""A process that changes inputs, one after another: what is changed may end it, as HDF5's library
crashes and loops over damaged files; another process then goes on."""

from __future__ import annotations

import faulthandler
import math
import os
import random
import resource
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from fuzz import mutate, signed
from fuzz.doors import Door, Files

SECONDS = 1  # of processor time for one input


class Changer:
    """Draws inputs at a door: one of those that it knows, changed."""

    def __init__(self, door: Door, inputs: list[Files]) -> None:
        self._door, self._inputs = door, inputs
        self._begin()

    def _begin(self) -> None:
        self._pipe, theirs = Pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                self._pipe.close()
                self._serve(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def _serve(self, pipe: Connection) -> None:
        signed.HERE = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        faulthandler.disable()
        while True:
            asked = pipe.recv()
            if isinstance(asked, dict):
                self._inputs.append(asked)
                continue
            used = resource.getrusage(resource.RUSAGE_SELF)
            spent = math.ceil(used.ru_utime + used.ru_stime)
            resource.setrlimit(resource.RLIMIT_CPU, (spent + SECONDS, resource.RLIM_INFINITY))
            draw = random.Random(asked)
            pipe.send(self._door.changed(draw, self._drawn(draw), self._inputs))

    def _drawn(self, draw: random.Random) -> Files:
        """Return which input is changed: every second one is among the last."""
        count = len(self._inputs)
        first = max(0, count - 12) if draw.random() < 0.5 else 0
        return self._inputs[draw.randrange(first, count)]

    def keep(self, files: Files) -> None:
        """Know one more input."""
        self._inputs.append(files)
        self._pipe.send(files)

    def __call__(self, seed: int) -> Files:
        """Return an input, the same for the same seed and the same inputs known."""
        try:
            self._pipe.send(seed)
            found: Files = self._pipe.recv()
        except (EOFError, ConnectionError):
            self.end()
            self._begin()
            draw = random.Random(seed)
            files = dict(self._drawn(draw))
            name = draw.choice(list(files))
            return files | {name: mutate.bytes_of(draw, files[name])}
        return found

    def end(self) -> None:
        """End the process."""
        self._pipe.close()
        os.waitpid(self._process, 0)
