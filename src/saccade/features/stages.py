"""The last stages of a backbone by themselves: what does not learn need not be run again for each batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from saccade.errors import RecipeError
from saccade.features.backbones import Backbone, create_backbone
from saccade.features.spec import FeatureSpec

PROBED = 2  # images that tell whether the stages alone give what the whole gives


class LastStages:
    """From the map in which a stage of a backbone ends to the backbone's features.

    Nothing is kept of the backbone but the order of its operations, so that a copy, whose weights moved on, can be run
    in the same way. ``layer`` is the stage, as timm counts them; ``grid`` the rows and columns of its whole map.
    """

    def __init__(self, graph: fx.Graph, layer: int, grid: tuple[int, int]) -> None:
        self._graph, self.layer, self.grid = graph, layer, grid

    @classmethod
    def of(cls, backbone: Backbone, spec: FeatureSpec, stages: int) -> LastStages | None:
        """The last so many stages of the spec's backbone; None where they cannot be had by themselves.

        That is so where a network decides by its input what to do, or takes more than a stage's map further.
        """
        layer = backbone.layer_before(stages)
        graph = _behind(backbone, backbone.stage_end(layer))
        if graph is None:
            return None
        images = torch.rand(PROBED, 3, spec.image_size, spec.image_size, generator=torch.Generator().manual_seed(0))
        device = next(backbone.parameters()).device
        try:
            before = create_backbone(replace(spec, layer=layer), backbone.state_dict())
            found = cls(graph, layer, before.grid)
            with torch.no_grad():
                whole, parts = backbone(images.to(device)), found(backbone, before.to(device)(images.to(device)))
        except (AttributeError, IndexError, RecipeError, RuntimeError, TypeError, ValueError):
            return None  # another map than that of the stage is handed on, or this timm gives none of a stage
        return found if whole.shape == parts.shape and torch.allclose(whole, parts, rtol=1e-3, atol=1e-4) else None

    def __call__(
        self,
        backbone: nn.Module,
        maps: Float[Tensor, "images cells channels"],
        grid: tuple[int, int] | None = None,
    ) -> Float[Tensor, "images regions size"]:
        """The features of images whose maps are given, row by row; gradients reach the stages that learn.

        `grid` is the rows and columns of maps that are parts of the whole.
        """
        laid_out = maps.transpose(1, 2).reshape(len(maps), -1, *(grid or self.grid))
        laid_out = laid_out.contiguous(memory_format=torch.channels_last)
        features: Tensor = fx.Interpreter(backbone, graph=self._graph).run(laid_out)
        return features


def _behind(backbone: Backbone, end: str) -> fx.Graph | None:
    """What follows on the module named `end`, as a graph whose input is that module's output."""
    known: Any = timm.models  # knows what of its networks cannot be traced
    tracer = NodePathTracer(
        leaf_modules=known.get_notrace_modules(), autowrap_functions=tuple(known.get_notrace_functions())
    )
    try:
        nodes = list(tracer.trace(backbone).nodes)
    except Exception:  # whatever a network does with a tensor that is none
        return None
    inside = [i for i, node in enumerate(nodes) if f"{tracer.node_to_qualname.get(node, '')}.".startswith(f"{end}.")]
    if not inside:
        return None
    last, first = nodes[inside[-1]], set(nodes[: inside[-1] + 1])
    handed = {node for node in first for user in node.users if user not in first and node.op != "get_attr"}
    if handed != {last}:
        return None
    graph = fx.Graph()
    copies = {last: graph.placeholder("maps")}
    for node in nodes:
        if node not in first or (node.op == "get_attr" and any(user not in first for user in node.users)):
            copies[node] = graph.node_copy(node, lambda other: copies[other])
    return graph
