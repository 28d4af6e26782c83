"""Whether a model on a Triton server is alive, by asking it for a result.

    python -m vpp_deploy.serving.triton.probe http://127.0.0.1:8000 vpp

A server whose Python process for a model has died answers every request with an error and says that it is healthy. The
exit status is 0 for a model that answers, also where it is too busy for one more stream, and 1 for any other.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any, Final

from PIL import Image

_SECONDS: Final = 10.0
_BUSY: Final = 503


def probe(url: str, model: str, seconds: float = _SECONDS) -> str | None:
    """Ask a model about a small grey picture, as a sequence of one frame.

    Args:
        url: of the server's HTTP service.
        model: its name.
        seconds: to wait for the answer.

    Returns:
        What is wrong, in one line; None if it is alive.
    """
    try:
        batched = bool(_ask(f"{url}/v2/models/{model}/config", None, {}, seconds).get("max_batch_size"))
        body, header = _request(batched)
        answer = _ask(f"{url}/v2/models/{model}/infer", body, header, seconds)
        json.loads(answer["outputs"][0]["data"][0])
    except urllib.error.HTTPError as error:
        text = " ".join(error.read(2000).decode(errors="replace").split())
        return None if error.code == _BUSY else f"{model} at {url} answers {error.code}: {text}"
    except (OSError, ValueError, LookupError, TypeError) as error:  # no answer, or none of such a model
        return f"{model} at {url} does not answer: {error}"
    return None


def _ask(url: str, body: bytes | None, headers: dict[str, str], seconds: float) -> Any:
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.load(answer)


def _request(batched: bool) -> tuple[bytes, dict[str, str]]:
    """An inference request with its tensor behind the JSON, and the header that says where the JSON ends."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (128, 128, 128)).save(file, "JPEG")
    tensor = len(file.getvalue()).to_bytes(4, "little") + file.getvalue()
    sequence = {"sequence_id": f"probe-{os.urandom(8).hex()}", "sequence_start": True, "sequence_end": True}
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "JPEG",
                    "shape": [1, 1] if batched else [1],
                    "datatype": "BYTES",
                    "parameters": {"binary_data_size": len(tensor)},
                }
            ],
            "outputs": [{"name": "RESULT", "parameters": {"binary_data": False}}],
            "parameters": {} if batched else sequence,
        }
    ).encode()
    return head + tensor, {"Inference-Header-Content-Length": str(len(head))}


def main(arguments: list[str] | None = None) -> int:
    """Probe a model, and print what is wrong.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m vpp_deploy.serving.triton.probe", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="to wait for the answer")
    given = parser.parse_args(arguments)
    problem = probe(given.url.rstrip("/"), given.model, given.seconds)
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
