"""Whatever stands beside the weights is skipped unread, and nothing that a pickle names is imported or called."""

from __future__ import annotations

import argparse
import codecs
import collections
import contextlib
import datetime as dt
import decimal
import enum
import functools
import importlib
import io
import os
import pathlib
import pickle
import pickletools
import random
import sys
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.exporters.checkpoint import files
from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import pickles, read_checkpoint
from vpp_deploy.exporters.checkpoint.records import OPAQUE, Global, Object, UnreadableError, as_mapping


class Colour(enum.Enum):
    RED = 1


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, [2]


class Keyword:
    """Pickled with NEWOBJ_EX."""

    def __new__(cls, *, word: int = 0) -> Keyword:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"word": 3}


class Attributes(dict[str, Any]):
    """As Lightning's AttributeDict and yacs' CfgNode are made."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.__dict__["immutable"] = True


class Items(list[Any]):
    pass


class History:
    """As mmengine's HistoryBuffer: it pickles its methods through getattr."""

    def __init__(self) -> None:
        self.statistics = {"min": History.smallest, "bound": self.smallest}
        self.values = np.arange(5.0)

    def smallest(self) -> None:
        raise AssertionError("called")


THINGS: dict[str, Any] = {
    "namespace": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/tmp/x")),
    "deque": collections.deque([1, 2], maxlen=5),
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "counter": collections.Counter("abca"),
    "named": Slotted(),
    "keyword": Keyword(),
    "attributes": Attributes({"a": Attributes()}),
    "items": Items([1, {2, 3}, frozenset([4]), b"bytes", bytearray(b"more"), 1 + 2j, 1 << 5000, -(1 << 70)]),
    "enum": Colour.RED,
    "uuid": uuid.UUID(int=7),
    "scalar": np.float64(3.5),
    "array": np.arange(12).reshape(3, 4),
    "objects": np.array([None, "a", {}], dtype=object),
    "time": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    "delta": dt.timedelta(3),
    "decimal": decimal.Decimal("1.5"),
    "partial": functools.partial(print, "x"),
    "function": os.path.join,
    "class": dict,
    "range": range(3),
    "slice": slice(1, 2),
    "ellipsis": ...,
    "text": "é" * 10_000 + "\U0001f600\n\\",
    "surrogate": "\udcff",
    "numbers": [0, -1, 255, 65536, 1 << 40, 0.5, float("nan"), True, None],
    "keys": {1: "a", None: "b", (1, 2): "c", 1.5: "d", b"e": "f"},
    "history": History(),
    "size": torch.Size([1, 2]),
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "generator": torch.random.get_rng_state(),
    "optimizer": {"state": {0: {"exp_avg": torch.zeros(2), "step": 3}}, "param_groups": [{"params": [0]}]},
}


@pytest.mark.parametrize("protocol", range(1, 6))
@pytest.mark.parametrize("form", files.FORMATS)
def test_genuine_objects_beside_the_weights(form: str, protocol: int, tmp_path: Path) -> None:
    things = {name: thing for name, thing in THINGS.items() if protocol > 1 or name not in ("named", "keyword")}
    content = {**things, "state_dict": files.state(), "last": list(things.values())}
    path = files.save(content, tmp_path / "x.pth", form, protocol)
    assert files.same(read_checkpoint(path), files.state())


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_the_values_that_pickle_gives(protocol: int) -> None:
    content = {
        "a": [
            1,
            -5,
            300,
            70_000,
            1 << 40,
            -(1 << 90),
            0.25,
            True,
            False,
            None,
            "é\n\\u0041",
            (),
            (1,),
            (1, 2),
            (1, 2, 3),
        ],
        "b": {"c": ({"d": [{}]}, [[]])},
    }
    content["again"] = content["a"]
    assert interpret(pickle.dumps(content, protocol)) == content


def interpret(data: bytes) -> Any:
    return pickles.Interpreter(io.BytesIO(data)).run()


@pytest.mark.parametrize(
    "wrapper", [Attributes, collections.OrderedDict, lambda made: collections.defaultdict(list, made)]
)
@pytest.mark.parametrize("protocol", range(1, 6))
def test_dictionaries_of_any_class_hold_weights(wrapper: Any, protocol: int, tmp_path: Path) -> None:
    path = files.save(wrapper({"state_dict": wrapper(files.state())}), tmp_path / "x.pth", protocol=protocol)
    assert files.same(read_checkpoint(path), files.state())


def test_a_list_of_pairs_makes_one_dictionary() -> None:
    """Python 2 made an OrderedDict of a list; many objects of one long list must not cost its length each."""
    pairs = b"]q\x00](X\x01\0\0\0aK\x03ea0"
    made = b"ccollections\nOrderedDict\nh\x00\x85R"
    first, second = interpret(b"\x80\x02" + pairs + made + made + b"\x86.")
    for _ in range(2):
        assert as_mapping(first) == {"a": 3}
        assert not as_mapping(second)


def test_libraries_of_training(tmp_path: Path) -> None:
    """Genuine objects of mmengine, yacs and omegaconf, where they are installed."""
    beside: dict[str, Any] = {}
    with_weights: Any = dict
    if has("mmengine"):
        from mmengine.config import ConfigDict
        from mmengine.logging import MessageHub

        hub = MessageHub.get_instance("vpp-deploy-test")
        for step in range(3):
            hub.update_scalar("train/loss", 1.0 / (step + 1))
        hub.update_info("epoch", 6)
        beside["message_hub"], beside["meta"] = hub.state_dict(), {"cfg": ConfigDict(a=ConfigDict(b=[1]))}
        with_weights = ConfigDict
    if has("yacs"):
        from yacs.config import CfgNode

        beside["cfg"] = CfgNode({"MODEL": CfgNode({"DEPTH": 3})})
    if has("omegaconf"):
        from omegaconf import OmegaConf

        beside["config"] = OmegaConf.create({"a": {"b": [1, "${a.c}"], "c": 2}})
    if not beside:
        pytest.skip("none of mmengine, yacs and omegaconf is installed")
    for form in files.FORMATS:
        path = files.save(with_weights({**beside, "state_dict": files.state()}), tmp_path / "x.pth", form)
        assert files.same(read_checkpoint(path), files.state())


def test_a_checkpoint_of_lightning(tmp_path: Path) -> None:
    """As its Trainer writes it: with hyperparameters, callbacks, loops and an optimizer."""
    lightning: Any = pytest.importorskip("lightning")
    data: Any = importlib.import_module("lightning.fabric.utilities.data")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, options: Any, folder: Path) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(3, 2)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    module = Module(data.AttributeDict(lr=1, inner=data.AttributeDict(a=2)), tmp_path)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, default_root_dir=tmp_path, enable_progress_bar=False,
        callbacks=[lightning.pytorch.callbacks.ModelCheckpoint(tmp_path)],
    )  # fmt: skip
    trainer.fit(module, torch.ones(4, 3))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    for path in tmp_path.glob("*.ckpt"):
        assert files.same(read_checkpoint(path), dict(module.state_dict()))


def has(package: str) -> bool:
    try:
        __import__(package)
    except Exception:
        return False
    return True


MMENGINE = (  # what mmengine 0.10.7 pickles of a HistoryBuffer, and how yacs 0.1.8 and omegaconf 2.3 begin
    b"\x80\x02}q\x00(X\x04\x00\x00\x00lossq\x01cmmengine.logging.history_buffer\nHistoryBuffer\nq\x02)\x81q\x03}q\x04("
    b"X\n\x00\x00\x00max_lengthq\x05J@B\x0f\x00X\x0c\x00\x00\x00_log_historyq\x06cnumpy.core.multiarray\n_reconstruct\n"
    b"q\x07cnumpy\nndarray\nq\x08K\x00\x85q\tc_codecs\nencode\nq\nX\x01\x00\x00\x00bq\x0bX\x06\x00\x00\x00latin1q\x0c\x86"
    b"q\rRq\x0e\x87q\x0fRq\x10(K\x01K\x01\x85q\x11cnumpy\ndtype\nq\x12X\x02\x00\x00\x00f8q\x13\x89\x88\x87q\x14Rq\x15(K"
    b"\x03X\x01\x00\x00\x00<q\x16NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x17b\x89h\nX\x09\x00\x00\x00\x00\x00\x00"
    b"\x00\x00\x00\xc3\xb0?q\x18h\x0c\x86q\x19Rq\x1atq\x1bbX\x13\x00\x00\x00_statistics_methodsq\x1c}q\x1dX\x03\x00\x00\x00"
    b'minq\x1ec__builtin__\ngetattr\nq\x1fh\x02X\x03\x00\x00\x00minq \x86q!Rq"subX\x03\x00\x00\x00cfgq#cyacs.config\n'
    b"CfgNode\nq$)\x81q%X\x05\x00\x00\x00DEPTHq&K\x03s}q'X\x0f\x00\x00\x00__immutable__q(\x89sbX\x04\x00\x00\x00confq)"
    b"comegaconf.dictconfig\nDictConfig\nq*)\x81q+}q,X\x08\x00\x00\x00_contentq-}q.sbu."
)


def test_recorded_pickles_of_libraries_that_need_not_be_installed() -> None:
    pickletools.dis(MMENGINE, io.StringIO())  # well-formed
    found = interpret(MMENGINE)
    assert isinstance(found["loss"], Object)
    assert str(found["loss"].maker) == "mmengine.logging.history_buffer.HistoryBuffer"
    assert as_mapping(found["cfg"]) == {"DEPTH": 3}
    assert "mmengine" not in sys.modules or has("mmengine")


CALLS = (
    b"cos\nsystem\n(S'touch {}'\ntR.",
    b"(S'touch {}'\nios\nsystem\n.",
    b"(cos\nsystem\nS'touch {}'\no.",
    b"\x80\x02cos\nsystem\nX{}touch\x85\x81.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x05touch\x85R.",
    b"\x80\x04\x8c\x08builtins\x8c\x0dobject.__init\x93)}\x92.",
    b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R}X\x01\x00\x00\x00aK\x01sb.",
    b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01a\x85R.",
    b"\x80\x02ctorch._utils\n_rebuild_from_type_v2\n.",
    b"\x80\x02ccopyreg\n_reconstructor\ncos\nsystem\nN}\x87R.",
)


def test_calls_are_only_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit hook sees every import, open and process that Python starts."""
    for data in CALLS:
        with watched() as seen:
            try:
                made = interpret(data.replace(b"{}", b"\x05\x00\x00\x00"))
            except UnreadableError:
                continue
        assert seen == []
        assert isinstance(made, Object | Global)


class watched:  # noqa: N801
    """Names of events inside the block that code of a pickle would cause."""

    names = ("import", "open", "exec", "compile", "os.system", "subprocess.Popen", "pickle.find_class", "os.mkdir")
    current: list[str] | None = None
    hooked = False

    def __enter__(self) -> list[str]:
        if not watched.hooked:
            sys.addaudithook(watched._hear)
            watched.hooked = True
        watched.current = seen = []
        return seen

    def __exit__(self, *_: object) -> None:
        watched.current = None

    @staticmethod
    def _hear(event: str, arguments: tuple[Any, ...]) -> None:
        if watched.current is not None and event in watched.names:
            watched.current.append(f"{event} {arguments[0] if arguments else ''!s:.60}")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends in its pickle"),
        (b"\x80\x02", "ends in its pickle"),
        (b"\x80\x09.", "protocol 9"),
        (b"\xff.", "0xff"),
        (b".", "nothing on its stack"),
        (b"(.", "nothing on its stack"),
        (b"t.", "no mark"),
        (b"h\x05.", "refers to what it does not have"),
        (b"K\x01)R.", "calls what is no function"),
        (b"K\x01K\x02K\x03s.", "no dictionary"),
        (b"(K\x01d.", "key without a value"),
        (b"\x80\x02\x82\x01.", "outside itself"),
        (b"Pabc\n.", "outside itself"),
        (b"X\x04\x00\x00\x00ab", "ends in its pickle"),
        (b"X\x02\x00\x00\x00\xff\xfe.", "damaged text"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", "ends in its pickle"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\xff", "ends in its pickle"),
        (b"Iabc\n.", "damaged number"),
        (b"c" + b"a" * 100_000, "too long"),
        (b"K\x01K\x02\x93.", "not text"),
        (b"(X\x07\x00\x00\x00storageK\x01K\x02tQ.", "not a storage"),
    ],
)
def test_damaged_pickles(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        interpret(data)


def test_long_text_bytes_and_numbers_are_skipped() -> None:
    assert interpret(pickle.dumps(["x" * 5000, b"y" * 10, 1 << 4000], 4)) == [OPAQUE, OPAQUE, OPAQUE]


@pytest.mark.parametrize(
    "data",
    [
        b"]" * 10**6 + b"." * 2,
        b"(" * 10**6 + b"t" * 10**6 + b".",
        b"]" + b"\x94" * 10**6 + b".",
        b"(" + b"K\x01" * 10**6 + b"t\x94" + b"h\x00\x85ctorch\nSize\n0" * 10**5 + b".",
        b"".join((b"}", b"\x8c\x01aK\x01s" * 10**5, b".")),
        b"]\x94" + b"2\x86" * 400_000 + b".",
        b"]" + b"(h\x00]l" * 3 + b"K\x01\x94(" + b"h\x00" * 10**6 + b"l.",
    ],
    ids=range(7),
)
def test_bombs_of_instructions_end_soon(data: bytes) -> None:
    started = time.monotonic()
    with contextlib.suppress(UnreadableError):
        interpret(data)
    assert time.monotonic() - started < 20


def test_the_number_of_instructions_and_the_text_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1000)
    with pytest.raises(UnreadableError, match="1,000 instructions"):
        interpret(b"]" * 2000 + b".")
    monkeypatch.undo()
    interpreter = pickles.Interpreter(io.BytesIO((b"X\x00\x10\x00\x00" + b"a" * 4096 + b"0") * 20_000 + b"."))
    with pytest.raises(UnreadableError, match="64 MB of text"):
        interpreter.run()


def test_keys_cost_no_more_than_they_are_long() -> None:
    """Keys that are not text are dropped: nothing is hashed that the file made expensive to hash."""
    nested = b")" + b"2\x86" * 60  # a tuple whose hash takes 2 ** 60 steps
    assert interpret(b"}" + nested + b"K\x01s.") == {}


def test_mutated_pickles_run_nothing_and_end_in_one_line_or_the_right_tensors(tmp_path: Path) -> None:
    """2,000 seeded mutations of files in both formats."""
    generator, outcomes = random.Random(11), collections.Counter[str]()
    originals = []
    for number, form in enumerate(files.FORMATS):
        for protocol in (2, 4):
            content = {"meta": {**THINGS, "generator": None}, "state_dict": files.state(), "hook": Sentinel()}
            originals.append(files.save(content, tmp_path / f"{number}-{protocol}.pth", form, protocol).read_bytes())
    path = tmp_path / "mutated.pth"
    codecs.lookup("cp437")  # what zipfile would import to read damaged names
    started = time.monotonic()
    with watched() as seen:
        for number in range(2000):
            original = originals[number % len(originals)]
            if (
                original.startswith(b"PK") and number % 8 < 4
            ):  # with the right checksum again: it is the pickle that counts
                path.write_bytes(original)
                with zipfile.ZipFile(path) as archive:
                    pickled = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
                files.repacked(path, {"data.pkl": mutated(pickled, generator)})
            else:
                path.write_bytes(mutated(original, generator))
            del seen[:]
            try:
                found = read_checkpoint(path)
            except CheckpointError as error:
                assert "\n" not in str(error)  # noqa: PT017
                outcomes["refused"] += 1
            else:
                outcomes["same" if files.same(found, files.state()) else "other numbers"] += 1
            assert [event for event in seen if not event.startswith("open ")] == []
    assert outcomes["refused"] > 100
    assert outcomes["same"] > 100
    assert time.monotonic() - started < 120
    print(dict(outcomes))  # noqa: T201


class Sentinel:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/this/would/be/seen",)


def mutated(data: bytes, generator: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled or exchanged, most of them in the pickle."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 8))):
        start = generator.randrange(min(len(changed), 8000))
        kind = generator.randrange(5)
        if kind == 0:
            changed[start] = generator.randrange(256)
        elif kind == 1:
            changed[start] ^= 1 << generator.randrange(8)
        elif kind == 2:
            del changed[start : start + generator.randrange(1, 9)]
        elif kind == 3:
            changed[start:start] = changed[start : start + generator.randrange(1, 40)]
        else:
            changed[start] = generator.choice(b"(.0RcibQ\x81\x93}]sut\x85h")
    return bytes(changed)
