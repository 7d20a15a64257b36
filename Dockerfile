# The bundled worker, one target per task family:
#   docker build --platform linux/amd64 --target chatterbox -t YOU/runpod-worker-chatterbox .
# The families' pinned requirements contradict each other, so each gets an image of its own. All begin
# with the same small base: torch's own wheels bring CUDA, and the driver is the host's.

# What a build without --target makes, such as RunPod's own from GitHub, which cannot name one.
ARG TASK=chatterbox

FROM python:3.11-slim AS base
RUN useradd --create-home --uid 1000 worker
WORKDIR /app
# At DEBUG, its default, the SDK logs whole jobs, the keys of their buckets included.
ENV PYTHONUNBUFFERED=1 \
    RUNPOD_DEBUG_LEVEL=INFO
CMD ["python", "-u", "-m", "worker"]


FROM base AS test
# DejaVu draws the prompts that Pillow's own font, which ends at ASCII, cannot.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
# Before the code: a changed line of ours does not install everything again.
COPY worker/requirements/test.txt requirements.txt
RUN pip install --no-cache-dir --requirement requirements.txt
# The SDK looks for its local test's input in the working directory.
COPY worker/test_inputs/test.json test_input.json
COPY worker worker
# The user below may not write here, and would compile anew at every cold start.
RUN python -m compileall -q worker
ENV WORKER_TASK=test
USER worker


FROM base AS gpu
# What NVIDIA's container runtime gives a container; its own base images say the same.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HF_HUB_DISABLE_TELEMETRY=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    TQDM_DISABLE=1


FROM gpu AS chatterbox-packages
COPY worker/requirements/chatterbox.txt worker/requirements/chatterbox-alone.txt ./
# Its own requirements contradict the SDK's: chatterbox.in says how.
RUN pip install --no-cache-dir --requirement chatterbox.txt \
 && pip install --no-cache-dir --no-deps --requirement chatterbox-alone.txt
ENV PKUSEG_HOME=/opt/pkuseg

# About 3 GB of weights for each of english, multilingual and turbo: separated by spaces.
FROM chatterbox-packages AS chatterbox-weights
ARG CHATTERBOX_VARIANTS=english
ENV HF_HUB_CACHE=/opt/huggingface/hub
COPY worker/__init__.py worker/errors.py worker/weights.py worker/
COPY worker/tasks/chatterbox/sources.py fetch.py
RUN mkdir -p /opt/pkuseg && PYTHONPATH=/app python fetch.py $CHATTERBOX_VARIANTS

# Without weights: they come from a network volume or RunPod's model cache, or are fetched.
FROM chatterbox-packages AS chatterbox-bare
COPY worker/test_inputs/chatterbox.json test_input.json
COPY worker worker
RUN python -m compileall -q worker
ENV WORKER_TASK=chatterbox \
    CHATTERBOX_MODEL=english \
    HF_HUB_CACHE=/runpod-volume/huggingface-cache/hub

# What is in the image is found without asking anybody; a variant that is not there is fetched beside it.
FROM chatterbox-bare AS chatterbox
COPY --from=chatterbox-weights --chown=worker /opt /opt
ENV HF_HUB_CACHE=/opt/huggingface/hub
USER worker


# No weights: 57.7 GB would take longer to build in than RunPod's builder allows. Runs as root, because
# a network volume, where they are kept, belongs to root.
FROM gpu AS qwen-layered
COPY worker/requirements/qwen-layered.txt requirements.txt
RUN pip install --no-cache-dir --requirement requirements.txt
COPY worker/test_inputs/qwen-layered.json test_input.json
COPY worker worker
RUN python -m compileall -q worker
ENV WORKER_TASK=qwen-layered \
    QWEN_PRECISION=auto \
    HF_HUB_CACHE=/runpod-volume/huggingface-cache/hub


FROM ${TASK}
