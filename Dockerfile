# MaskLoss without ComfyUI: `maskloss run`, `cluster`, `train`. For CPU and CUDA alike: torch's packages bring CUDA, the
# host its driver (docker run --gpus all). docs/machines.md says how it was tried, and what was not.
#   docker build -t maskloss .
#   docker build -t maskloss --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .    # without CUDA, 5 GB less
#   docker run --rm -v "$PWD:/work" maskloss run prompt.json
# By tag, not by digest: no registry could be asked for one where this was written. nvidia/cuda:13.0.1-base-ubuntu24.04
# does as well where a CUDA base is asked for.
ARG BASE=debian:12-slim
FROM ${BASE}
ARG TORCH_INDEX=
ARG EXTRAS=standalone,ray
COPY . /opt/maskloss
RUN TORCH_INDEX="${TORCH_INDEX}" EXTRAS="${EXTRAS}" /opt/maskloss/docker/install.sh
ENV PATH=/opt/maskloss/.venv/bin:$PATH OMP_WAIT_POLICY=PASSIVE
WORKDIR /work
ENTRYPOINT ["maskloss"]
CMD ["doctor"]
