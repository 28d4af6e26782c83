# vpp-deploy with ONNX Runtime on the processor: infer, live, batch, quantize, inspect, doctor. No PyTorch, no CUDA.
#
#     docker build -t vpp-deploy .
#     docker run --rm --read-only --tmpfs /tmp -v "$PWD:/work" --user "$(id -u):$(id -g)" \
#         vpp-deploy infer small.bundle street.mp4 -o tracked.mp4

FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY vpp_deploy vpp_deploy
RUN pip wheel --no-cache-dir --wheel-dir /wheels ".[cpu,metrics]"

FROM python:3.11-slim
# Nothing is written but to /work and /tmp, so the root may be read-only.
ENV PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/tmp
# hadolint ignore=DL3013 # the version is the one that was just built
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-compile --no-index --find-links /wheels "vpp-deploy[cpu,metrics]" \
    && useradd --uid 10001 --no-create-home vpp
USER 10001
WORKDIR /work
HEALTHCHECK --interval=60s --timeout=20s CMD ["vpp-deploy", "doctor", "--json"]
ENTRYPOINT ["vpp-deploy"]
CMD ["--help"]
