"""What a person is told when a stand-in serves an endpoint of the local RunPod.

Owns the words. Which images have one, and what it does, is `emulator/workers/images.py`'s.
"""

from __future__ import annotations


def what_it_does(image: str) -> str | None:
    """Return one sentence on the stand-in for an image; None if it has none.

    Args:
        image: As the template names it.
    """
    # Only for --local: others do not need the local RunPod's modules.
    from runpodctl_py.emulator.workers.images import stand_in

    does = stand_in(image)
    if does is None:
        return None
    return f"On the local RunPod a stand-in serves it, without the model: it {does}."


def how_to_have_the_real_one(endpoint_name: str) -> tuple[str, ...]:
    """Return how the real worker runs on the local RunPod instead, line by line.

    Args:
        endpoint_name: The endpoint that it should serve.
    """
    serve = f"local up --handler FILE --endpoint {endpoint_name} --python ENV/bin/python"
    return (
        "The real worker instead, with docker or podman:",
        "  runpodctl-py local up --containers",
        "or with its packages in an environment ENV:",
        f"  runpodctl-py {serve}",
    )
