"""Serves seahaven-stripe-world, a stateful emulator of Stripe's API written by others, on loopback.

    python stripe_world.py FOLDER PORT

Installs it into FOLDER (once; about 45 MB, from PyPI) and serves until its input is closed, so it never
outlives the test that has started it. The URL of an account is http://127.0.0.1:PORT/worlds/ANY-NAME.

Written for Python 3.14, the package runs on 3.13 as well once its annotations are left unevaluated
(PEP 563); older ones cannot read it.
"""

import ast
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

PACKAGES = ["seahaven-stripe-world==0.3.0", "seahaven==0.6.0", "starlette<2", "uvicorn<1"]


def install(folder: pathlib.Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Built beside it and moved: two tests that start at once do not see half of it.
    new = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix=folder.name))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    limits = ["--timeout", "15", "--retries", "1", "--ignore-requires-python", "--target", str(new)]
    done = subprocess.run([*pip, *limits, *PACKAGES], stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit("cannot be installed: no pip, or no network")
    if sys.version_info < (3, 14):
        for package in ("seahaven", "seahaven_stripe_world"):
            for module in (new / package).rglob("*.py"):
                leave_annotations_alone(module)
    try:
        new.rename(folder)
    except OSError:
        # Another process was faster. Its folder is as good.
        if not folder.is_dir():
            raise


def leave_annotations_alone(module: pathlib.Path) -> None:
    text = module.read_text()
    future = "from __future__ import annotations\n"
    if not text.strip() or future in text:
        return
    try:
        body = ast.parse(text).body
    except SyntaxError:
        # Syntax of 3.14, in parts that serving does not import.
        return
    first = body[0] if body else None
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    lines = text.splitlines(keepends=True)
    lines.insert(first.end_lineno if is_docstring else 0, future)
    module.write_text("".join(lines))


def end_with_the_input() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def main() -> None:
    if sys.version_info < (3, 13):
        sys.exit("needs Python 3.13 or newer")
    folder, port = pathlib.Path(sys.argv[1]), sys.argv[2]
    threading.Thread(target=end_with_the_input, daemon=True).start()
    if not folder.is_dir():
        install(folder)
    sys.path.insert(0, str(folder))
    from seahaven.http import main as serve
    from seahaven_stripe_world import world
    from seahaven_stripe_world.http_api import handle

    serve(world, handle, ["--port", port, "--reset-options", '{"startup": {"livemode": false}}'])


main()
