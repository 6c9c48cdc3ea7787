"""Tensors in safetensors files: each once, however many names it has, and alike under all of them when read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

TIED = "tied"  # in a file's metadata: the names of tensors that are another one


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors into a file, those with several names once."""
    once, tied = each_once(tensors)
    save_file(once, path, metadata=tied or None)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by all their names, and its metadata; raises SafetensorError when it is damaged."""
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata() or {}
    return under_all_names(load_file(path), metadata), metadata


def under_all_names(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors that `each_once` kept, with those that it left out for being another one."""
    try:
        tied = json.loads(metadata.get(TIED, "{}"))
        return {**tensors, **{name: tensors[other] for name, other in tied.items()}}
    except (json.JSONDecodeError, AttributeError, KeyError) as error:
        raise SafetensorError(f"the names of tied tensors are damaged: {error!r}") from None


def each_once(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once, in the host's memory and its own, and as metadata which other names it has, if any has."""
    names: dict[Any, str] = {}
    kept, tied, storages = {}, {}, set()
    for name, tensor in tensors.items():
        storage = (tensor.device, tensor.untyped_storage().data_ptr())
        view = (*storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        first = names.setdefault(view, name) if tensor.numel() else name
        if first != name:
            tied[name] = first
            continue
        kept[name] = tensor.detach().cpu().contiguous()
        if storage in storages:  # parts of one memory that are no ties
            kept[name] = kept[name].clone()
        storages.add(storage)
    return kept, {TIED: json.dumps(tied)} if tied else {}


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors in the host's memory: of their names, kinds, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {tuple(weights[name].shape)}".encode())
        digest.update(weights[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
