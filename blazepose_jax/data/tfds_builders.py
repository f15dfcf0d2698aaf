"""TFDS builders of array_record data sets.

Their sources are annotation folders, LSP's archives, and rendered people, which need none. The data
sets are written and read without TensorFlow. By hand:

    builder = CocoKeypoints(data_dir="data", file_format="array_record")
    manual = tfds.download.DownloadConfig(manual_dir="my_photographs")
    builder.download_and_prepare(download_config=manual)
    source = builder.as_data_source("train")
"""

import dataclasses
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from blazepose_jax.data.annotations import Annotations
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.encode_people import encode_people
from blazepose_jax.data.groups import group_people
from blazepose_jax.data.labels import Fields, Row, body_fields, person_fields
from blazepose_jax.data.lsp import read_lsp, unpack
from blazepose_jax.data.rendered import rendered_rows
from blazepose_jax.data.streams import COLUMNS, read_columns
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.tensors import save_tensors
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

Manager = tfds.download.DownloadManager

CITATION = "Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, arXiv 2006.10204"


@dataclasses.dataclass(kw_only=True)
class PeopleConfig(tfds.core.BuilderConfig):
    """Configuration of the three builders.

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
    # In place of the builder's own.
    rows: Iterable[Row] | None = None
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give the folder with the photographs and their annotations as manual_dir."
    )

    @property
    def _people(self) -> PeopleConfig:
        assert isinstance(self.builder_config, PeopleConfig)
        return self.builder_config

    def _info(self) -> tfds.core.DatasetInfo:
        size = self._people.size
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(size, size, 3), encoding_format="jpeg"),
                **{
                    name: tfds.features.Tensor(shape=shape, dtype=dtype) if shape else dtype
                    for name, (shape, dtype) in self._fields().items()
                },
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=str(type(self).__doc__),
            features=features,
            citation=CITATION,
            metadata=tfds.core.MetadataDict({"skeleton": self._people.skeleton.to_dict()}),
        )

    def _fields(self) -> Fields:
        return person_fields(len(self._people.skeleton.keypoints))

    def _split_generators(self, dl_manager: Manager) -> dict[str, Iterator[tuple[int, Row]]]:
        return {"train": self._generate_examples(dl_manager)}

    def _generate_examples(self, dl_manager: Manager) -> Iterator[tuple[int, Row]]:
        for row in self._own_rows(dl_manager) if self.rows is None else self.rows:
            yield int(row["id"]), row

    def _annotated(self, data: Annotations) -> Iterator[Row]:
        return encode_people(
            data,
            self._people.skeleton,
            data.people,
            self._people.size,
            groups=group_people(data.people)[0],
        )

    def _own_rows(self, dl_manager: Manager) -> Iterator[Row]:
        raise NotImplementedError


class CocoKeypoints(_People):
    """People of a folder with COCO keypoint annotations."""

    def _own_rows(self, dl_manager: Manager) -> Iterator[Row]:
        return self._annotated(
            read_annotations(str(dl_manager.manual_dir), skeleton=self._people.skeleton)
        )


class Lsp(_People):
    """People of Leeds Sports Pose or LSP Extended.

    The source is the original archive, or a folder with joints.mat.
    """

    def _own_rows(self, dl_manager: Manager) -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = unpack(Path(str(dl_manager.manual_dir)), Path(scratch))
            yield from self._annotated(read_lsp(folder, self._people.split, self._people.skeleton))


class RenderedPeople(_People):
    """Rendered people, with all 33 points."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = None

    def _fields(self) -> Fields:
        count = len(self._people.skeleton.keypoints)
        return person_fields(count) | body_fields(count, self._people.size)

    def _own_rows(self, dl_manager: Manager) -> Iterator[Row]:
        return rendered_rows(self._people.count, self._people.size)


BUILDERS = {"coco_keypoints": CocoKeypoints, "lsp": Lsp, "rendered_people": RenderedPeople}


def write_tfds(rows: Iterable[Row], name: str, config: PeopleConfig, output: Path) -> int:
    """Write rows as the data set that a builder would write.

    Args:
      rows: of ``encode_people`` or ``rendered_rows``.
      name: a key of ``BUILDERS``.
      config: skeleton and size.
      output: a new folder; it appears when it is complete.

    Returns:
      Number of rows.

    Raises:
      BlazePoseError: nobody, or rows with more than the builder holds.
    """
    rows = iter(rows)
    if (first := next(rows, None)) is None:
        raise BlazePoseError("nobody is left to be written: see what was dropped, and why")
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as part:
        tfds.disable_progress_bar()
        builder = BUILDERS[name](data_dir=part, config=config, file_format="array_record")
        if more := sorted(set(first) - set(builder.info.features)):
            raise BlazePoseError(
                f"people whom a teacher has labelled have {more[0]!r}, which --format tfds does not"
                " hold: leave out --format"
            )
        builder.rows = itertools.chain([first], rows)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=part))
        source = builder.as_data_source(
            split="train", decoders={"image": tfds.decode.SkipDecoding()}
        )
        save_tensors(read_columns(source), Path(str(builder.data_path)) / COLUMNS)
        Path(str(builder.data_path)).rename(output)
        return builder.info.splits["train"].num_examples
