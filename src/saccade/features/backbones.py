"""Networks that turn images into region features: timm's by name, and Saccade's own."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import clean_state_dict
from torch import Tensor, nn

from saccade.errors import RecipeError, SaccadeWarning, UnknownNameError
from saccade.features.scenes_cnn import ScenesCNN
from saccade.features.spec import FeatureSpec

OWN_BACKBONES: dict[str, type[ScenesCNN]] = {"scenes-cnn": ScenesCNN}
# A classifier head lies behind the map, under one of these names; a weights file may hold one.
HEADS = ("head.", "head_dist.", "fc.", "classifier.", "pre_logits.", "AuxLogits.")
# Where a checkpoint keeps the weights that it recommends, as timm has it: the running mean of them first.
CHECKPOINT_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
LOCAL = "give a local file with --features.weights FILE (of saccade extract: --weights FILE)"

Colour = tuple[float, float, float]


class Backbone(nn.Module):
    """A network, frozen at first, that gives one feature vector for each cell of its map, in row-major order.

    ``grid`` is the map's (rows, columns), ``channels`` the size of a vector, ``mean`` and ``std`` what its images are
    normalised with, ``weights_hash`` the SHA-256 of all its weights.
    """

    def __init__(self, model: nn.Module, spec: FeatureSpec, *, mean: Colour, std: Colour) -> None:
        super().__init__()
        # Channels last: convolutions on a CPU take half the time.
        self._model = model.eval().float().to(memory_format=torch.channels_last)
        self._layer = spec.layer
        self.weights_hash = hash_weights(model.state_dict())
        self.mean = mean if spec.mean is None else spec.mean
        self.std = std if spec.std is None else spec.std
        try:
            _resample_positions(model, spec)
            model.requires_grad_(False)  # the resampled positions too, which timm 1.0.20 leaves trainable
            probe = torch.zeros(1, 3, spec.image_size, spec.image_size)
            self._tokens = self._layer == -1 and _gives_tokens(model, probe)
            with torch.no_grad():
                _, self.channels, *grid = self._map(probe).shape
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise RecipeError(
                f"{spec.backbone} gives no map of layer {spec.layer} for images of {spec.image_size} pixels: {error}"
            ) from None
        self.grid: tuple[int, int] = (grid[0], grid[1])

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images regions size"]:
        """The features of normalised images."""
        return self._map(images.contiguous(memory_format=torch.channels_last)).flatten(2).transpose(1, 2).contiguous()

    def last_stages(self, stages: int | None = None) -> list[nn.Parameter]:
        """The weights behind all but the last so many stages of the map; all weights by default.

        A stage ends where timm's `feature_info` has a map. Raises RecipeError for a number of stages there cannot be.
        """
        model: Any = self._model
        if stages is None:
            return list(model.parameters())
        end = self._ends[self.layer_before(stages)]
        modules = dict(model.named_modules())
        last = max(i for i, name in enumerate(modules) if f"{name}.".startswith(f"{end}."))
        return [each for module in list(modules.values())[last + 1 :] for each in module.parameters(recurse=False)]

    def layer_before(self, stages: int) -> int:
        """The layer in which all but the last so many stages end; raises RecipeError where that cannot be."""
        count = len(self._ends)
        if not count:
            raise RecipeError("train.finetune_stages: this backbone has no stages; leave it out to train it whole")
        if not 0 < stages < count:
            raise RecipeError(
                f"train.finetune_stages: expected 1 to {count - 1}, fewer than the backbone's {count} stages, got "
                f"{stages}; leave it out to train it whole"
            )
        return count - 1 - stages

    def stage_end(self, layer: int) -> str:
        """The name of the module, one of `named_modules`, in which that layer ends."""
        return f"_model.{self._ends[layer]}"

    @property
    def _ends(self) -> list[str]:
        """The modules in which the stages of the map end, by timm's names; none where timm knows of no stages."""
        model: Any = self._model
        ends = [] if type(model) in OWN_BACKBONES.values() else [each["module"] for each in model.feature_info]
        return ends[: self._layer + 1 or None]

    def _map(self, images: Tensor) -> Float[Tensor, "images channels rows columns"]:
        model: Any = self._model
        if type(model) in OWN_BACKBONES.values():
            maps = model(images)
        elif self._layer >= 0:
            if not hasattr(model, "forward_intermediates"):
                raise RecipeError(
                    f"layer: timm {timm.__version__} gives no stage of this network by itself: leave it out, or "
                    "install a newer timm"
                )
            [maps] = model.forward_intermediates(
                images, indices=[self._layer], intermediates_only=True, stop_early=True
            )
        elif self._tokens:  # forward_features less the class and register tokens, laid out as a map
            [maps] = model.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)
        else:
            maps = model.forward_features(images)
            if getattr(model, "output_fmt", "NCHW") == "NHWC":
                maps = maps.permute(0, 3, 1, 2)
        found: Tensor = maps
        return found


def known_backbones() -> list[str]:
    """Every name that `create_backbone` takes."""
    return sorted([*OWN_BACKBONES, *timm.list_models()])


def create_backbone(spec: FeatureSpec, state: Mapping[str, Tensor] | None = None) -> Backbone:
    """The spec's backbone with its weights, or with those of another one whose state is given.

    Raises UnknownNameError for a name that neither timm nor Saccade has, RecipeError for arguments, weights, a layer or
    an image size that do not fit it. Warns of random weights; these are always the same ones.
    """
    if state is not None:
        spec = replace(spec, weights="random")
    own = OWN_BACKBONES.get(spec.backbone)
    model = _create_timm(spec) if own is None else _create_own(own, spec)
    if own is not None:
        mean, std = model.mean, model.std
    else:
        mean, std = model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
    if state is not None:
        _load_state(model, state, spec)
    elif spec.weights == "random":
        message = f"the weights of {spec.backbone} are random: its features mean little; {LOCAL}"
        warnings.warn(message, SaccadeWarning, stacklevel=2)
    elif spec.weights != "pretrained":
        load_weights(model, Path(spec.weights), spec.backbone)
    return Backbone(model, spec, mean=tuple(mean), std=tuple(std))


def _resample_positions(model: nn.Module, spec: FeatureSpec) -> None:
    """Fit position embeddings, where a network has them, to the size of the images."""
    if (resample := getattr(model, "set_input_size", None)) is not None:
        resample(img_size=(spec.image_size, spec.image_size))


def _load_state(model: nn.Module, state: Mapping[str, Tensor], spec: FeatureSpec) -> None:
    """The weights of another `Backbone` of the same spec, whose position embeddings have that spec's size."""
    try:
        _resample_positions(model, spec)
        model.load_state_dict({key.removeprefix("_model."): tensor for key, tensor in state.items()})
    except (AssertionError, RuntimeError, ValueError) as error:
        raise RecipeError(f"the weights do not fit {spec.backbone}: {' '.join(str(error).split())[:300]}") from None


def load_weights(model: nn.Module, path: Path, name: str, state: Mapping[str, Tensor] | None = None) -> None:
    """Load a file of weights; raises RecipeError unless it holds the model's tensors and nothing but a head besides.

    `state` is what the file holds, where it was read before.
    """
    state = read_weights(path) if state is None else state
    wanted = model.state_dict()
    missing = [n for n in wanted if n not in state and not n.endswith("num_batches_tracked")]
    unknown = [n for n in state if n not in wanted and not n.startswith(HEADS)]
    misshapen = [
        f"{n} {tuple(state[n].shape)} instead of {tuple(wanted[n].shape)}"
        for n in wanted
        if n in state and state[n].shape != wanted[n].shape
    ]
    problems = (("lacks", missing), ("has other shapes:", misshapen), ("has what the network lacks:", unknown))
    if any(names for _, names in problems):
        found = "; ".join(f"it {what} {_some(names)}" for what, names in problems if names)
        raise RecipeError(f"{path} does not hold the weights of {name}: {found}")
    model.load_state_dict({n: state[n] for n in wanted if n in state}, strict=False)


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of the names, types, shapes and bytes of a state dict, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def _gives_tokens(model: Any, images: Tensor) -> bool:
    if type(model) in OWN_BACKBONES.values():
        return False
    features = model.forward_features(images)
    return not (isinstance(features, Tensor) and features.dim() == 4)


def _create_own(own: type[ScenesCNN], spec: FeatureSpec) -> Any:
    if spec.layer != -1:
        raise RecipeError(f"{spec.backbone} has one map: expected layer -1, got {spec.layer}")
    model = _seeded(own, spec.backbone, spec.arguments())
    if spec.weights == "pretrained":
        file = resources.files("saccade.features") / f"{own.__module__.rpartition('.')[2]}.safetensors"
        with resources.as_file(file) as path:
            load_weights(model, path, spec.backbone)
    return model


def _create_timm(spec: FeatureSpec) -> Any:
    if not timm.is_model(spec.backbone):
        known = known_backbones()  # more than a thousand: name only those that come near
        raise UnknownNameError("backbone", spec.backbone, get_close_matches(spec.backbone, known, n=10, cutoff=0.4))
    arguments = {"num_classes": 0, **spec.arguments(), "model_name": spec.backbone}
    model = _seeded(timm.create_model, spec.backbone, {**arguments, "pretrained": spec.weights == "pretrained"})
    if hasattr(model, "pre_logits"):  # VGG's fully connected layers are no part of the map
        model.pre_logits = nn.Identity()
    stages = len(model.feature_info)
    if spec.layer >= stages:
        raise RecipeError(f"{spec.backbone} has the stages 0 to {stages - 1}, and -1 for the last; got {spec.layer}")
    return model


def seeded(create: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """The network, its weights drawn from a seed of their own without touching the caller's random state."""
    before = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(0)
        return create(**arguments)
    finally:
        torch.set_rng_state(before)


def _seeded(create: Any, name: str, arguments: dict[str, Any]) -> Any:
    """The same of a backbone, whose errors are explained."""
    try:
        return seeded(create, arguments)
    except TypeError as error:
        raise RecipeError(f"backbone_args do not fit {name}: {error}") from None
    except Exception as error:  # the hub's client raises what its HTTP library raises
        if not arguments.get("pretrained"):
            raise RecipeError(f"{name} cannot be made with these backbone_args: {error}") from None
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RecipeError(f"no weights of {name} could be had from the hub ({reason}); {LOCAL}") from error


def read_weights(path: Path, field: str = "weights") -> dict[str, Tensor]:
    """The tensors by name in a file that a field of the spec names; raises RecipeError where it is none of those."""
    if not path.is_file():
        raise RecipeError(f"{field}: expected 'pretrained', 'random' or a file, but there is no file {str(path)!r}")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError) as error:
        raise RecipeError(f"{path} is not a file of weights: {str(error).partition(chr(10))[0]}") from None
    except pickle.UnpicklingError:
        if not (asked := _asked_for(path)):
            raise RecipeError(f"{path} is not a file of weights: it was cut short, or has another format") from None
        raise RecipeError(
            f"{path} is not a file of weights alone: it asks for {asked}, and to load that could run any program; save "
            "the tensors by themselves, best as .safetensors"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RecipeError(f"{path} is not a file of weights: expected tensors by name")
    return state


def _unpickled(path: Path) -> Any:
    """The tensors by name in a file that `torch.save` wrote, taken out of a checkpoint; code in it is never run."""
    # What timm's own training leaves beside the weights is a namespace of its arguments, plain values.
    with torch.serialization.safe_globals([argparse.Namespace]):
        held = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(held, dict):
        inner = next((held[key] for key in CHECKPOINT_KEYS if held.get(key) is not None), held)
        held = clean_state_dict(inner) if isinstance(inner, dict) else None
    return held


def _asked_for(path: Path) -> str:
    """The names, other than those of tensors, that a pickle asks for; nothing where that cannot be told."""
    try:
        return ", ".join(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # what reading no pickle ends in
        return ""


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
