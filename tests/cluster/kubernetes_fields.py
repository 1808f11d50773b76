"""The fields of Kubernetes and KubeRay that the manifests in cluster/ use, and which of them are required."""

from __future__ import annotations

from typing import Any

# What KubeRay's CRDs (1.6) and Kubernetes' own schema demand: for each object, its required fields, and what they and
# the optional ones used here are. A name that is not here is not in the schema, or not looked up yet.
QUANTITIES = {"cpu", "memory"}
RESOURCES: dict[str, Any] = {"requests": QUANTITIES, "limits": QUANTITIES}
SECURITY: dict[str, Any] = {"allowPrivilegeEscalation": bool, "capabilities": {"drop": [str]}}
PROBE: dict[str, Any] = {
    "!httpGet": {"path": str, "!port": int},
    "periodSeconds": int,
    "timeoutSeconds": int,
    "failureThreshold": int,
}
POD: dict[str, Any] = {
    "metadata": {"labels": dict},
    "!spec": {
        "securityContext": {
            "runAsNonRoot": bool,
            "runAsUser": int,
            "runAsGroup": int,
            "fsGroup": int,
            "seccompProfile": {"!type": str},
        },
        "automountServiceAccountToken": bool,
        "restartPolicy": str,
        "!containers": [
            {
                "!name": str,
                "image": str,
                "ports": [{"name": str, "!containerPort": int}],
                "resources": RESOURCES,
                "securityContext": SECURITY,
                "startupProbe": PROBE,
                "livenessProbe": PROBE,
                "readinessProbe": PROBE,
                "volumeMounts": [{"!name": str, "!mountPath": str, "readOnly": bool}],
            }
        ],
        "volumes": [
            {
                "!name": str,
                "emptyDir": {"medium": str, "sizeLimit": str},
                "persistentVolumeClaim": {"!claimName": str, "readOnly": bool},
                "configMap": {"name": str, "optional": bool},
            }
        ],
    },
}
RAY_CLUSTER: dict[str, Any] = {
    "rayVersion": str,
    "authOptions": {"mode": str, "secretName": str},
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {
        "idleTimeoutSeconds": int,
        "resources": RESOURCES,
        "securityContext": SECURITY,
    },
    "!headGroupSpec": {"serviceType": str, "rayStartParams": dict, "!template": POD},
    "workerGroupSpecs": [
        {
            "!groupName": str,
            "replicas": int,
            "!minReplicas": int,
            "!maxReplicas": int,
            "rayStartParams": dict,
            "!template": POD,
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
LABELS = {"matchLabels": dict}
NETWORK_POLICY: dict[str, Any] = {
    "!podSelector": LABELS,
    "policyTypes": [str],
    "ingress": [
        {
            "from": [{"podSelector": LABELS, "namespaceSelector": dict}],
            "ports": [{"port": int}],
        }
    ],
}
POD_MONITOR: dict[str, Any] = {
    "!selector": LABELS,
    "podMetricsEndpoints": [{"port": str, "interval": str}],
}
KINDS = {
    ("ray.io/v1", "RayCluster"): RAY_CLUSTER,
    ("ray.io/v1", "RayJob"): RAY_JOB,
    ("networking.k8s.io/v1", "NetworkPolicy"): NETWORK_POLICY,
    ("monitoring.coreos.com/v1", "PodMonitor"): POD_MONITOR,
}


def check(value: Any, schema: Any, at: str) -> None:
    """Compare a value with a schema of dicts, lists of one, sets of keys and types; `!` marks what is required."""
    if isinstance(schema, type):
        assert type(value) is schema, at
    elif isinstance(schema, list):
        assert isinstance(value, list), at
        for number, item in enumerate(value):
            check(item, schema[0], f"{at}[{number}]")
    elif isinstance(schema, set):
        assert value.keys() == schema, at
    else:
        fields = {name.lstrip("!"): inner for name, inner in schema.items()}
        required = {name[1:] for name in schema if name.startswith("!")}
        assert value.keys() <= fields.keys(), at
        assert required <= value.keys(), at
        for name, inner in value.items():
            check(inner, fields[name], f"{at}.{name}")
