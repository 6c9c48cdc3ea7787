from __future__ import annotations

import argparse
import os
import re
import warnings

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from saccade.errors import RecipeError, UnknownNameError
from saccade.features.backbones import create_backbone, hash_weights, known_backbones
from saccade.features.spec import FeatureSpec

pytestmark = pytest.mark.filterwarnings("ignore:the weights of")


def backbone(name: str, **fields):
    return create_backbone(FeatureSpec(**{"backbone": name, "weights": "random", "image_size": 160, **fields}))


@pytest.mark.parametrize(
    ("name", "fields", "grid", "channels"),
    [
        ("test_resnet", {"image_size": 448}, (14, 14), 96),
        ("test_resnet", {"layer": 0}, (80, 80), 32),
        ("test_resnet", {"layer": 3}, (10, 10), 192),
        ("test_efficientnet", {}, (5, 5), 256),  # behind the last convolution, which no stage reaches
        ("test_efficientnet", {"layer": 4}, (5, 5), 64),
        ("test_vit", {}, (10, 10), 64),
        ("test_vit", {"image_size": 224}, (14, 14), 64),  # not the size it was made for
        ("test_vit", {"image_size": 224, "layer": 1}, (14, 14), 64),
        ("scenes-cnn", {"image_size": 96}, (12, 12), 64),
    ],
)
def test_the_map_has_the_expected_cells(name, fields, grid, channels):
    network = backbone(name, **fields)
    assert (network.grid, network.channels) == (grid, channels)
    side = fields.get("image_size", 160)
    features = network(torch.randn(3, 3, side, side))
    assert features.shape == (3, grid[0] * grid[1], channels)
    assert not features.requires_grad


def test_vgg_gives_pool5_without_its_fully_connected_layers():
    network = backbone("vgg19", image_size=64)
    assert not any("pre_logits" in name for name in network.state_dict())
    assert (network.grid, network.channels) == ((2, 2), 512)
    twin = network._model.features
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(network(images), twin(images).flatten(2).transpose(1, 2))
    assert isinstance(twin[-1], torch.nn.MaxPool2d)


@pytest.mark.parametrize("name", ["test_vit", "test_vit3"])
def test_a_transformer_gives_its_normalised_patches_without_class_and_register_tokens(name):
    network = backbone(name)
    images = torch.randn(2, 3, 160, 160)
    tokens = network._model.forward_features(images)
    prefix = network._model.num_prefix_tokens
    assert torch.allclose(network(images), tokens[:, prefix:], atol=1e-6)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_a_stage_is_the_one_that_features_only_gives(name):
    images = torch.randn(2, 3, 160, 160)
    for layer in range(5):
        network = backbone(name, layer=layer)
        twin = timm.create_model(name, features_only=True, out_indices=[layer]).eval()
        twin.load_state_dict(network._model.state_dict(), strict=False)
        with torch.no_grad():
            [expected] = twin(images)
        assert torch.allclose(network(images), expected.flatten(2).transpose(1, 2), atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "mobilenetv2_100"])
@pytest.mark.parametrize("stages", [1, 2])
def test_the_last_stages_are_what_the_map_before_them_does_not_depend_on(name, stages):
    network = backbone(name)
    network.requires_grad_(True)
    count = len(network._model.feature_info)
    [before] = network._model.forward_intermediates(
        torch.randn(1, 3, 160, 160), indices=[count - 1 - stages], intermediates_only=True
    )
    before.sum().backward()
    needed = {parameter for parameter in network.parameters() if parameter.grad is not None}
    last = set(network.last_stages(stages))
    assert last
    assert last == set(network.parameters()) - needed
    assert set(network.last_stages()) == set(network.parameters())


def test_the_stages_end_with_the_map_that_is_used():
    network = backbone("test_resnet", layer=2)
    last = set(network.last_stages(1))
    layers = network._model
    assert set(layers.layer2.parameters()) <= last
    assert not last & {*layers.conv1.parameters(), *layers.layer1.parameters()}


@pytest.mark.parametrize(("name", "stages"), [("test_resnet", 0), ("test_resnet", 5), ("scenes-cnn", 1)])
def test_stages_that_there_are_not_are_refused(name, stages):
    with pytest.raises(RecipeError, match="finetune_stages"):
        backbone(name, **({"image_size": 96} if name == "scenes-cnn" else {})).last_stages(stages)


def test_rows_come_first():
    network = backbone("scenes-cnn", image_size=32)
    images = torch.zeros(1, 3, 32, 64)
    images[..., 56:] = 3.0  # the right edge
    changed = (network(images) - network(torch.zeros_like(images))).abs().sum(-1).reshape(4, 8).sum(0)
    assert changed[0] == 0
    assert changed[7] > 0


def test_channels_last_networks_are_turned():
    network = backbone("mambaout_femto", image_size=64)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(images)[0], network._model.forward_features(images)[0].flatten(0, 1))


def test_random_weights_are_always_the_same_and_leave_the_random_state_alone():
    state = torch.get_rng_state()
    first = backbone("test_resnet")
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert backbone("test_resnet", image_size=96, layer=1).weights_hash == first.weights_hash


def test_random_weights_warn():
    with pytest.warns(UserWarning, match=r"the weights of test_resnet are random.*--features.weights FILE"):
        backbone("test_resnet")


def test_the_hash_covers_names_types_shapes_and_values():
    state = {"b": torch.arange(6.0), "a": torch.zeros(2, dtype=torch.int64)}
    digest = hash_weights(state)
    assert digest == hash_weights(dict(reversed(state.items())))
    others = [
        {**state, "b": torch.arange(6.0) + 1e-6},
        {**state, "b": torch.arange(6.0).reshape(2, 3)},
        {"c": state["b"], "a": state["a"]},
        {**state, "a": torch.zeros(4, dtype=torch.int32)},
    ]
    assert len({digest, *map(hash_weights, others)}) == 5


def test_further_arguments_reach_the_backbone():
    plain, same = backbone("mobilenetv2_035"), backbone("mobilenetv2_035", backbone_args=("pad_type=same",))
    assert plain.weights_hash == same.weights_hash
    images = torch.randn(1, 3, 160, 160)
    assert not torch.allclose(plain(images), same(images))


def test_colours_are_the_backbones_unless_given():
    assert backbone("test_resnet").mean == (0.5, 0.5, 0.5)
    assert backbone("resnet10t", mean=(0.1, 0.2, 0.3)).mean == (0.1, 0.2, 0.3)
    assert backbone("resnet10t").std == timm.get_pretrained_cfg("resnet10t").std


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_a_local_file_is_loaded_whole_with_half_precision_widened(tmp_path, suffix):
    torch.manual_seed(1)
    state = {
        k: v.half() if v.is_floating_point() else v for k, v in timm.create_model("test_resnet").state_dict().items()
    }
    assert "fc.weight" in state  # the head is ignored
    file = tmp_path / f"weights{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save({"state_dict": state}, file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = backbone("test_resnet", weights=str(file))
    loaded = network._model.state_dict()
    assert all(torch.equal(loaded[name], state[name].to(loaded[name].dtype)) for name in loaded)
    assert network._model.conv1[0].weight.dtype == torch.float32
    assert network.weights_hash != backbone("test_resnet").weights_hash


def test_position_embeddings_of_a_local_file_are_resampled_to_the_image_size(tmp_path):
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "vit.safetensors")
    at = {side: backbone("test_vit", weights=str(tmp_path / "vit.safetensors"), image_size=side) for side in (160, 224)}
    assert at[224].grid == (14, 14)
    assert at[160].weights_hash == at[224].weights_hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "it lacks layer1.0.conv1.weight"),
        (
            lambda state: state.update({"layer1.0.bn1.bias": torch.zeros(3)}),
            r"it has other shapes: layer1.0.bn1.bias (3,) instead of (32,)",
        ),
        (lambda state: state.update({"layer9.bias": torch.zeros(3)}), "it has what the network lacks: layer9.bias"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_tensor(tmp_path, change, message):
    state = timm.create_model("test_resnet").state_dict()
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(RecipeError, match=re.escape(message)):
        backbone("test_resnet", weights=str(tmp_path / "w.safetensors"))


def test_files_that_hold_no_weights_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"there is no file 'nowhere\.pth'"):
        backbone("test_resnet", weights="nowhere.pth")
    for name in ("a.safetensors", "a.pth"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(RecipeError, match="is not a file of weights"):
            backbone("test_resnet", weights=str(tmp_path / name))


class Program:
    """What runs when it is unpickled."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".pt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_program_in_a_file_of_weights_does_not_run(tmp_path, suffix, zipped):
    file, proof = tmp_path / f"weights{suffix}", tmp_path / "ran"
    state = timm.create_model("test_resnet").state_dict()
    torch.save({"state_dict": state, "hook": Program(proof)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(RecipeError, match=r"is not a file of weights"):
        backbone("test_resnet", weights=str(file))
    assert not proof.exists()


def test_what_more_than_tensors_a_file_asks_for_is_named(tmp_path):
    torch.save({"model": Program(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(RecipeError, match=r"it asks for (posix|nt)\.mkdir.*best as \.safetensors"):
        backbone("test_resnet", weights=str(tmp_path / "a.pth"))


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "state_dict", "model"])
def test_weights_are_taken_out_of_a_checkpoint(tmp_path, key):
    state = {name: value + 1 for name, value in timm.create_model("test_resnet").state_dict().items()}
    held = {f"module.{name}": value for name, value in state.items()}
    other = {"state_dict": {}, "model": {}} if key.endswith("ema") else {"state_dict_ema": None}
    torch.save({**other, key: held, "args": argparse.Namespace(lr=0.1), "epoch": 3}, tmp_path / "a.pth")
    loaded = backbone("test_resnet", weights=str(tmp_path / "a.pth"))._model.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in loaded)


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained", "pretrained_cfg_overlay", "model_name"])
def test_weights_come_from_nowhere_else(name):
    with pytest.raises(RecipeError, match=f"backbone_args: {name} cannot be said there"):
        FeatureSpec(backbone="test_resnet", backbone_args=(f"{name}=a.pth",))


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("test_resnet", {"layer": 7}, "test_resnet has the stages 0 to 4, and -1 for the last; got 7"),
        ("test_vit", {"image_size": 150}, "test_vit gives no map of layer -1 for images of 150 pixels"),
        ("scenes-cnn", {"layer": 1}, "scenes-cnn has one map: expected layer -1, got 1"),
        ("test_resnet", {"backbone_args": ("colour=blue",)}, "backbone_args do not fit test_resnet"),
        ("test_resnet", {"backbone_args": ("pad_type",)}, "backbone_args: expected name=value, got 'pad_type'"),
        ("test_resnet", {"layer": -2}, "layer: expected a whole number from -1 to 1,000, got -2"),
        ("test_resnet", {"mean": (123.0, 116.0, 103.0)}, "mean: expected a number from 0 to 1, or None, got"),
    ],
)
def test_what_cannot_be_is_refused(name, fields, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        backbone(name, **fields)


def test_an_unknown_backbone_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no backbone named 'resnt152'; did you mean 'resnet152'\?"):
        backbone("resnt152")
    assert {"scenes-cnn", "vgg19", "resnet152"} <= set(known_backbones())


def test_without_a_network_the_message_asks_for_a_file(monkeypatch):
    def offline(**_):
        raise OSError("We couldn't connect to the hub\nand more")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(RecipeError, match=r"no weights of resnet18 could be had .*connect.*--features.weights FILE"):
        create_backbone(FeatureSpec("resnet18"))


@pytest.mark.data
def test_imagenet_weights_of_mobilenet(real_data):
    file = real_data / "weights" / "mobilenetv2_100.safetensors"
    network = backbone(
        "mobilenetv2_100",
        weights=str(file),
        image_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        backbone_args=("pad_type=same",),
    )
    assert (network.grid, network.channels) == ((7, 7), 1280)
    weight = load_file(file)["conv_stem.weight"]
    assert torch.equal(network._model.conv_stem.weight, weight.float())


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])  # the latter has position embeddings
def test_weights_of_a_trained_backbone_return_at_any_size_of_images(name):
    spec = FeatureSpec(backbone=name, weights="random", image_size=96)
    trained = create_backbone(spec)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01)
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(create_backbone(spec, trained.state_dict())(images), trained(images))
