"""What ``help`` says of the structs."""

import dataclasses
import inspect
import re

import jax
import pytest
from flax import struct
from helpers import blob_networks

import blazepose_jax as bp
from blazepose_jax import structs
from blazepose_jax.models import FOLDED, create_network
from blazepose_jax.weights import Weights

STRUCTS = [
    member
    for _, member in inspect.getmembers(structs, inspect.isclass)
    if issubclass(member, struct.PyTreeNode) and member.__module__ == structs.__name__
]


# Sizes by letter or number, such as (N, 3); any leading axes or others, such as (..., 2).
SIZE = r"(?:\.\.\.|\d?[A-Z]'?|\d+)"
SHAPE = re.compile(rf"\((?:{SIZE},|{SIZE}(?:, {SIZE})+)?\)[ ,:;]")


def described(member):
    """{field: text} of the docstring's attributes."""
    _, _, section = inspect.getdoc(member).partition("Attributes:\n")
    found = re.findall(r"^ {2}(\w+): (.*(?:\n {4}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


@pytest.mark.parametrize("member", STRUCTS, ids=lambda member: member.__name__)
def test_every_field_is_described_in_order(member):
    assert list(described(member)) == [field.name for field in dataclasses.fields(member)]


@pytest.mark.parametrize("member", [m for m in STRUCTS if m is not structs.Network])
def test_every_field_says_its_shape(member):
    for name, text in described(member).items():
        assert SHAPE.match(text), f"{member.__name__}.{name}: {text}"


def test_every_field_of_numbers_says_its_type():
    kinds = re.compile(r"float32|int32|uint8|bool")
    nested = {"ROI", "OneEuro", "LowPass"}
    for member in STRUCTS:
        for field in dataclasses.fields(member):
            text = described(member)[field.name]
            is_array = field.type in (structs.Array, structs.Array | None)
            if is_array:
                assert kinds.search(text), f"{member.__name__}.{field.name}: {text}"
            elif member is not structs.Network:
                assert field.type.__name__ in nested, field


def test_what_points_and_squares_are_measured_in_is_said():
    assert "image frame, px" in described(bp.Poses)["keypoints"]
    assert "metres" in described(bp.Poses)["world"]
    assert "radians, clockwise" in described(bp.ROI)["angle"]
    assert "uint8 RGB" in described(bp.Frame)["pixels"]


def test_networks_and_weights_are_shown_in_three_lines():
    detector, pose = blob_networks()
    variables = {"params": {"kernel": jax.numpy.ones((500, 2_000)), "bias": jax.numpy.ones(7)}}
    shown = repr(create_network("smoke", variables, FOLDED, bp.BLAZEPOSE))
    assert "1,000,007 parameters" in shown
    assert "33 keypoints" in shown
    assert "\n" not in shown
    assert "in its file" in repr(pose.replace(variables=None))
    lines = repr(Weights(detector, pose, "detector + lite")).split("\n")
    assert len(lines) == 3
    assert "detector + lite" in lines[0]
    assert "input 224x224 px" in lines[1]
    assert "input 64x64 px, 33 keypoints" in lines[2]
    assert "detector: none" in repr(Weights(None, pose, "lite"))


def test_a_network_is_shown_inside_of_jit():
    seen = []

    @jax.jit
    def look(network):
        seen.append(repr(network))
        return network.variables

    variables = {"params": {"kernel": jax.numpy.ones((3, 4))}}
    look(create_network("smoke", variables, FOLDED, bp.BLAZEPOSE))
    assert "12 parameters" in seen[0]
