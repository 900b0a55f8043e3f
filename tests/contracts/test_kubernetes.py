"""The Kubernetes manifests are well-formed, and agree with the images, the settings and the tables."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from app.settings import AppSettings
from deploy import worker_health
from distilled.cli.main import build
from tests.containers import ROOT, SECRETS, compose, dockerfile, kubernetes, pod_of
from workers.settings import WorkerSettings

FOLDER = ROOT / "deploy" / "kubernetes"
BASE, KEDA = kubernetes("base"), kubernetes("keda")
#: The oldest and the newest release that these are checked against.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
#: name of what runs -> the image's target, the service of docker-compose.yml that is the same, and its settings.
RUNS = {
    "distilled-migrate": ("api", "migrate", AppSettings),
    "distilled-api": ("api", "api", AppSettings),
    "distilled-worker-cpu": ("worker", "worker-cpu", WorkerSettings),
    "distilled-worker-gpu": ("worker", "worker-gpu", WorkerSettings),
}


def examples() -> list[dict[str, Any]]:
    return [one for path in FOLDER.rglob("*.example.yaml") for one in yaml.safe_load_all(path.read_text())]


def named(kind: str, name: str, within: list[dict[str, Any]] = BASE) -> dict[str, Any]:
    (found,) = [one for one in within if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def running(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod of this name, and its one container."""
    pod = pod_of(named("Job" if name.endswith("migrate") else "Deployment", name))
    (container,) = pod["containers"]
    return pod, container


def secrets() -> dict[str, dict[str, str]]:
    return {one["metadata"]["name"]: one["stringData"] for one in examples() if one["kind"] == "Secret"}


def variables(container: dict[str, Any]) -> dict[str, str]:
    """What a container's environment is, with the values of the example."""
    given: dict[str, str] = {}
    for source in container["envFrom"]:
        ((kind, reference),) = source.items()
        known = (
            named("ConfigMap", reference["name"])["data"] if kind == "configMapRef" else secrets()[reference["name"]]
        )
        given |= known
    return given | {one["name"]: one["value"] for one in container.get("env", ())}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_kubernetes_know_every_field(version: str) -> None:
    checked = [one for one in (*KEDA, *examples()) if not one["apiVersion"].startswith("keda.sh/")]
    for resource in checked:
        kubernetes_validate.validate(resource, version, strict=True)
    assert {one["kind"] for one in checked} >= {"Deployment", "Job", "Service", "PodDisruptionBudget", "NetworkPolicy"}


def test_every_file_is_part_of_a_kustomization_or_an_example() -> None:
    listed = {
        (path.parent / entry).resolve()
        for path in FOLDER.rglob("kustomization.yaml")
        for entry in yaml.safe_load(path.read_text())["resources"]
    }
    files = {path.resolve() for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert {path for path in files if not path.name.endswith(".example.yaml")} == {p for p in listed if p.is_file()}


def test_nothing_belongs_to_a_namespace_or_to_the_whole_cluster() -> None:
    assert not any("namespace" in one["metadata"] for one in (*KEDA, *examples()))
    assert not {one["kind"] for one in KEDA} & {"ClusterRole", "ClusterRoleBinding", "PersistentVolume", "Namespace"}


@pytest.mark.parametrize("name", RUNS)
def test_it_runs_the_image_and_the_command_of_compose(name: str) -> None:
    target, service, _ = RUNS[name]
    _, container = running(name)
    described = compose(SECRETS)["services"][service]
    assert container["image"] == described["image"]
    assert container["args"] == described["command"]
    assert "command" not in container, "the image's entry point is the command line"
    group: Any = typer.main.get_command(build())
    with group.make_context("distilled", [], resilient_parsing=True) as context:
        found, command, rest = group.resolve_command(context, list(container["args"]))
        command.make_context(found, rest)
    assert {mount["mountPath"] for mount in container["volumeMounts"]} <= {
        "/tmp",
        dockerfile()[target].environment()["DISTILLED_HOME"],
    }


@pytest.mark.parametrize("name", RUNS)
def test_the_settings_know_every_variable_and_get_the_three_addresses(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, service, settings = RUNS[name]
    _, container = running(name)
    given = variables(container)
    ours = {variable for variable in given if variable.startswith("DISTILLED_")}
    assert ours <= {f"DISTILLED_{field}".upper() for field in settings.model_fields}
    assert given.keys() >= compose(SECRETS)["services"][service]["environment"].keys(), "what Compose says is said here"
    assert ("DISTILLED_API_KEY" in given) == (name == "distilled-api"), "a secret goes only where it is needed"
    for variable, value in {**dockerfile()[target].environment(), **given}.items():
        if variable.startswith("DISTILLED_"):
            monkeypatch.setenv(variable, value)
    read = settings()
    assert read.database_url.startswith("postgresql://")
    assert read.broker_url.startswith("rediss://")
    assert read.store_url.startswith("s3://")


@pytest.mark.parametrize("name", RUNS)
def test_a_pod_may_do_nothing_but_its_work(name: str) -> None:
    pod, container = running(name)
    user = int(dockerfile()[RUNS[name][0]].last("USER").split(":")[0])
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == user
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"])


def test_two_front_ends_are_asked_whether_they_answer() -> None:
    deployment = named("Deployment", "distilled-api")
    _, container = running("distilled-api")
    assert deployment["spec"]["replicas"] == 2
    (port,) = container["ports"]
    assert str(port["containerPort"]) == dockerfile()["api"].last("EXPOSE")
    check = dockerfile()["api"].last("HEALTHCHECK")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == port["name"]
        assert f":8000{asked['path']}'" in check
    (service,) = named("Service", "distilled-api")["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    assert named("PodDisruptionBudget", "distilled-api")["spec"]["minAvailable"] == 1
    leaving = (
        container["lifecycle"]["preStop"]["sleep"]["seconds"] + AppSettings.model_fields["shutdown_seconds"].default
    )
    assert running("distilled-api")[0]["terminationGracePeriodSeconds"] > leaving + 10


@pytest.mark.parametrize("name", ["distilled-worker-cpu", "distilled-worker-gpu"])
def test_a_worker_is_asked_what_its_image_is_asked_and_has_time_to_stop(name: str) -> None:
    pod, container = running(name)
    check = json.loads(re.findall(r"\[.*\]", dockerfile()["worker"].last("HEALTHCHECK"))[0])
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == [*check, "--alive"]
    assert (ROOT / Path(*check[2].split("."))).with_suffix(".py") == Path(worker_health.__file__)
    assert pod["terminationGracePeriodSeconds"] >= 30
    described = compose(SECRETS)["services"][name.removeprefix("distilled-")]["environment"]
    assert variables(container)["DISTILLED_DEVICE"] == described["DISTILLED_DEVICE"]
    gpus = container["resources"]["limits"].get("nvidia.com/gpu", 0)
    assert gpus == (1 if name.endswith("gpu") else 0), "a worker has one device"


def test_what_is_named_is_there() -> None:
    known = {(one["kind"], one["metadata"]["name"]) for one in (*KEDA, *examples())}
    for name in RUNS:
        pod, container = running(name)
        for source in container["envFrom"]:
            ((kind, reference),) = source.items()
            assert ({"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]) in known
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    for one in (*KEDA, *examples()):
        match one["kind"]:
            case "PodDisruptionBudget" | "Service" | "NetworkPolicy":
                chosen = one["spec"].get("selector") or one["spec"].get("podSelector")
                assert _chosen(chosen), one["metadata"]["name"]
            case "Ingress":
                ((path,),) = [rule["http"]["paths"] for rule in one["spec"]["rules"]]
                assert ("Service", path["backend"]["service"]["name"]) in known
            case "ScaledObject":
                assert ("Deployment", one["spec"]["scaleTargetRef"]["name"]) in known
            case _:
                pass


def _chosen(selector: dict[str, Any]) -> set[str]:
    """Which of our pods a selector means."""
    labels = selector.get("matchLabels", selector)
    within = {value for rule in selector.get("matchExpressions", ()) for value in rule["values"]}
    wanted = within or {labels["app.kubernetes.io/name"]}
    assert wanted <= RUNS.keys()
    return wanted


def test_keda_is_told_what_it_knows() -> None:
    """By hand: its schema is in no package. https://keda.sh/docs/latest/reference/scaledobject-spec"""
    (authentication,) = [one for one in KEDA if one["kind"] == "TriggerAuthentication"]
    (told,) = authentication["spec"]["secretTargetRef"]
    assert told["parameter"] == "connection"
    assert told["key"] in secrets()[told["name"]]
    scaled = {one["metadata"]["name"]: one for one in KEDA if one["kind"] == "ScaledObject"}
    assert scaled.keys() == {"distilled-worker-cpu", "distilled-worker-gpu"}
    for one in scaled.values():
        assert one["apiVersion"] == authentication["apiVersion"] == "keda.sh/v1alpha1"
        spec = one["spec"]
        assert spec.keys() == {
            "scaleTargetRef",
            "minReplicaCount",
            "maxReplicaCount",
            "pollingInterval",
            "cooldownPeriod",
            "advanced",
            "triggers",
        }
        assert spec["minReplicaCount"] < spec["maxReplicaCount"]
        assert "replicas" not in named("Deployment", spec["scaleTargetRef"]["name"])["spec"], "KEDA's alone"
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "postgresql"
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
        assert trigger["metadata"].keys() == {"query", "targetQueryValue"}
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes text alone"
        autoscaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "keda-hpa"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": spec["scaleTargetRef"]["name"]},
                "maxReplicas": spec["maxReplicaCount"],
                "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            },
        }
        kubernetes_validate.validate(autoscaler, VERSIONS[-1], strict=True)
