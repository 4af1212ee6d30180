"""What deploy/kubernetes says is what the Hub and its spawner of pods understand; no cluster is asked.

What the chart renders from it is recorded; where VAAS_CHART names a checkout of the chart (its folder ``jupyterhub``,
with the schema as JSON) and helm is there, it is rendered anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from jupyterhub.spawner import SpawnException
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from traitlets.config import Config

from hub_service.cluster_config import configure_in_cluster
from hub_service.clusters import run_kinds
from hub_service.facilities_file import read_facilities
from hub_service.offered import Able, connected
from hub_service.pods import KIND
from hub_service.settings import ROOT, Settings
from hub_service.spawner import AppServers
from vaas.errors import Invalid
from vaas.launching import Environment, Size
from vaas.plans import Plan

FOLDER = ROOT / "deploy" / "kubernetes"
#: The chart's own values and their schema: tests/recorded/README.md says where they are from.
RECORDED = ROOT / "tests" / "recorded" / "zero-to-jupyterhub"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
#: Of what the chart renders, the kinds in which our values are.
KINDS = ("Deployment", "Ingress", "NetworkPolicy", "Service")
#: Of the chart's values, those that this file sets, down to where anything may stand; read in the chart's schema.
CHART = {
    "hub": "image config extraConfig extraFiles extraEnv extraVolumes extraVolumeMounts service networkPolicy "
    "resources",
    "hub.service": "extraPorts",
    "hub.networkPolicy": "ingress egress",
    "proxy": "service chp",
    "proxy.service": "type",
    "proxy.chp": "defaultTarget errorTarget networkPolicy resources",
    "singleuser": "image startTimeout storage cloudMetadata memory cpu networkPolicy",
    "cull": "enabled",
    "scheduling": "userScheduler userPlaceholder",
    "ingress": "enabled hosts tls",
}


def documents(name: str) -> list[dict[str, Any]]:
    """Return what a file of manifests holds."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def environ(folder: Path, **more: str) -> dict[str, str]:
    """Return what the Hub's container is told, without the secrets."""
    told = {name: value for name, value in VALUES["hub"]["extraEnv"].items() if isinstance(value, str)}
    return told | {"VAAS_DATA": str(folder)} | more


def charts(**hub: Any) -> Config:
    """Return a configuration as the chart has made it when it comes to ours: what of it matters here."""
    c = Config()
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    c.JupyterHub.services, c.JupyterHub.load_roles = [], []
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.hub_bind_url = "http://:8081"
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    c.KubeSpawner.image = "registry.example.org/vaas-app:0.1.0"
    c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}
    c.KubeSpawner.volumes, c.KubeSpawner.volume_mounts = {}, {}
    c.KubeSpawner.mem_limit = "8G"
    c.KubeSpawner.automount_service_account_token = True
    # In the place of the site's own, which is not in this environment.
    c.JupyterHub.update(VALUES["hub"]["config"]["JupyterHub"] | {"authenticator_class": "null"} | hub)
    return c


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return the Hub's configuration after the code in the values has run, as the chart runs it."""
    c, said = charts(), environ(tmp_path)
    for source in VALUES["hub"]["extraConfig"].values():
        code = source.replace("os.environ", "environ")
        assert code != source
        exec(code, {"c": c, "environ": said})
    return c


@pytest.fixture
def spawner(config: Config, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes the pods, for an app's account."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    monkeypatch.setattr("kubespawner.spawner.shared_client", lambda _: None)
    made = config.JupyterHub.spawner_class(_mock=True, config=config)
    made.user = SimpleNamespace(name="app-0123456789ab", id=7, url="/user/app-0123456789ab/")
    made.orm_spawner = SimpleNamespace(name="v3", server=None)
    made.hub = SimpleNamespace(public_host="", url="", base_url="/hub/", api_url="http://hub:8081/hub/api")
    return made


@pytest.fixture
async def cluster() -> AsyncIterator[ApiClient]:
    """Return Kubernetes' own client, which has nobody to talk to."""
    async with ApiClient() as client:
        yield client


def understood(cluster: ApiClient, said: object, kind: str) -> Any:
    """Return what Kubernetes' own client keeps of it; it drops what it does not know, and misses what is needed."""
    return cluster.sanitize_for_serialization(cluster.deserialize(SimpleNamespace(data=json.dumps(said)), kind))


async def pod_of(cluster: ApiClient, spawner: Any) -> dict[str, Any]:
    """Return the pod as the cluster is asked for it."""
    return dict(cluster.sanitize_for_serialization(await spawner.get_pod_manifest()))


# ---- the values


def paths(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield the names at each place that the chart knows."""
    for name, value in values.items():
        place = f"{above}{name}"
        if place in CHART:
            yield place, set(value)
            yield from paths(value, f"{place}.")


def test_the_chart_has_a_place_for_each_value() -> None:
    found = dict(paths(VALUES))
    assert set(VALUES) == {name for name in CHART if "." not in name}
    assert found == {name: set(words.split()) for name, words in CHART.items()}


def refused(changed: Mapping[str, Any]) -> list[str]:
    """Return what the chart's schema has against these values on top of its own, as helm asks it."""
    schema = json.loads((RECORDED / "values.schema.json").read_text())
    whole = merged(json.loads((RECORDED / "values.json").read_text()), changed)
    return [error.json_path for error in Draft7Validator(schema).iter_errors(whole)]


def merged(below: Any, above: Any) -> Any:
    """Return values on top of others, as helm puts them."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{name: merged(below.get(name), value) for name, value in above.items()}}


def test_the_charts_schema_takes_them() -> None:
    assert refused(VALUES) == []


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"hub": {"extraFile": {}}}, "$.hub"),
        ({"singleuser": {"startTimeout": "long"}}, "$.singleuser.startTimeout"),
        ({"proxy": {"chp": {"defaultTarget": 8002}}}, "$.proxy.chp.defaultTarget"),
        ({"ingress": {"hosts": "vaas.example.org"}}, "$.ingress.hosts"),
        ({"hub": {"extraFiles": {"facilities": {"path": "/x"}}}}, "$.hub.extraFiles.facilities"),
    ],
)
def test_the_schema_would_notice_a_mistake(wrong: dict[str, Any], place: str) -> None:
    assert place in refused(merged(VALUES, wrong))


def test_secrets_are_named_and_not_written_down() -> None:
    given = {name: value for name, value in VALUES["hub"]["extraEnv"].items() if not isinstance(value, str)}
    assert set(given) == {"VAAS_DATABASE_URL", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"}
    for value in given.values():
        assert set(value) == {"valueFrom"} and set(value["valueFrom"]["secretKeyRef"]) == {"name", "key"}
    kept = next(each["secret"] for each in VALUES["hub"]["extraVolumes"] if "secret" in each)
    assert [item["path"] for item in kept["items"]] == ["seal", "tickets", "cookies"]
    assert "client_secret" not in (FOLDER / "values.yaml").read_text()


def test_the_ports_and_names_are_the_portals(tmp_path: Path) -> None:
    settings = Settings.from_environ(environ(tmp_path))
    (port,) = VALUES["hub"]["service"]["extraPorts"]
    assert port["targetPort"] == port["port"] == settings.portal_port
    assert settings.portal_internal_url == f"http://hub:{settings.portal_port}/services/vaas/"
    assert VALUES["proxy"]["chp"]["defaultTarget"] == settings.portal_address
    assert VALUES["proxy"]["chp"]["errorTarget"] == f"{settings.portal_internal_url}proxy-errors"
    assert VALUES["hub"]["config"]["JupyterHub"]["subdomain_host"] == settings.public_url
    for rules in (VALUES["hub"]["networkPolicy"]["ingress"], VALUES["singleuser"]["networkPolicy"]["egress"]):
        assert [each["port"] for rule in rules for each in rule["ports"]] == [settings.portal_port]
    hosts = VALUES["ingress"]["hosts"]
    assert hosts == VALUES["ingress"]["tls"][0]["hosts"] == [settings.domain, f"*.{settings.domain}"]


# ---- what the cluster understands


async def test_rules_of_the_network_volumes_and_claims_are_what_the_cluster_knows(cluster: ApiClient) -> None:
    known: list[tuple[str, Any]] = [("V1Volume", each) for each in VALUES["hub"]["extraVolumes"]]
    known += [("V1VolumeMount", each) for each in VALUES["hub"]["extraVolumeMounts"]]
    known += [("V1ServicePort", each) for each in VALUES["hub"]["service"]["extraPorts"]]
    known += [("V1NetworkPolicyIngressRule", each) for each in VALUES["hub"]["networkPolicy"]["ingress"]]
    for part in (VALUES["hub"], VALUES["proxy"]["chp"], VALUES["singleuser"]):
        known += [("V1NetworkPolicyEgressRule", each) for each in part["networkPolicy"]["egress"]]
    known += [("V1ResourceRequirements", VALUES["hub"]["resources"])]
    known += [("V1IngressTLS", each) for each in VALUES["ingress"]["tls"]]
    known += [(f"V1{each['kind']}", each) for each in documents("claims.yaml")]
    for kind, said in known:
        assert understood(cluster, said, kind) == said, kind


async def test_the_client_would_notice_a_word_that_there_is_not(cluster: ApiClient) -> None:
    (wrong,) = documents("claims.yaml")
    wrong["spec"]["acessModes"] = wrong["spec"].pop("accessModes")
    assert understood(cluster, wrong, "V1PersistentVolumeClaim") != wrong


# ---- what the Hub understands


def test_each_setting_is_one_that_its_class_has(config: Config) -> None:
    spawner = config.JupyterHub.spawner_class
    assert issubclass(spawner, KubeSpawner) and issubclass(spawner, AppServers)
    classes = {cls.__name__: cls for cls in spawner.__mro__ if hasattr(cls, "class_traits")}
    for name in ("KubeSpawner", "Spawner", "AppServers", "Pods"):
        known = set(classes[name].class_traits(config=True))
        assert set(config[name]) <= known, name


def test_hub_and_proxy_stay_the_charts_and_the_portal_is_beside_the_hub(config: Config) -> None:
    assert config.JupyterHub.hub_bind_url == "http://:8081"
    assert config.JupyterHub.cleanup_servers is False
    assert not {"bind_url", "db_url", "cookie_secret_file"} & set(config.JupyterHub)
    assert "ConfigurableHTTPProxy" not in config
    (portal,) = config.JupyterHub.services
    assert portal["url"] == "http://hub:8002"
    assert portal["environment"]["VAAS_PORTAL_BIND"] == "0.0.0.0"
    assert portal["environment"]["VAAS_LOCAL_APPS"] == "0"
    assert portal["environment"]["VAAS_LAUNCH_KINDS"] == "kubernetes"
    assert config.JupyterHub.subdomain_host == "https://vaas.example.org"
    assert config.JupyterHub.cookie_host_prefix_enabled is True


async def test_an_apps_pod_has_a_sandbox_for_its_kernels_and_nothing_of_the_cluster(
    cluster: ApiClient, spawner: Any
) -> None:
    spawner.cmd = spawner.app_cmd
    spawner.fit()
    pod = await pod_of(cluster, spawner)
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert pod["metadata"]["labels"][KIND] == "app"
    assert (spec["hostUsers"], spec["automountServiceAccountToken"]) == (False, False)
    assert not spec.get("volumes") and not container.get("volumeMounts")
    rights = container["securityContext"]
    assert rights["allowPrivilegeEscalation"] is False and rights["capabilities"] == {"drop": ["ALL"]}
    assert (rights["procMount"], rights["runAsUser"]) == ("Unmasked", 1000)
    assert container["args"] == ["/opt/vaas/app/bin/python", "-m", "vaas.runtime"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    assert told["VAAS_PORTAL_URL"] == "http://hub:8002/services/vaas/"
    assert told["VAAS_SANDBOX"] == "required"
    assert not [name for name in told if name.startswith(("OAUTH", "VAAS_DATABASE"))]
    # The client writes quantities as text.
    for part in ("limits", "requests"):
        container["resources"][part] = {name: str(much) for name, much in container["resources"].get(part, {}).items()}
    assert understood(cluster, pod, "V1Pod") == pod


async def test_a_launchs_pod_has_its_persons_home_and_no_rights(cluster: ApiClient, spawner: Any) -> None:
    spawner.user.name = "ada"
    environment = Environment("big", "Big", "image", "registry.example.org/big:1")
    places: dict[str, Any] = {"home": "ada", "shared": ("everyone", "{x}")}
    spawner.fit()
    spawner.prepare_launch(
        Plan("/user/ada/l1/", 1e12, "k8s", "kubernetes", environment, Size("s", "S", 2, gpus=1), **places)
    )
    pod = await pod_of(cluster, spawner)
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"][KIND] == "launch"
    assert "hostUsers" not in pod["spec"] and pod["spec"]["automountServiceAccountToken"] is False
    assert container["image"] == "registry.example.org/big:1"
    assert container["resources"]["limits"] == {"cpu": 2, "memory": 2_000_000_000, "nvidia.com/gpu": "1"}
    assert {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}}.items() <= container[
        "securityContext"
    ].items()
    assert [(each["mountPath"], each["subPath"], each["readOnly"]) for each in container["volumeMounts"]] == [
        ("/srv/vaas/homes/ada", "homes/ada", False),
        ("/srv/vaas/shared/everyone", "shared/everyone", True),
        ("/srv/vaas/shared/{x}", "shared/{x}", True),
    ]
    assert spawner.order_of(spawner.plan).environment.where == "/opt/vaas/app/bin/python"
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "vaas-data"}
    assert spawner.order_of(spawner.plan).home == "/srv/vaas/homes/ada"


def test_a_pod_takes_no_launch_that_is_for_elsewhere(spawner: Any) -> None:
    plan = Plan("/user/ada/l1/", 1e12, "here", "local", Environment("e", "E", "python", "/p"), Size("s", "S"))
    with pytest.raises(SpawnException, match="run in the cluster here"):
        spawner.prepare_launch(plan)


def test_what_people_can_launch_is_what_the_pods_can_be(tmp_path: Path) -> None:
    (written,) = VALUES["hub"]["extraFiles"].values()
    assert written["mountPath"] == VALUES["hub"]["extraEnv"]["VAAS_FACILITIES"]
    path = tmp_path / "facilities.toml"
    path.write_text(written["stringData"])
    settings = Settings.from_environ(environ(tmp_path))
    offering = read_facilities(path, apps=settings.app_python).offering
    assert connected(offering, Able(frozenset({"kubernetes"}), run_kinds({}))) == offering
    (facility,) = offering.facilities
    assert (facility.kind, facility.interactive, facility.batch) == ("kubernetes", True, False)
    app = VALUES["singleuser"]["image"]
    assert [each.where for each in offering.environments] == [f"{app['name']}:{app['tag']}"]


@pytest.mark.parametrize("named", ["dummy", "jupyterhub.auth.DummyAuthenticator"])
def test_a_cluster_in_which_anybody_could_sign_in_is_refused(named: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="Anybody could sign in"):
        configure_in_cluster(charts(authenticator_class=named), Settings.from_environ(environ(tmp_path)), {})


@pytest.mark.parametrize("name", ["VAAS_PORTAL_INSIDE", "VAAS_PROXY_INSIDE"])
def test_a_portal_that_nobody_would_find_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=name):
        configure_in_cluster(charts(), Settings.from_environ(environ(tmp_path, **{name: ""})), {})


# ---- what the chart makes of it


def digest(values: Mapping[str, Any]) -> str:
    """Return what is another one when the values say something else."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def about_ours(made: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of what the chart renders the parts in which our values are, without what is drawn anew each time."""
    found = [each for each in made if each["kind"] in KINDS]
    for each in found:
        if each["kind"] == "Deployment":
            each["spec"]["template"]["metadata"]["annotations"] = {}
    return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """Return what helm rendered from these very values."""
    said = json.loads((RECORDED / "rendered.json").read_text())
    assert said["of"] == digest(VALUES), "The values have changed: render them again, as tests/recorded/README.md says."
    return list(said["made"])


async def test_the_cluster_knows_each_word_of_what_is_rendered(
    cluster: ApiClient, rendered: list[dict[str, Any]]
) -> None:
    assert {each["kind"] for each in rendered} == set(KINDS)
    for each in rendered:
        kept = understood(cluster, each, f"V1{each['kind']}")
        assert without_nothing(kept) == without_nothing(each), each["metadata"]["name"]


def without_nothing(said: Any) -> Any:
    """Return it without what is empty, and quantities as text: the client writes neither as the chart does."""
    if isinstance(said, Mapping):
        inner = {name: without_nothing(value) for name, value in said.items()}
        return {name: value for name, value in inner.items() if value not in (None, {}, [])}
    if isinstance(said, list):
        return [without_nothing(value) for value in said]
    return str(said) if isinstance(said, int | float) and not isinstance(said, bool) else said


def test_what_is_rendered_holds_the_portal(rendered: list[dict[str, Any]]) -> None:
    named = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in rendered}
    assert 8002 in [port["port"] for port in named["Service", "hub"]["ports"]]
    (hub,) = named["Deployment", "hub"]["template"]["spec"]["containers"]
    told = {each["name"]: each for each in hub["env"]}
    assert told["VAAS_PORTAL_INSIDE"]["value"] == "http://hub:8002"
    assert told["VAAS_DATABASE_URL"]["valueFrom"]["secretKeyRef"] == {"name": "vaas-database", "key": "url"}
    seen = {each["mountPath"] for each in hub["volumeMounts"]}
    assert {"/srv/vaas", "/srv/vaas/secrets", "/usr/local/etc/vaas/facilities.toml"} <= seen
    assert [rule["host"] for rule in named["Ingress", "jupyterhub"]["rules"]] == VALUES["ingress"]["hosts"]
    for name in ("hub", "singleuser"):
        rules = named["NetworkPolicy", name]
        ports = [port["port"] for way in ("ingress", "egress") for rule in rules[way] for port in rule.get("ports", ())]
        assert 8002 in ports, name


@pytest.mark.skipif(
    not (os.environ.get("VAAS_CHART") and shutil.which("helm")), reason="VAAS_CHART names no chart, or there is no helm"
)
def test_the_chart_renders_it() -> None:
    command = ["helm", "template", "vaas", os.environ["VAAS_CHART"], "--kube-version", "1.33.0"]
    done = subprocess.run(
        [*command, "-f", str(FOLDER / "values.yaml")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    made = about_ours(each for each in yaml.safe_load_all(done.stdout) if each)
    said = {"of": digest(VALUES), "made": made}
    if os.environ.get("VAAS_RECORD"):
        (RECORDED / "rendered.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    assert json.loads((RECORDED / "rendered.json").read_text()) == said
