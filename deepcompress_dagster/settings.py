"""Every knob, once: its name, unit, range and default.

Values come from the environment (``DEEPCOMPRESS_*``), then from ``.env`` in the working directory,
then from the defaults here. The documentation's settings page is made from this module.
"""

import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from deepcompress_dagster import object_store


class Profile(StrEnum):
    """Which set of models serves the four tasks; see models/catalog.py."""

    EMBEDDED = "embedded"
    FULL = "full"


class DType(StrEnum):
    """Number format of the weights; ``auto`` is bfloat16 where the device has it, else float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Attention(StrEnum):
    """Attention implementation that transformers uses."""

    AUTO = "auto"
    SDPA = "sdpa"
    EAGER = "eager"
    FLASH = "flash_attention_2"


class OcrMode(StrEnum):
    """Preset of the text model of the full profile: speed or quality first."""

    SMALL = "small"
    BASE = "base"
    LARGE = "large"


class Attachments(StrEnum):
    """What becomes of the files inside a PDF, which are listed in any case."""

    LIST = "list"
    PARSE = "parse"


class OcrEffort(StrEnum):
    """How much work the embedded text model puts into a line."""

    FAST = "fast"
    BALANCED = "balanced"
    BEST = "best"


class LayoutEffort(StrEnum):
    """Which pages a layout model looks at."""

    BALANCED = "balanced"
    BEST = "best"


class ParseOn(StrEnum):
    """Where parsing runs; see hosts/."""

    PROCESS = "process"
    WARM = "warm"
    RAY = "ray"


class SettingsError(ValueError):
    """A setting is out of range or malformed; the message names the variable and its range."""


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _place(text: str) -> str:
    """A folder as an absolute path, an address of an object store as it is."""
    if not text or object_store.is_address(text):
        return object_store.check_address(text) if text else text
    return str(_absolute(Path(text)))


def _web_address(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise ValueError("a web address begins with https:// or http://")
    return text


Inbox: TypeAlias = Path | str
"""A folder, or the address of a prefix of an object store."""


def split_inboxes(told: "Inbox | Sequence[Inbox]") -> tuple[Inbox, ...]:
    """The inboxes that a text names, as ``PATH`` names folders, or a list of them does.

    The colon of an address, which two slashes follow, divides nothing.
    """
    if isinstance(told, str):
        return tuple(filter(None, re.split(rf"{re.escape(os.pathsep)}(?!//)", told)))
    return (told,) if isinstance(told, Path) else tuple(told)


def _inboxes(told: Any) -> tuple[Inbox, ...]:
    places = [
        object_store.check_address(place)
        if isinstance(place, str) and object_store.is_address(place)
        else _absolute(Path(place))
        for place in split_inboxes(told)
    ]
    if not places or len(places) != len(set(places)):
        raise ValueError("name one folder or address, or several different ones")
    return tuple(places)


def _device(value: str) -> str:
    name = value.lower()
    if name in {"auto", "cpu", "cuda", "mps"} or (name.startswith("cuda:") and name[5:].isdigit()):
        return name
    raise ValueError("must be auto, cpu, mps, cuda or cuda:N")


def _batch(value: Any) -> Any:
    return 0 if isinstance(value, str) and value.lower() == "auto" else value


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
BatchSize = Annotated[int, BeforeValidator(_batch), Field(ge=0, le=64)]
"""1 to 64 items; 0 or ``auto`` is 1 on a CPU and the design's batch on an accelerator."""


def _about(
    unit: str = "",
    *,
    changes: tuple[str, ...] = (),
    launchpad: bool = False,
    tasks: tuple[str, ...] = (),
    option: str = "",
) -> dict[str, Any]:
    """What is said of a setting beside its range.

    Its unit; the assets whose rows it ``changes`` (batch size, device, workers and linger change
    none); whether a run may set it from the ``launchpad``; and the ``tasks`` whose models are
    loaded with it, as the ``option`` of that name, its own where there is no other.
    """
    return {
        "unit": unit,
        "changes": changes,
        "launchpad": launchpad,
        "tasks": tasks,
        "option": option,
    }


_READ = ("text", "tables", "figures")
"""The assets whose rows a generating model may write."""

_GENERATED = ("text", "figure")
"""The tasks that a generating model may serve."""


class Settings(BaseSettings):
    """All settings of the pipeline. Raises SettingsError through ``load_settings``."""

    model_config = SettingsConfigDict(
        env_prefix="DEEPCOMPRESS_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    # Folders
    inbox: Annotated[tuple[Inbox, ...], NoDecode, BeforeValidator(_inboxes)] = Field(
        ("inbox",),
        description="Folder watched for documents, read recursively; files stay there. Also"
        " s3://BUCKET/PREFIX, gs:// or az://; several stand side by side with a colon between.",
    )
    data_dir: AbsolutePath = Field(
        Path("data"),
        description="Warehouse, snapshots, kept PDFs, images and Dagster's home; on a local disk.",
    )
    min_free_mb: int = Field(
        500,
        ge=0,
        le=1_000_000,
        description="Room on the disk of the data folder that is left free: below, runs stop and"
        " the sensor waits.",
        json_schema_extra=_about("MB"),
    )
    models_dir: AbsolutePath = Field(
        Path("~/.cache/deepcompress/models"), description="Where weights are stored."
    )

    # Encrypted PDFs
    passwords_file: AbsolutePath | None = Field(
        None,
        description="Text file of passwords, `file name or pattern = password` on each line;"
        " all that match are tried, in order.",
    )
    password: SecretStr | None = Field(
        None, description="Password that is tried on every encrypted PDF, after those of the file."
    )

    # Models
    profile: Profile = Field(
        Profile.EMBEDDED,
        description="embedded: offline, CPU. full: transformer models, GPU.",
        json_schema_extra=_about(launchpad=True),
    )
    layout: str | None = Field(
        None,
        description="Layout model: a catalog name, a hub id or a folder. Empty: the profile's.",
    )
    text: str | None = Field(None, description="Text model, named in the same way.")
    table: str | None = Field(None, description="Table model, named in the same way.")
    figure: str | None = Field(None, description="Figure model, named in the same way.")
    device: Annotated[str, AfterValidator(_device)] = Field(
        "auto",
        description="auto, cpu, mps, cuda or cuda:N; auto takes cuda, then mps, then cpu.",
        json_schema_extra=_about(launchpad=True),
    )
    dtype: DType = Field(
        DType.AUTO,
        description="Number format of the weights.",
        json_schema_extra=_about(launchpad=True),
    )
    attention: Attention = Field(
        Attention.AUTO,
        description="Attention implementation.",
        json_schema_extra=_about(launchpad=True, tasks=("layout", "text", "table", "figure")),
    )
    ocr_mode: OcrMode = Field(
        OcrMode.BASE,
        description="Text model of the full profile. small: PP-OCRv6. base: GOT-OCR2. "
        "large: GOT-OCR2 with markup.",
        json_schema_extra=_about(changes=_READ, launchpad=True, tasks=("text",)),
    )
    tessdata: AbsolutePath | None = Field(
        None,
        description="Folder of Tesseract's language data, for scans in scripts that PP-OCR does not"
        " read. Empty: the system's.",
        json_schema_extra=_about(tasks=("text",)),
    )
    ocr_effort: OcrEffort = Field(
        OcrEffort.BALANCED,
        description="Embedded text model. fast: tiny reads all. balanced: small reads again what"
        " tiny is unsure of. best: small reads all.",
        json_schema_extra=_about(changes=_READ, launchpad=True, tasks=("text",), option="effort"),
    )
    layout_effort: LayoutEffort = Field(
        LayoutEffort.BALANCED,
        description="balanced: no layout model sees a page whose text layer alone tells its"
        " paragraphs. best: it sees every page.",
        json_schema_extra=_about(changes=("layouts",), launchpad=True),
    )
    gpu_memory_fraction: float = Field(
        0.9,
        ge=0.1,
        le=1.0,
        description="Share of the accelerator's memory that loaded models and batches may take.",
        json_schema_extra=_about("share", launchpad=True),
    )
    allow_download: bool = Field(
        False, description="Let a run fetch a missing hub checkpoint instead of failing."
    )

    # Where parsing runs
    parse_on: ParseOn = Field(
        ParseOn.PROCESS,
        description="process: in each run's own process. warm: in a process beside the runs that"
        " keeps models loaded. ray: on a Ray cluster.",
        json_schema_extra=_about(launchpad=True),
    )
    warm_idle_s: float = Field(
        900.0,
        ge=1,
        le=604_800,
        description="Time after which a warm process or Ray actor that no run uses gives its models"
        " back.",
        json_schema_extra=_about("s"),
    )

    ray_address: str = Field(
        "auto",
        description="The Ray cluster, as host:port of its head; auto: the one that `ray start`"
        " started on this machine, or RAY_ADDRESS.",
    )
    ray_actors: int = Field(
        0,
        ge=0,
        le=1024,
        description="Actors that parse on the cluster, each with its own models; 0: as many as it"
        " has room for.",
        json_schema_extra=_about("actors, 0 = auto", launchpad=True),
    )
    ray_gpus_per_actor: float = Field(
        0.0,
        ge=0.0,
        le=16.0,
        description="GPUs that an actor takes; less than 1 lets actors share one.",
        json_schema_extra=_about("GPUs"),
    )
    ray_cpus_per_actor: float = Field(
        1.0,
        ge=0.01,
        le=256.0,
        description="CPU cores that an actor takes.",
        json_schema_extra=_about("cores"),
    )

    # Microbatches
    layout_batch_size: BatchSize = Field(
        0,
        description="Pages per layout batch.",
        json_schema_extra=_about("pages, 0 = auto", launchpad=True),
    )
    ocr_batch_size: BatchSize = Field(
        0,
        description="Regions per text batch.",
        json_schema_extra=_about("regions, 0 = auto", launchpad=True),
    )
    table_batch_size: BatchSize = Field(
        0,
        description="Tables per table batch.",
        json_schema_extra=_about("tables, 0 = auto", launchpad=True),
    )
    figure_batch_size: BatchSize = Field(
        0,
        description="Figures per figure batch.",
        json_schema_extra=_about("figures, 0 = auto", launchpad=True),
    )
    adaptive: bool = Field(
        False,
        description="Choose batch sizes by free accelerator memory and page count.",
        json_schema_extra=_about(launchpad=True),
    )
    linger_ms: int = Field(
        50,
        ge=0,
        le=5000,
        description="Longest wait of an item for a fuller batch.",
        json_schema_extra=_about("ms"),
    )
    stream_memory_mb: int = Field(
        0,
        ge=0,
        le=65536,
        description="Memory for the pixels of pages in flight; 0 chooses by device.",
        json_schema_extra=_about("MB, 0 = auto"),
    )
    cpu_cores: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU cores that rendering and reading may keep busy; 0: all that there are.",
        json_schema_extra=_about("cores, 0 = auto"),
    )
    model_threads: int = Field(
        0,
        ge=0,
        le=64,
        description="CPU threads of one model call; 0 is 1.",
        json_schema_extra=_about(
            "threads, 0 = auto", tasks=("orientation", "layout", "text", "table"), option="threads"
        ),
    )

    # Decoding
    max_new_tokens: int = Field(
        1024,
        ge=1,
        le=8192,
        description="Longest text a generating model may write for one region.",
        json_schema_extra=_about("tokens", changes=_READ, launchpad=True, tasks=_GENERATED),
    )
    repetition_penalty: float = Field(
        1.0,
        ge=1.0,
        le=2.0,
        description="Penalty on repeated tokens; 1 is none.",
        json_schema_extra=_about(changes=_READ, launchpad=True, tasks=_GENERATED),
    )
    temperature: float = Field(
        0.0,
        ge=0.0,
        le=2.0,
        description="Sampling temperature; 0 decodes greedily.",
        json_schema_extra=_about(changes=_READ, launchpad=True, tasks=_GENERATED),
    )

    # Rendering
    dpi: int = Field(
        144,
        ge=72,
        le=600,
        description="Resolution at which pages are rendered for the models.",
        json_schema_extra=_about("dots per inch", changes=("pages",)),
    )
    max_page_pixels: int = Field(
        40_000_000,
        ge=1_000_000,
        le=400_000_000,
        description="A larger page is rendered at a lower resolution.",
        json_schema_extra=_about("pixels", changes=("pages",)),
    )
    render_workers: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes that render pages; 0 chooses by CPU count.",
        json_schema_extra=_about("processes, 0 = auto"),
    )
    page_timeout_s: float = Field(
        60.0,
        ge=0.1,
        le=3600,
        description="A page that renders longer is given up and its worker killed.",
        json_schema_extra=_about("s"),
    )
    document_timeout_s: float = Field(
        600.0,
        ge=1,
        le=86400,
        description="Time that pages of a document may take without a result, in all; then the"
        " others are given up.",
        json_schema_extra=_about("s"),
    )
    model_timeout_s: float = Field(
        600.0,
        ge=1,
        le=86400,
        description="A model call that takes longer fails the run, which resumes from its pages.",
        json_schema_extra=_about("s", tasks=_GENERATED, option="time_limit_s"),
    )
    worker_memory_mb: int = Field(
        2048,
        ge=256,
        le=65536,
        description="Memory that a render worker may take (Linux).",
        json_schema_extra=_about("MB"),
    )
    worker_max_pages: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Pages after which a render worker is replaced.",
        json_schema_extra=_about("pages"),
    )
    max_pages: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="A document with more pages is refused.",
        json_schema_extra=_about("pages"),
    )
    jpeg_quality: int = Field(
        80,
        ge=10,
        le=100,
        description="Quality of the stored page images and figure crops.",
        json_schema_extra=_about(changes=("pages",)),
    )

    # Beside the pages
    attachments: Attachments = Field(
        Attachments.LIST,
        description="list: files inside a PDF are named. parse: the PDFs among them become"
        " documents of their own as well.",
    )
    annotation_authors: bool = Field(
        False,
        description="Store the names that annotations carry, which are those of people.",
        json_schema_extra=_about(changes=("pages",)),
    )

    # Thresholds
    layout_threshold: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Regions with a lower score are dropped. Empty: what suits the model.",
        json_schema_extra=_about(changes=("layouts",), tasks=("layout",), option="threshold"),
    )
    layout_overlap: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Intersection over union above which the weaker of two regions is dropped.",
        json_schema_extra=_about(changes=("layouts",), tasks=("layout",), option="overlap"),
    )

    # Viewer
    viewer_port: int = Field(
        3001,
        ge=0,
        le=65535,
        description="Port of the viewer that `deepcompress up` serves beside the UI; 0: none.",
    )
    viewer_url: str = Field(
        "",
        description="Address under which browsers reach the viewer, for links in Dagster's UI;"
        " empty: the port above on this machine.",
    )

    # Results
    exports: Annotated[str, AfterValidator(_place)] = Field(
        "",
        description="Folder or address (s3://, gs://, az://) that the asset `exports` keeps as"
        " Parquet files of all documents; empty: there is no such asset.",
    )

    # Metrics
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the metrics that `deepcompress up` serves to Prometheus; 0: none.",
    )

    # Alerts
    freshness_hours: float = Field(
        0.0,
        ge=0.0,
        le=8760,
        description="The assets are shown as overdue when no document came for so long; 0: never.",
        json_schema_extra=_about("h"),
    )
    failure_webhook: Annotated[str, AfterValidator(_web_address)] = Field(
        "",
        description='Address that is sent `{"text": ...}` for each failed run, as Slack,'
        " Mattermost and Teams take it; empty: nobody is told.",
    )

    # Ingestion
    sensor_interval_s: int = Field(
        15,
        ge=1,
        le=3600,
        description="Time between two looks into the inbox.",
        json_schema_extra=_about("s"),
    )
    settle_s: float = Field(
        2.0,
        ge=0.0,
        le=3600,
        description="A file that changed more recently is still being copied, and waits.",
        json_schema_extra=_about("s"),
    )
    documents_per_run: int = Field(
        100,
        ge=1,
        le=1000,
        description="Documents that one run takes.",
        json_schema_extra=_about("documents"),
    )
    max_queued_runs: int = Field(
        4,
        ge=1,
        le=100,
        description="The sensor requests nothing while so many runs are queued or running.",
        json_schema_extra=_about("runs"),
    )
    max_attempts: int = Field(
        3,
        ge=1,
        le=20,
        description="Automatic attempts at a document that failed for a transient reason.",
        json_schema_extra=_about("attempts"),
    )

    @property
    def viewer_address(self) -> str:
        """Where browsers find the viewer, without a slash at the end; empty where there is none."""
        local = f"http://127.0.0.1:{self.viewer_port}" if self.viewer_port else ""
        return self.viewer_url.rstrip("/") or local


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and .env, with ``overrides`` on top.

    Raises SettingsError that names each bad variable, what was given and what is allowed.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def settings_that_change(asset: str) -> tuple[str, ...]:
    """The settings that change an asset's rows."""
    return tuple(
        name
        for name, field in Settings.model_fields.items()
        if asset in _said(field).get("changes", ())
    )


def options_of(task: str) -> dict[str, str]:
    """The options that models of a task are loaded with, and the settings that they come from."""
    return {
        _said(field)["option"] or name: name
        for name, field in Settings.model_fields.items()
        if task in _said(field).get("tasks", ())
    }


def launchpad_fields() -> dict[str, tuple[type, str]]:
    """The settings that a run may set for itself: their types in a form, and what they mean."""
    return {
        name: (_form_type(field.annotation), f"{field.description} {_shown_range(name, field)}")
        for name, field in Settings.model_fields.items()
        if _said(field).get("launchpad")
    }


def _form_type(annotation: object) -> type:
    if not isinstance(annotation, type):
        raise TypeError(f"{annotation} has no place on a form")
    return str if issubclass(annotation, StrEnum) else annotation


def _said(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        lines.append(
            f"DEEPCOMPRESS_{name.upper()}={problem['input']!r}: {problem['msg']}{_allowed(name)}"
        )
    return "\n".join(lines)


def _allowed(name: str) -> str:
    bounds = _bounds(name)
    return f" (allowed: {bounds[0]} to {bounds[1]})" if bounds else ""


def _bounds(name: str) -> tuple[Any, ...]:
    """Smallest and largest value of a setting; empty where it has no range."""
    field = Settings.model_fields.get(name)
    found = {
        kind: value
        for item in (field.metadata if field else ())
        for kind in ("ge", "le")
        if (value := getattr(item, kind, None)) is not None
    }
    return (found["ge"], found["le"]) if len(found) == 2 else ()


def markdown_table() -> str:
    """The settings as the documentation shows them: variable, default, range with unit, meaning."""
    lines = ["| variable | default | range | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        cells = (
            f"`DEEPCOMPRESS_{name.upper()}`",
            _shown_default(field.default),
            _shown_range(name, field),
            str(field.description),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown_default(value: object) -> str:
    if isinstance(value, tuple):
        value = os.pathsep.join(map(str, value))
    return "" if value is None else f"`{value}`"


def _shown_range(name: str, field: FieldInfo) -> str:
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{choice}`" for choice in annotation)
    unit = str(_said(field).get("unit", ""))
    bounds = _bounds(name)
    return " ".join(filter(None, (" to ".join(map(str, bounds)), unit)))
