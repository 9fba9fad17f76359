import subprocess
import sys

import pytest
import torch

from deepcompress_dagster.models import device
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.settings import DType


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_the_catalog_and_the_cache_come_without_torch() -> None:
    code = (
        "import sys\n"
        "from deepcompress_dagster.models import cache, catalog, device, pull, registry\n"
        "from deepcompress_dagster.settings import load_settings\n"
        "[catalog.identity(load_settings(), task) for task in catalog.Task]\n"
        "print(sorted({'torch', 'transformers', 'onnx', 'cv2'} & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_torch_is_imported_with_threads_that_sleep_and_the_users_own_choice_stays() -> None:
    code = (
        "import os\n"
        "from deepcompress_dagster.models.device import import_torch\n"
        "import_torch(3)\n"
        "import torch\n"
        "import_torch()\n"
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'],"
        " os.environ['OMP_NUM_THREADS'], torch.get_num_threads())"
    )
    assert run(code, GOMP_SPINCOUNT="7") == "PASSIVE 7 3 3"


def cuda(monkeypatch: pytest.MonkeyPatch, count: int, *, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("name", "cards", "mps", "expected"),
    [
        ("auto", 2, True, "cuda:0"),
        ("auto", 0, True, "mps"),
        ("auto", 0, False, "cpu"),
        ("cpu", 2, True, "cpu"),
        ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
    ],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(
    monkeypatch: pytest.MonkeyPatch, name: str, cards: int, mps: bool, expected: str
) -> None:
    cuda(monkeypatch, cards, mps=mps)
    assert device.resolve_device(name) == expected


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_an_error_that_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cuda(monkeypatch, 1 if name == "cuda:1" else 0)
    with pytest.raises(ModelError, match="DEEPCOMPRESS_DEVICE=auto"):
        device.resolve_device(name)


def test_the_number_format_follows_the_device_unless_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert device.resolve_dtype(DType.AUTO, "cpu") == "float32"
    assert device.resolve_dtype(DType.AUTO, "mps") == "float32"
    assert device.resolve_dtype(DType.AUTO, "cuda:0") == "bfloat16"
    assert device.resolve_dtype(DType.FLOAT16, "cpu") == "float16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert device.resolve_dtype(DType.AUTO, "cuda:0") == "float32"


def test_dtypes_are_looked_up_by_name() -> None:
    assert device.torch_dtype("bfloat16") is torch.bfloat16
    with pytest.raises(ModelError, match="'nn'"):
        device.torch_dtype("nn")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(
    error: BaseException, expected: bool
) -> None:
    assert device.is_out_of_memory(error) is expected


def test_weights_of_a_predictor_are_counted_once_wherever_they_are() -> None:
    class Holder:
        def __init__(self) -> None:
            shared = torch.nn.Linear(10, 10)
            self.one = shared
            self.more = {"detector": torch.nn.BatchNorm1d(4), "again": [shared]}
            self.text = "no module"

    linear, norm = 4 * (100 + 10), 4 * (4 + 4 + 4 + 4) + 8
    assert device.weight_bytes(Holder()) == linear + norm


def test_the_cpu_has_no_memory_of_its_own_to_share_out() -> None:
    assert device.device_memory("cpu") is None
