"""TFDS builders: annotation folders, LSP's archives or nothing at all come in, array_record data
sets leave.

Written and read without TensorFlow. By hand:

    builder = CocoKeypoints(data_dir="data", file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir="my_photographs"))
    source = builder.as_data_source("train")
"""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from blazepose_jax.data.coco import Annotations, read_annotations
from blazepose_jax.data.encode_people import encode_people
from blazepose_jax.data.groups import group_people
from blazepose_jax.data.lsp import read_lsp, unpack
from blazepose_jax.data.rendered import rendered_rows
from blazepose_jax.data.streams import COLUMNS, read_columns
from blazepose_jax.io.tensors import save_tensors
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

CITATION = "Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, arXiv 2006.10204"


@dataclasses.dataclass(kw_only=True)
class PeopleConfig(tfds.core.BuilderConfig):
    """What to make.

    Attributes:
      skeleton: of the records; points are mapped by name.
      size: R, px per side.
      count: of rendered people.
      split: of LSP.
    """

    skeleton: Skeleton = BLAZEPOSE
    size: int = 320
    count: int = 1000
    split: str = "train"


class _People(tfds.core.GeneratorBasedBuilder):
    """What the three builders share: the features, and one split of rows."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list[Any]] = [
        PeopleConfig(name="blazepose", description="the 33 points of BlazePose")
    ]
    rows: Iterator[dict[str, Any]] | None = None  # in place of the builder's own
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder with the photographs and their annotations as manual_dir."
    )

    @property
    def _people(self) -> PeopleConfig:
        assert isinstance(self.builder_config, PeopleConfig)
        return self.builder_config

    def _info(self) -> tfds.core.DatasetInfo:
        count = len(self._people.skeleton.keypoints)
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(
                    shape=(self._people.size, self._people.size, 3), encoding_format="jpeg"
                ),
                "keypoints": tfds.features.Tensor(shape=(count, 2), dtype=np.float32),
                "flags": tfds.features.Tensor(shape=(count,), dtype=np.int32),
                "side": np.float32,
                "angle": np.float32,
                "id": np.int32,
                "group": np.int32,
                "weight": np.float32,
                "knows_occlusion": np.bool_,
                **self._more_features(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=str(type(self).__doc__),
            features=features,
            citation=CITATION,
            metadata=tfds.core.MetadataDict({"skeleton": self._people.skeleton.to_dict()}),
        )

    def _more_features(self) -> dict[str, Any]:
        return {}

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        return {"train": self._generate_examples(dl_manager)}

    def _generate_examples(self, dl_manager: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in self._own_rows(dl_manager) if self.rows is None else self.rows:
            yield int(row["id"]), row

    def _annotated(self, data: Annotations) -> Iterator[dict[str, Any]]:
        return encode_people(
            data,
            self._people.skeleton,
            data.people,
            self._people.size,
            groups=group_people(data.people)[0],
        )

    def _own_rows(self, dl_manager: Any) -> Iterator[dict[str, Any]]:
        raise NotImplementedError


class CocoKeypoints(_People):
    """People of a folder with COCO keypoint annotations."""

    def _own_rows(self, dl_manager: Any) -> Iterator[dict[str, Any]]:
        return self._annotated(
            read_annotations(str(dl_manager.manual_dir), skeleton=self._people.skeleton)
        )


class Lsp(_People):
    """People of Leeds Sports Pose or LSP Extended.

    The original archive or folder with joints.mat.
    """

    def _own_rows(self, dl_manager: Any) -> Iterator[dict[str, Any]]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = unpack(Path(str(dl_manager.manual_dir)), Path(scratch))
            yield from self._annotated(read_lsp(folder, self._people.split))


class RenderedPeople(_People):
    """People that never lived, with all 33 points."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = None

    def _more_features(self) -> dict[str, Any]:
        bits = -(-(self._people.size**2) // 8)
        return {
            "depth": tfds.features.Tensor(shape=(33,), dtype=np.float32),
            "world": tfds.features.Tensor(shape=(33, 3), dtype=np.float32),
            "mask": tfds.features.Tensor(shape=(bits,), dtype=np.uint8),
        }

    def _own_rows(self, dl_manager: Any) -> Iterator[dict[str, Any]]:
        return rendered_rows(self._people.count, self._people.size)


BUILDERS = {"coco_keypoints": CocoKeypoints, "lsp": Lsp, "rendered_people": RenderedPeople}


def write_tfds(
    rows: Iterator[dict[str, Any]], name: str, config: PeopleConfig, output: Path
) -> int:
    """Write rows as the data set that a builder would write; returns their number.

    Args:
      rows: of ``people.encode_people`` or ``rendered_rows``.
      name: a key of ``BUILDERS``.
      config: skeleton and size.
      output: a new folder; it appears when it is complete.
    """
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as part:
        tfds.disable_progress_bar()
        builder = BUILDERS[name](data_dir=part, config=config, file_format="array_record")
        builder.rows = rows
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=part))
        source = builder.as_data_source(
            split="train", decoders={"image": tfds.decode.SkipDecoding()}
        )
        save_tensors(read_columns(source), Path(str(builder.data_path)) / COLUMNS)
        Path(str(builder.data_path)).rename(output)
        return builder.info.splits["train"].num_examples
