# The bundled worker, one target per task family:
#   docker build --platform linux/amd64 --target test -t YOU/runpod-worker-test .
# The families' pinned requirements contradict each other, so each gets an image of its own.

FROM python:3.11-slim AS test

# DejaVu draws the prompts that Pillow's own font, which ends at ASCII, cannot.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

RUN useradd --create-home --uid 1000 worker
WORKDIR /app

# Before the code: a changed line of ours does not install everything again.
COPY worker/requirements/test.txt requirements.txt
RUN pip install --no-cache-dir --requirement requirements.txt

# The SDK looks for its local test's input in the working directory.
COPY worker/test_input.json test_input.json
COPY worker worker
# The user below may not write here, and would compile anew at every cold start.
RUN python -m compileall -q worker

# At DEBUG, its default, the SDK logs whole jobs, the keys of their buckets included.
ENV WORKER_TASK=test \
    PYTHONUNBUFFERED=1 \
    RUNPOD_DEBUG_LEVEL=INFO
USER worker
CMD ["python", "-u", "-m", "worker"]
