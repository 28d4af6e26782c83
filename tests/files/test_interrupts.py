"""Signals, each in a process of its own: this one's are pytest's."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def run(body: str) -> subprocess.CompletedProcess[str]:
    """Runs lines with the module's names at hand, and a function `hit` that sends a signal to the process itself.

    Whoever runs the tests may ignore signals, as a shell does for jobs in its background; here none is ignored.
    """
    start = (
        "import os, signal, sys, time\n"
        "from vpp_deploy.files.interrupts import *\n"
        "from vpp_deploy.files import interrupts\n"
        "for name in ('SIGINT', 'SIGTERM', 'SIGHUP'): signal.signal(getattr(signal, name), signal.SIG_DFL)\n"
        "def hit(name): os.kill(os.getpid(), getattr(signal, name)); time.sleep(0.01)\n"
    )
    return subprocess.run([sys.executable, "-c", start + body], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SIGNALS)
def test_before_the_work_a_signal_ends_the_process_with_one_line(name: str) -> None:
    done = run(f"with handled():\n    hit({name!r})\n    print('on')\n")
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stdout == ""
    assert done.stderr.startswith("interrupted: stopped by ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", SIGNALS)
def test_at_work_a_signal_is_an_exception_that_cleans_up(name: str) -> None:
    done = run(
        "with handled():\n    begin_work()\n    try:\n        try:\n"
        f"            hit({name!r})\n            print('on')\n        finally:\n            print('tidied')\n"
        "    except KeyboardInterrupt as error:\n        print(type(error).__name__, error, received())\n"
    )
    word = "Ctrl-C" if name == "SIGINT" else name
    assert done.stdout == f"tidied\nInterrupted stopped by {word} {int(getattr(signal, name))}\n"
    assert done.stderr == ""


def test_a_second_signal_does_not_stop_the_tidying_up() -> None:
    done = run(
        "with handled():\n    begin_work()\n    try:\n        try:\n            hit('SIGHUP')\n        finally:\n"
        "            hit('SIGHUP')\n            hit('SIGTERM')\n            print('tidied')\n"
        "    except KeyboardInterrupt as error:\n        print(error)\n"
    )
    assert done.stdout == "tidied\nstopped by SIGHUP\n"


def test_an_interruption_that_a_library_swallowed_can_be_repeated() -> None:
    done = run(
        "interrupts.MEANT_AS_ONE = 0.0\nwith handled():\n    begin_work()\n    try:\n        try:\n"
        "            hit('SIGINT')\n        except BaseException:\n            print('swallowed')\n"
        "        hit('SIGINT')\n        print('on')\n    except KeyboardInterrupt:\n        print('ended')\n"
    )
    assert done.stdout == "swallowed\nended\n"


def test_a_shielded_block_is_not_broken() -> None:
    done = run(
        "with handled():\n    begin_work()\n    try:\n        with shielded():\n            with shielded():\n"
        "                hit('SIGTERM')\n                print('inner')\n            print('outer')\n"
        "        print('on')\n    except KeyboardInterrupt as error:\n        print(error)\n"
    )
    assert done.stdout == "inner\nouter\nstopped by SIGTERM\n"


def test_what_is_ignored_stays_ignored_and_handlers_come_back() -> None:
    done = run(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nbefore = signal.getsignal(signal.SIGINT)\n"
        "with handled():\n    hit('SIGHUP')\n    begin_work()\n    hit('SIGHUP')\n    print('on')\n"
        "print(signal.getsignal(signal.SIGINT) is before, signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)\n"
    )
    assert done.stdout == "on\nTrue True\n"


def test_in_another_thread_nothing_changes() -> None:
    done = run(
        "import threading\nbefore = signal.getsignal(signal.SIGINT)\n"
        "def other():\n    with handled(), shielded():\n        print('done')\n"
        "thread = threading.Thread(target=other); thread.start(); thread.join()\n"
        "print(signal.getsignal(signal.SIGINT) == before)\n"
    )
    assert done.stdout == "done\nTrue\n"


@pytest.mark.parametrize(
    "handler",
    ["late", "functools.partial(late, 1)", "Late()", "Late().method"],
)
def test_an_error_of_a_handler_is_raised_again_and_others_are_not(handler: str) -> None:
    done = run(
        "import functools\n"
        "def late(*_): raise TimeoutError('late')\n"
        "class Late:\n"
        "    def __call__(self, *_): raise TimeoutError('late')\n"
        "    def method(self, *_): raise TimeoutError('late')\n"
        f"signal.signal(signal.SIGALRM, {handler})\n"
        "def work():\n    try:\n        hit('SIGALRM')\n    except TimeoutError as error:\n"
        "        raise ValueError('of a library') from error\n"
        "def fail():\n    raise TimeoutError('of a library')\n"
        "def told(work):\n    try:\n        work()\n    except Exception as error:\n"
        "        try:\n            let_pass(error)\n            print('passed over', error)\n"
        "        except Exception as raised:\n            print('raised', raised)\n"
        "told(functools.partial(hit, 'SIGALRM'))\ntold(work)\ntold(fail)\n"
    )
    assert done.stdout == "raised late\nraised late\npassed over of a library\n", done.stderr
