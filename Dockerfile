# The gateway: Python, the wheel, onnxruntime and the Triton client. No torch, no compiler, no root.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/r3an
COPY pyproject.toml README.md LICENSE ./
COPY contract ./contract
COPY service ./service
COPY training ./training
RUN /opt/r3an/bin/pip install --no-cache-dir '.[onnxruntime,triton]'

FROM python:3.11.13-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin r3an \
    && install --directory --owner=r3an --group=r3an /var/lib/r3an
COPY --from=build /opt/r3an /opt/r3an
ENV PATH=/opt/r3an/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    R3AN_HOST=0.0.0.0 \
    R3AN_PORT=8080 \
    R3AN_MODEL_REPOSITORY=/model_repository \
    R3AN_GALLERY_DIR=/var/lib/r3an/galleries
USER 10001:10001
WORKDIR /var/lib/r3an
EXPOSE 8080
# Alive, not ready: restarting a gateway does not bring its engine back.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"R3AN_PORT\"]}/health/live', timeout=2)"]
CMD ["r3an-gateway", "serve"]
