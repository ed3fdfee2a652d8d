#!/bin/sh
# The steps of the Dockerfile, for a Debian 12 root with nothing in it: also run by hand in a chroot.
#   TORCH_INDEX   where torch comes from, such as https://download.pytorch.org/whl/cpu (default: PyPI, with CUDA)
#   EXTRAS        what is installed beside (default: standalone,ray)
set -eu
cd "$(dirname "$0")/.."
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
apt-get update -q
# OpenCV needs libgl1 and libglib2.0-0; npm fetches bundled models.
apt-get install -qy --no-install-recommends \
    ca-certificates python3 python3-venv npm libgl1 libglib2.0-0
rm -rf /var/lib/apt/lists/*
python3 -m venv .venv
if [ -n "${TORCH_INDEX:-}" ]; then
    .venv/bin/python -m pip install -q torch==2.11.0 torchvision==0.26.0 --index-url "$TORCH_INDEX"
fi
.venv/bin/python -m pip install -q --editable ".[${EXTRAS:-standalone,ray}]"
.venv/bin/maskloss models --install
.venv/bin/maskloss doctor
