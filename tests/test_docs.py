"""The documentation: its picture and the files that it tells people to use."""

import sys
from pathlib import Path

import pytest
import yaml
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import drawing  # noqa: E402

DEPLOY = ROOT / "examples" / "deploy"


def test_the_picture_of_the_floors_shows_every_package_and_no_circle():
    svg = drawing.svg()

    for name in ("cli", "orchestration", "pipeline", "warehouse", "models", "pdf", "records"):
        assert f">{name}</text>" in svg


def test_a_circle_of_imports_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"circle: (one -> two -> one|two -> one -> two)"):
        drawing.floors({"one": {"two"}, "two": {"one"}})


def test_the_instance_for_containers_differs_from_the_installed_one_in_its_storage_alone():
    installed = ROOT / "dagster.yaml"
    ours = yaml.safe_load(installed.read_text())
    deployed = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())

    assert set(deployed.pop("storage")) == {"postgres"}
    assert deployed == ours


def test_the_storage_for_containers_names_a_driver_that_its_package_brings():
    storage = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["storage"]["postgres"]
    storage["postgres_db"]["password"] = str(DEPLOY)

    engine = create_engine(pg_url_from_config(storage))

    assert engine.driver == "psycopg2"


def test_every_service_of_the_compose_file_names_what_exists():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    dockerfile = (DEPLOY / "Dockerfile").read_text()

    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or source.startswith("${")
        for other in service.get("depends_on", ()):
            assert other in compose["services"]
        if build := service.get("build"):
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    for line in dockerfile.splitlines():
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line
