"""A worker that finds, at its start, that it cannot work."""

import runpod


@runpod.serverless.register_fitness_check
def model_is_there() -> None:
    """Fails."""
    raise RuntimeError("no model é")


runpod.serverless.start({"handler": lambda _job: "never"})
