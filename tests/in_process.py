"""Run chapters in the process of the test, without a kernel: libraries are imported and compiled only once.

`run` does all that execute.py does, but the cells are executed by an IPython shell in this process. With `Server`, a real make
sends the chapters that it would run as `$(PYTHON) execute.py ...` to this process, one after the other.
"""

import atexit
import contextlib
import io
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat.v4 import new_output
from papermill.engines import Engine, papermill_engines
from traitlets.config import Config

import clean
import execute
import fetch
import listing
import parameters
import plan
import rules
import settings
import sweeps
import utils

ROOT = Path(execute.__file__).parent
MODULES = (clean, fetch, listing, parameters, plan, rules, settings, sweeps, utils)  # those that have a ROOT
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(json.dumps([sys.argv[2:], dict(os.environ)]).encode())
    connection.shutdown(socket.SHUT_WR)
    done = json.loads(connection.makefile().read())
sys.stdout.write(done["stdout"])
sys.stderr.write(done["stderr"])
sys.exit(done["returncode"])
"""


class Shell(Engine):
    """An engine of papermill that executes cells in an IPython shell of this process."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **options):
        shell = InteractiveShell.instance(
            config=Config({"HistoryManager": {"enabled": False}}), user_module=types.ModuleType("__main__")
        )
        try:
            for index, cell in enumerate(nb_man.nb.cells):
                if cell.cell_type == "code":
                    nb_man.cell_start(cell, index)
                    cell.outputs, error = cls.execute_cell(shell, cell.source)
                    if error is not None:
                        nb_man.cell_exception(cell, index)
                        break
                    nb_man.cell_complete(cell, index)
        finally:
            InteractiveShell.clear_instance()
            atexit.unregister(shell.atexit_operations)  # would keep all variables of the chapter until the end
            plt.close("all")

    @staticmethod
    def execute_cell(shell, source):
        """Outputs of a cell, and its exception or None."""
        with capture_output() as captured:
            done = shell.run_cell(source)
        error = done.error_before_exec or done.error_in_exec
        outputs = [new_output("stream", name="stdout", text=captured.stdout)] if captured.stdout else []
        outputs += [new_output("display_data", data=shown.data or {}) for shown in captured.outputs]
        if error is not None:
            outputs.append(new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[]))
        return outputs, error


@contextlib.contextmanager
def project_root(root):
    """Let all modules of the project find params/, data/ and figures/ below `root`."""
    caches = [value for module in MODULES for value in vars(module).values() if hasattr(value, "cache_clear")]
    with pytest.MonkeyPatch.context() as patch:
        for module in MODULES:
            patch.setattr(module, "ROOT", root)
        for cached in caches:
            cached.cache_clear()
        yield patch
    for cached in caches:
        cached.cache_clear()


def run(root, arguments, environment=None):
    """Do what `python execute.py <arguments>` does in the project `root`; a finished process with its output as text.

    Variables of the `environment` are added to those of this process.
    """
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with project_root(root) as patch, contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        patch.chdir(root)
        patch.setattr(tempfile, "tempdir", None)  # TMPDIR is read again
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["execute.py", *arguments])
        patch.setattr(sys, "path", [*sys.path])
        patch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # a shell replaces it
        patch.setitem(papermill_engines._engines, None, Shell)
        try:
            execute.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            if isinstance(end.code, str):
                print(end.code, file=stderr)
    return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())


class Server:
    """Runs the chapters of one call of make in this process."""

    def __init__(self, root):
        self.root = root

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(dir="/tmp")  # paths of sockets must be short
        folder = Path(self.folder.name)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "socket"))
        self.listener.listen()
        self.listener.settimeout(0.02)
        (folder / "client.py").write_text(CLIENT)
        self.python = folder / "python"  # for PYTHON=
        send = f'exec {sys.executable} -I -S {folder}/client.py {folder}/socket "$@"'
        self.python.write_text(
            f'#!/bin/sh\nif [ "$1" = execute.py ]; then shift; {send}; fi\nexec {sys.executable} "$@"\n'
        )
        self.python.chmod(0o755)
        return self

    def __exit__(self, *exception):
        self.listener.close()
        self.folder.cleanup()

    def serve(self, process):
        """Run chapters until the process ends."""
        while process.poll() is None:
            with contextlib.suppress(TimeoutError):
                connection, _ = self.listener.accept()
                with connection, connection.makefile("rw") as stream:
                    connection.settimeout(None)
                    done = run(self.root, *json.loads(stream.read()))
                    json.dump({k: getattr(done, k) for k in ("returncode", "stdout", "stderr")}, stream)


def run_and_count(root, arguments, dataset, last, connection):
    """As `run`, in a process of its own that kills itself before its change number `last` of the dataset's files.

    With `last` None it runs to the end and sends the finished process and the number of changes.
    """
    multiprocessing.set_start_method("fork", force=True)  # for processes that load photographs: imports take seconds
    changes = 0

    def count(event, details):
        nonlocal changes
        if event == "open":
            path, mode, flags = details
            if not (set(mode or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink"):
            path = details[0]
        else:
            return
        if re.search(rf"\b(data|figures)/{dataset}\b", str(path)):
            changes += 1
            if changes == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    connection.send((run(root, arguments), changes))
