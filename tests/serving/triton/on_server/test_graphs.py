"""Graphs that Triton runs: configurations that it understands, and a session on requests to models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import vpp_deploy as vd
from tests.serving.triton.on_server.clients import assert_same, over_http, tritonclient
from tests.serving.triton.on_server.conftest import LENGTH, Frames, Start
from vpp_deploy.serving.triton.configuration import graph_configuration
from vpp_deploy.serving.triton.repository import write_repository
from vpp_deploy.serving.triton.settings import Settings

STAND_IN = '''
from pathlib import Path

import triton_python_backend_utils as pb_utils

from vpp_deploy.engines.onnxruntime.sessions import Session, session_options
from vpp_deploy.errors import IncompatibleEngineError


class TritonPythonModel:
    """What Triton's ONNX Runtime backend does, which this server lacks."""

    def initialize(self, args):
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = Session(path, session_options(1), error=IncompatibleEngineError, label=path.name)

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = list(request.requested_output_names())
        found = self.session.run(names, {tensor.name(): tensor.as_numpy() for tensor in request.inputs()})
        return pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(names, found)])
'''


@pytest.fixture(scope="module")
def beside(micro_bundle: vd.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of `--graphs onnxruntime`."""
    path = tmp_path_factory.mktemp("graphs")
    written = write_repository(micro_bundle, path, graphs="onnxruntime", settings=Settings(workers=2))
    assert [folder.name for folder in written] == ["vpp_init", "vpp_step", "vpp"]
    return path


def test_triton_s_own_schema_reads_every_configuration(beside: Path, repository: Path, micro_bundle: vd.Bundle) -> None:
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

    texts = [path.read_text() for path in (*beside.glob("*/config.pbtxt"), *repository.glob("*/config.pbtxt"))]
    texts.append(graph_configuration("vpp_step", micro_bundle.manifest, "step", {"backend": "tensorrt"}))
    parsed = [text_format.Parse(text, ModelConfig()) for text in texts]
    assert {config.name for config in parsed} == {"vpp", "vpp_init", "vpp_step", "papr"}
    tensorrt = parsed[-1]
    assert (tensorrt.backend, tensorrt.max_batch_size) == ("tensorrt", 0)
    manifest = micro_bundle.manifest
    inputs = [spec.name for spec in manifest.graphs["step"].inputs] + [state.input for state in manifest.state]
    outputs = [spec.name for spec in manifest.graphs["step"].outputs] + [state.output for state in manifest.state]
    assert [tensor.name for tensor in tensorrt.input] == inputs
    assert [tensor.name for tensor in tensorrt.output] == outputs
    frame = tensorrt.input[0]
    assert (DataType.Name(frame.data_type), list(frame.dims)) == ("TYPE_UINT8", [128, 192, 3])
    videos = {config.parameters["engine"].string_value: config for config in parsed if config.name == "vpp"}
    assert videos.keys() == {"bls", "onnxruntime"}
    video = videos["onnxruntime"]
    assert video.sequence_batching.max_sequence_idle_microseconds == 2_000_000
    assert video.sequence_batching.oldest.max_candidate_sequences == 24
    assert not video.sequence_batching.control_input


def test_a_session_over_models_of_graphs_has_the_bits_of_a_plain_one(
    beside: Path,
    micro_bundle: vd.Bundle,
    start: Start,
    videos: list[Frames],
    expected: list[list[vd.FrameResult]],
) -> None:
    """With the engine's own graphs: the ones for Triton are optimised when it loads them, to other last bits."""
    engine = micro_bundle.engine_folder("onnxruntime")
    for role in ("init", "step"):
        configuration = beside / f"vpp_{role}" / "config.pbtxt"
        text = configuration.read_text().replace('backend: "onnxruntime"', 'backend: "python"')
        configuration.write_text(text + "instance_group { count: 2 kind: KIND_CPU }\n")
        version = beside / f"vpp_{role}" / "1"
        (version / "model.py").write_text(STAND_IN)
        shutil.copy(engine / f"{role}.onnx", version / "model.onnx")
        shutil.copy(engine / "weights.safetensors", version)
    ask = over_http(start(beside, "--allow-metrics=false").http)  # which costs the metrics, and no request
    for number in range(LENGTH):
        for stream in range(2):
            ends = {"start": number == 0, "end": number == LENGTH - 1}
            assert_same(ask(f"s{stream}", videos[stream][number], **ends), expected[stream][number])
    assert isinstance(ask.client, tritonclient.http.InferenceServerClient)
