# Tradewind for production: only pinned dependencies, no compiler, no root. PostgreSQL and Redis are servers of their own.
FROM python:3.12-slim-bookworm AS build
WORKDIR /source

# uv at its pinned version and hash, as the Makefile does it
COPY requirements.lock requirements-production.lock ./
RUN awk '/^uv==/ { ours = 1 } ours { print } ours && !/\\$/ { exit }' requirements.lock > uv.txt \
 && pip install --no-cache-dir --require-hashes -r uv.txt

# the dependencies first: this layer stays until the lock changes
RUN uv venv --no-cache /opt/tradewind \
 && uv pip sync --no-cache --compile-bytecode --python /opt/tradewind/bin/python --require-hashes requirements-production.lock

COPY pyproject.toml README.md ./
COPY app app
COPY connectors connectors
COPY recipes recipes
RUN uv build --no-cache --wheel --build-constraints requirements.lock --out-dir /wheels . \
 && uv pip install --no-cache --compile-bytecode --no-deps --python /opt/tradewind/bin/python /wheels/*.whl


FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="Tradewind" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --create-home --home-dir /var/lib/tradewind tradewind
COPY --from=build /opt/tradewind /opt/tradewind
ENV PATH=/opt/tradewind/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TRADEWIND_HOST=0.0.0.0 \
    TRADEWIND_PORT=8000 \
    TRADEWIND_HOME=/var/lib/tradewind
USER 10001:10001
WORKDIR /var/lib/tradewind
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['TRADEWIND_PORT']}/healthz\", timeout=2)"]
CMD ["tradewind", "serve"]
