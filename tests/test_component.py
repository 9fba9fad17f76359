"""The pipeline in somebody else's Dagster project: by YAML, and by function call."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.defs import jobs
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import Warehouse
from tests.orchestration.bench import FakeGpu, inbox_of, write_pdf

INVOICES = """
type: deepcompress_dagster.PdfTables
attributes:
  inbox: inbox/invoices
  data_dir: "{{ env.INVOICES_DATA }}"
  key_prefix: [invoices]
  group_name: paper
  owners: ["team:accounts"]
  settings:
    dpi: 200
"""

LETTERS = """
type: deepcompress_dagster.PdfTables
attributes:
  inbox: inbox/letters
  data_dir: data/letters
  key_prefix: [letters]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of Dagster's usual form, with nothing in its ``defs`` yet."""
    monkeypatch.syspath_prepend(tmp_path / "src")
    monkeypatch.setenv("INVOICES_DATA", "data/invoices")
    package = tmp_path / "src" / f"somebody_{tmp_path.name.replace('-', '_')}"
    (package / "defs").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(
        "[tool.dg]\ndirectory_type = 'project'\n"
        f"[tool.dg.project]\nroot_module = '{package.name}'\n"
    )
    return package


def load(project: Path, **components: str) -> dg.Definitions:
    for name, text in components.items():
        folder = project / "defs" / name
        folder.mkdir()
        (folder / "defs.yaml").write_text(text)
    return dg.load_from_defs_folder(path_within_project=project)


def test_ten_lines_of_yaml_give_assets_checks_job_and_sensor(project):
    definitions = load(project, pdfs=INVOICES)

    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert set(specs) == {f"invoices/{name}" for name in (*ASSETS, "source_pdfs")}
    assert {spec.group_name for spec in specs.values()} == {"paper"}
    assert list(specs["invoices/text"].owners) == ["team:accounts"]
    assert definitions.resolve_job_def("invoices__parse_documents_job")
    assert definitions.resolve_sensor_def("invoices__new_pdfs")
    data_dir = definitions.resources["invoices__warehouse"].data_dir
    assert data_dir == str(project.parents[1] / "data" / "invoices")


def test_two_instances_live_beside_assets_and_resources_of_the_project_s_own(project):
    pdfs = load(project, invoices=INVOICES, letters=LETTERS)

    @dg.asset(deps=[["invoices", "tables"]], key="pages")
    def own_pages(warehouse: dg.ResourceParam[str]) -> None: ...

    own = dg.Definitions(
        assets=[own_pages],
        resources={"warehouse": "the project's own"},
        executor=dg.multiprocess_executor,
    )
    merged = dg.Definitions.merge(own, pdfs)

    dg.Definitions.validate_loadable(merged)
    assert len(list(merged.resolve_all_asset_specs())) == 2 * (len(ASSETS) + 1) + 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  settings: {dppi: 100}", "there is no dppi"),
        ("  settings: {dpi: 10}", "DEEPCOMPRESS_DPI=10"),
        ("  colour: red", "colour"),
        ("  resource_names: {gpus: x}", "choose from gpu, warehouse"),
    ],
)
def test_what_yaml_gets_wrong_is_said(project, line, message):
    with pytest.raises(Exception, match="letters") as raised:
        load(project, letters=f"{LETTERS}{line}\n").get_repository_def()

    assert message in told(raised.value)


def test_two_instances_with_one_data_folder_are_refused(project):
    with pytest.raises(Exception, match="invoices") as raised:
        load(project, invoices=INVOICES, letters=LETTERS.replace("data/letters", "data/invoices"))

    assert "prefixes ['invoices'] and ['letters']" in told(raised.value)
    assert "give each a folder of its own" in told(raised.value)


def told(error: BaseException | None) -> str:
    """What an error says, and those that it came of."""
    return "" if error is None else f"{error}\n{told(error.__cause__)}"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_a_prefixed_pipeline_materialises_and_is_fresh(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    names = Naming(key_prefix=("inbox", "a"))
    definitions = build_definitions(
        settings, {"gpu": FakeGpu()}, key_prefix=names.key_prefix, executor=None
    )
    inbox_of(settings).mkdir()
    path = write_pdf(inbox_of(settings) / "report.pdf", pages=2)
    warehouse = Warehouse(settings.data_dir)
    (found,) = register_documents(instance, warehouse, [path], names=names)
    assert found.document_id

    result = definitions.resolve_job_def(names.job).execute_in_process(
        instance=instance,
        run_config=jobs.run_config([found.document_id], skip_unchanged=True, names=names),
        tags=jobs.run_tags([found.document_id], [found.document_id]),
    )

    assert result.success
    resolver = CachingStaleStatusResolver(
        instance, definitions.get_repository_def().asset_graph, LoadingContextForTest(instance)
    )
    statuses = {resolver.get_status(key, found.document_id).value for key in names.asset_keys()}
    assert statuses == {"FRESH"}
    assert instance.get_dynamic_partitions("inbox__a__documents") == [found.document_id]


def test_runs_of_other_assets_are_none_of_ours(instance: dg.DagsterInstance, tmp_path: Path):
    names = Naming(key_prefix=("pdfs",))
    for key in (dg.AssetKey("sales"), PLAIN.key("text"), names.key("text")):
        instance.create_run_for_job(
            dg.Definitions(assets=[_asset(key)]).resolve_implicit_global_asset_job_def(),
            status=dg.DagsterRunStatus.STARTED,
            asset_selection=frozenset({key}),
        )

    ours = run_records.unfinished_runs(instance, names)
    reaped = run_records.reap_dead_runs(instance, tmp_path, grace_s=-1, names=names)

    assert [record.dagster_run.asset_selection for record in ours] == [{names.key("text")}]
    assert len(reaped) == 1


def _asset(key: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.asset(key=key)
    def made() -> None: ...

    return made
