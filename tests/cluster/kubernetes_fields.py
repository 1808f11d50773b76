"""The fields of KubeRay and Prometheus that the manifests in cluster/ may use or must have."""

from __future__ import annotations

from typing import Any

# The schemas of the CRDs of KubeRay 1.6 and of Prometheus, as far as the manifests use them: for
# each object, its required fields and the optional fields in use, with their types. Before a
# manifest uses another field, add it here from the schema. Objects of Kubernetes itself are plain
# dicts here; the tests check them against the schemas of Kubernetes.
RAY_CLUSTER: dict[str, Any] = {
    "rayVersion": str,
    "authOptions": {"mode": str, "secretName": str},
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {"idleTimeoutSeconds": int, "resources": dict, "securityContext": dict},
    "!headGroupSpec": {"serviceType": str, "rayStartParams": dict, "!template": dict},
    "workerGroupSpecs": [
        {
            "!groupName": str,
            "replicas": int,
            "!minReplicas": int,
            "!maxReplicas": int,
            "rayStartParams": dict,
            "!template": dict,
        }
    ],
}
RAY_JOB: dict[str, Any] = {
    "entrypoint": str,
    "entrypointResources": str,
    "submissionMode": str,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "rayClusterSpec": RAY_CLUSTER,
}
POD_MONITOR: dict[str, Any] = {
    "!selector": {"matchLabels": dict},
    "podMetricsEndpoints": [{"port": str, "interval": str}],
}
KINDS = {
    ("ray.io/v1", "RayCluster"): RAY_CLUSTER,
    ("ray.io/v1", "RayJob"): RAY_JOB,
    ("monitoring.coreos.com/v1", "PodMonitor"): POD_MONITOR,
}


def check(value: Any, schema: Any, at: str) -> None:
    """Compare a value with a schema of types, dicts, and lists with one item.

    `!` marks a required field.
    """
    if isinstance(schema, type):
        assert type(value) is schema, at
    elif isinstance(schema, list):
        assert isinstance(value, list), at
        for number, item in enumerate(value):
            check(item, schema[0], f"{at}[{number}]")
    else:
        fields = {name.lstrip("!"): inner for name, inner in schema.items()}
        required = {name[1:] for name in schema if name.startswith("!")}
        assert value.keys() <= fields.keys(), at
        assert required <= value.keys(), at
        for name, inner in value.items():
            check(inner, fields[name], f"{at}.{name}")
