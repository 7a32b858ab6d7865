# mv2mae with torch for CPUs, or for NVIDIA GPUs:
#   docker build -t mv2mae .
#   docker build -t mv2mae:cuda --build-arg TORCH=cu130 .      # any index of https://download.pytorch.org/whl
#   docker run --rm -v "$PWD:/work" mv2mae pretrain --data manifest.parquet --run runs/pretrain
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/work" mv2mae:cuda evaluate runs/finetune
# Files are written as the user 1000; another: docker run --user "$(id -u):$(id -g)". The viewer listens on this machine
# alone: docker run --network host mv2mae view runs/pretrain.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheel .

FROM python:3.12-slim
ARG TORCH=cpu
ARG EXTRAS=viewer,hub,onnx
# torch first, in a layer of its own: it is the largest part and changes least. Its own index alone is asked for it.
RUN pip install --no-cache-dir torch --index-url "https://download.pytorch.org/whl/${TORCH}"
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheel /tmp/wheel
RUN grep -v '^torch==' /tmp/constraints.txt > /tmp/tested.txt \
 && wheel="$(ls /tmp/wheel/*.whl)" \
 && pip install --no-cache-dir --constraint /tmp/tested.txt "mv2mae[${EXTRAS}] @ file://${wheel}" \
 && rm -r /tmp/wheel /tmp/constraints.txt /tmp/tested.txt \
 && useradd --create-home --uid 1000 mv2mae \
 && install --directory --owner=mv2mae --mode=1777 /work
ENV MPLBACKEND=Agg MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1
USER mv2mae
WORKDIR /work
ENTRYPOINT ["mv2mae"]
CMD ["--help"]
