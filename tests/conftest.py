"""What tests of several floors share."""

from pathlib import Path

import pytest

from deepcompress_dagster.settings import Settings

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the sample PDFs."""
    return SAMPLES


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh data folder, whatever the environment says; the models' folder stays."""
    return Settings(_env_file=None, data_dir=tmp_path / "data", inbox=tmp_path / "inbox")
