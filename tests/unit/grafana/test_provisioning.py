"""What Grafana and Docker are given fits together with the rest."""

import re

import yaml

from tests.support.dashboards import dashboards
from tests.support.prometheus import ROOT, SHIPPED

GRAFANA = ROOT / "grafana"
DATASOURCES = GRAFANA / "provisioning/datasources/prometheus.yaml"
PROVIDERS = GRAFANA / "provisioning/dashboards/mlxd.yaml"
COMPOSE = yaml.safe_load((GRAFANA / "compose.yaml").read_text())
PROMETHEUS = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())


def variables(text):
    return set(re.findall(r"^[^#\n]*: \$(\w+)$", text, flags=re.MULTILINE))


def test_every_variable_of_the_provisioning_is_explained_and_set():
    needed = variables(DATASOURCES.read_text()) | variables(PROVIDERS.read_text())
    assert needed == {"PROMETHEUS_URL", "MLXD_DASHBOARDS"}
    assert needed <= set(COMPOSE["services"]["grafana"]["environment"])
    assert all(f"{name}=" in (GRAFANA / "README.md").read_text() for name in needed)


def test_the_data_source_knows_how_often_prometheus_scrapes():
    (datasource,) = yaml.safe_load(DATASOURCES.read_text())["datasources"]
    assert datasource["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]


def test_prometheus_in_docker_is_like_the_one_outside_but_for_where_it_finds_mlxd():
    inside = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    for one in (inside, PROMETHEUS):
        assert one["scrape_configs"][0].pop("static_configs")[0]["targets"][0].endswith(":9464")
    assert inside == PROMETHEUS


def test_the_job_is_one_that_the_dashboards_find():
    job = next(variable for variable in dashboards()[0]["templating"]["list"] if variable["name"] == "job")
    pattern = re.search(r'job=~"([^"]+)"', job["query"]["query"])[1]
    assert re.fullmatch(pattern, PROMETHEUS["scrape_configs"][0]["job_name"])


def test_everything_docker_mounts_is_there():
    mounted = [volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service["volumes"]]
    assert all((GRAFANA / path).exists() for path in mounted if path.startswith("."))
