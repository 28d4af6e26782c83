from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.cli.conftest import Cli
from vpp_deploy import __version__, cli
from vpp_deploy.cli.commands import _COMMANDS, _FLOW, app, module_of, whole
from vpp_deploy.engines import BACKENDS

HELP_WIDTH = 78  # of the usual 80 columns, typer leaves one free on each side
HEAVY = ("torch", "onnx", "onnxruntime", "av", "numpy", "PIL")


def help_page(*words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_explains_itself_with_examples(command: str) -> None:
    page = help_page(command)
    assert f"Usage: vpp-deploy {command}" in page or f"{command} [OPTIONS]" in page
    for example in module_of(command).EXAMPLES:
        assert example.startswith(f"vpp-deploy {command}")
        assert example in page  # hence on one line, ready to be pasted


def test_the_first_page_shows_the_way_from_checkpoint_to_proof() -> None:
    page = help_page()
    positions = [page.index(line) for line in _FLOW]
    assert positions == sorted(positions)
    assert all(command in page for command in _COMMANDS)


def test_every_command_is_registered() -> None:
    modules = [importlib.import_module(f"{cli.__name__}.{found.name}") for found in pkgutil.iter_modules(cli.__path__)]
    commands = [module for module in modules if hasattr(module, "EXAMPLES")]
    assert len(commands) > 10
    assert {module.__name__ for module in commands} == {module_of(name).__name__ for name in _COMMANDS}


def test_the_first_page_says_of_each_command_how_its_own_page_begins() -> None:
    begins = {name: " ".join(command.help.split("\n\n")[0].split()) for name, command in whole().commands.items()}
    assert begins == _COMMANDS
    assert list(begins) == list(_COMMANDS)


def test_examples_fit_a_narrow_terminal() -> None:
    lines = [*_FLOW, *(line for name in _COMMANDS for line in module_of(name).EXAMPLES)]
    assert max(map(len, lines)) <= HELP_WIDTH


@pytest.mark.parametrize("command", ["build-engine", "infer", "parity", "evaluate"])
def test_the_engines_in_the_help_are_those_that_exist(command: str) -> None:
    page = " ".join(help_page(command).replace("│", " ").split())
    assert ", ".join(BACKENDS) in page


def test_help_states_defaults_and_units() -> None:
    page = " ".join(help_page("export").replace("│", " ").split())
    assert "Height x width of the input in pixels, multiples of the model's patches (VPP: of 32). [default:" in page
    assert "PaPr: a ratio above 0 and up to 1." in page
    assert "[default: (VPP 0.55; PaPr 0.5" in page


def test_version_and_bare_call(cli: Cli) -> None:
    assert cli("--version").out == f"vpp-deploy {__version__}\n"
    bare = cli()
    assert bare.code == 0
    assert "export" in bare.out


def test_the_first_page_loads_no_command() -> None:
    """Nor do other commands load one that was not asked for."""
    program = (
        "import sys; from vpp_deploy.cli.main import main; from vpp_deploy.cli.commands import _COMMANDS; "
        "names = {'vpp_deploy.cli.' + name.replace('-', '_') for name in _COMMANDS}; "
        "loaded = lambda *words: (main(words), sorted(names & set(sys.modules)))[1]; "
        "sys.stderr.write(repr([loaded('--help'), loaded('doctor', '--help')]))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stderr == "[[], ['vpp_deploy.cli.doctor']]"


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from vpp_deploy.cli.main import main; "
        "codes = [main([*command, '--help']) for command in ([], ['export'], ['infer'], ['parity'], ['demo'])]; "
        f"sys.exit(any(codes) or ' '.join(set(sys.modules) & set({HEAVY})))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (1, "\n")  # sys.exit("") prints an empty line: nothing was loaded


def test_python_dash_m() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "vpp_deploy", "--version"], capture_output=True, text=True, check=True
    )
    assert process.stdout == f"vpp-deploy {__version__}\n"
