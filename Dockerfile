# syntax=docker/dockerfile:1
# sertool serve: docker build -t sertool . && docker run --rm -p 127.0.0.1:8000:8000 sertool
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md constraints.txt ./
COPY sertool sertool
COPY data data
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/sertool \
    && /opt/sertool/bin/pip install --extra-index-url https://download.pytorch.org/whl/cpu \
        --constraint constraints.txt '.[serve,onnx]'

FROM python:3.12-slim
COPY --from=build /opt/sertool /opt/sertool
RUN useradd --create-home --uid 10001 sertool
USER 10001
WORKDIR /home/sertool
ENV PATH=/opt/sertool/bin:$PATH
EXPOSE 8000
HEALTHCHECK --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["sertool", "serve", "--host", "0.0.0.0", "--port", "8000"]
