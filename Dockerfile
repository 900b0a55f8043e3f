# Two images from one recipe: `api` (front end, registry, migrations; nothing of `workers/`) and `worker`.
#
#   docker build --target api    --tag distilled-api:0.1.0 .
#   docker build --target worker --tag distilled-worker:0.1.0-cuda .
#   docker build --target worker --tag distilled-worker:0.1.0-cpu --build-arg TORCH_INDEX=... .
#
# TORCH_INDEX: the package index of PyTorch's CPU builds, for images without CUDA; without it the default index, whose
# build runs on both and is some 4 GiB larger.
#
# Every Python package has the version that the tests ran with (constraints.txt).

FROM python:3.11.15-slim-bookworm AS base
ENV DISTILLED_HOME=/var/lib/distilled \
    HOME=/var/lib/distilled \
    PATH=/opt/venv/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# All that the service writes to: a new volume takes its owner and its mode from the folder that it covers.
RUN groupadd --gid 10001 distilled \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/distilled --shell /usr/sbin/nologin distilled \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/distilled /var/lib/distilled/data
WORKDIR /srv/distilled

# Packages alone, so that they are built again only when their versions change: the code is an empty stand-in here, and
# "editable" makes the real code be found in its place later.
FROM base AS packages
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/venv \
 && mkdir distilled && touch distilled/__init__.py

# torch first and by itself: the index that has its CPU build has not all of what it needs in the versions we want.
FROM packages AS api-packages
ARG TORCH_INDEX
RUN pip install --constraint constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
 && pip install --constraint constraints.txt --editable ".[api]"

FROM packages AS worker-packages
ARG TORCH_INDEX
RUN pip install --constraint constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision \
 && pip install --constraint constraints.txt --editable ".[service]"

FROM base AS api
COPY --from=api-packages /opt/venv /opt/venv
COPY migrations/ migrations/
COPY registry/ registry/
COPY distilled/ distilled/
COPY app/ app/
# Listening to other containers needs a key: without DISTILLED_API_KEY it says so and ends.
ENV DISTILLED_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
VOLUME /var/lib/distilled
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["distilled"]
CMD ["api"]

FROM base AS worker
COPY --from=worker-packages /opt/venv /opt/venv
COPY deploy/worker_health.py deploy/worker_health.py
COPY migrations/ migrations/
COPY registry/ registry/
COPY distilled/ distilled/
COPY workers/ workers/
USER 10001:10001
VOLUME /var/lib/distilled
# A worker answers no calls; it is well while the registry hears from it.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-m", "deploy.worker_health"]
ENTRYPOINT ["distilled"]
CMD ["worker"]
