"""The environment variables that point RunPod's official clients at a local RunPod.

The one list of them: for the command line, and for whoever tests (API reference 6).
"""

from __future__ import annotations

REPLAY_TOKEN = "rpa_local_replay"  # noqa: S105 - any key will do.
"""What clients of a replay are given for a key, because some need one."""


def client_variables(url: str, token: str) -> dict[str, str]:
    """Returns what the official clients read to find a RunPod and to be let in (6).

    Those of APIs that are not emulated are left out, above all REST v1's: `RUNPOD_API_URL`,
    `RUNPOD_REST_API_URL`, and `RUNPOD_BASE_URL`, which is its root for the Terraform provider.

    Args:
        url: Where the local RunPod answers, without a slash at the end.
        token: The API key it accepts.
    """
    graphql, v2 = f"{url}/graphql", f"{url}/v2"
    return {
        "RUNPOD_API_KEY": token,
        "RUNPOD_API_BASE_URL": url,
        "RUNPOD_ENDPOINT_BASE_URL": v2,
        "RUNPOD_GRAPHQL_URL": graphql,
        "RUNPOD_PUBLIC_GRAPHQL_URL": graphql,
        "RUNPOD_AUTHED_GRAPHQL_URL": graphql,
        "RUNPOD_REST_V2_URL": v2,
        "RUNPOD_REST_V2_API_URL": v2,
        "RUNPOD_INVOKE_URL": v2,
        "RUNPOD_SERVERLESS_API_URL": v2,
        # Flash would warn that its other hosts are still RunPod's.
        "RUNPOD_URL_MIXED_OK": "1",
    }
