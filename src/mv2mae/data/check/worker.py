"""Scans videos in processes of their own, so that a file on which FFmpeg hangs or crashes costs that file only."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from mv2mae.data.check.scan import Scan, scan
from mv2mae.data.images import version_of
from mv2mae.data.video import available_cores
from mv2mae.errors import InputError

_MEGABYTE = 1 << 20
_READY = b"ready\n"


class _Worker:
    """One process that scans the files it is given, one after the other.

    A program of its own rather than a `multiprocessing` child: it never runs the caller's script again, so that
    `check_manifest` works in notebooks and in scripts without a guard.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def scan(self, path: str, quick: bool, time_limit: float) -> Scan:
        """Scans a file, at most `time_limit` seconds long; the process does not outlive a hang or a crash."""
        process = self._process
        if process is None:
            process = self._process = _spawn()  # known before it is ready, so that `close` ends it then too
            _wait_until_ready(process)
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()
        timer = threading.Timer(time_limit, _stop, (process, late))
        timer.start()
        try:
            pickle.dump((path, quick), process.stdin)
            process.stdin.flush()
            found: Scan = pickle.load(process.stdout)
            return found
        except (EOFError, OSError, pickle.UnpicklingError):
            self.close()
            if late.is_set():
                return Scan(path, kind="hangs", reason=f"decoding took longer than {time_limit:.0f} s")
            return Scan(path, kind="unreadable", reason=f"the decoder crashed (exit status {process.returncode})")
        finally:
            timer.cancel()
            timer.join()
            if late.is_set():  # perhaps just after the answer: the next file needs a process that lives
                self.close()

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was buffered for a process that is gone
                    pipe.close()  # type: ignore[union-attr]


def scan_all(paths: Sequence[str], *, quick: bool, num_workers: int | None, time_limit: float) -> Iterator[Scan]:
    """Scans files in parallel; the results come in the order of `paths`.

    Args:
        paths: the files.
        quick: as in `scan`.
        num_workers: processes; None = one a core; 0 = in this process, unprotected against hangs and crashes.
        time_limit: seconds for one file, and one more for each of its megabytes.
    """
    if num_workers == 0:
        yield from (scan(path, quick=quick) for path in paths)
        return
    count = max(1, min(num_workers or available_cores(), len(paths)))
    workers, local = [_Worker() for _ in range(count)], threading.local()
    free = list(workers)

    def one(path: str) -> Scan:
        if not hasattr(local, "worker"):
            local.worker = free.pop()
        size = 0
        with suppress(OSError):  # which the scan will tell; an item of a store is small
            size = version_of(path)[0]
        return local.worker.scan(path, quick, time_limit + size / _MEGABYTE)

    pool = ThreadPoolExecutor(count)
    try:
        yield from pool.map(one, paths)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.close()


def _spawn() -> subprocess.Popen[bytes]:
    places = os.pathsep.join(place or os.getcwd() for place in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mv2mae.data.check.worker"],  # -P: files of the user's folder are no modules
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
    )


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Waiting here, the imports do not count as the first file's time; what they print is passed over."""
    assert process.stdout is not None
    if _READY not in iter(process.stdout.readline, b""):
        raise InputError("a process for decoding does not start; try num_workers=0, which decodes in this one")


def _stop(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def main() -> None:
    """Reads (path, quick) after (path, quick) from standard input and answers with a `Scan` each."""
    # answers have the real standard output for themselves; what a library prints goes elsewhere
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    answers.write(_READY)
    answers.flush()
    while True:
        try:
            path, quick = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(scan(path, quick=quick), answers)
        answers.flush()


if __name__ == "__main__":
    main()
