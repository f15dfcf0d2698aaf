"""Export requests: what ``blazepose export`` was asked for."""

import dataclasses
from pathlib import Path

from blazepose_jax.weights.own import ExperimentFile


@dataclasses.dataclass(frozen=True)
class ExportRequest:
    """The options of one export, checked.

    Attributes:
      weights: a weights directory or .task.
      detector: another one to take the detector from.
      output: what to write, as it was given.
      format: its suffix, a key of ``export_formats.FORMATS``.
      part: ``pose``, ``detector``, or None for whichever there is.
      precision: a key of ``quantize.PRECISIONS``.
      backend: a key of ``convert.BACKENDS``.
      calibration: a folder of annotated people.
      images: where their pictures lie, if not there.
      batch: images at once.
      json: where to write the parity report.
      experiment: the file that brings a network which is none of the zoo.
      decode: a key of ``graph_decode.DECODES``, or None for the net's best.
    """

    weights: str
    detector: str | None
    output: str
    format: str
    part: str | None
    precision: str
    backend: str
    calibration: str | None
    images: str | None
    batch: int
    json: str | None
    experiment: ExperimentFile | None = None
    decode: str | None = None

    @property
    def path(self) -> Path:
        """The output as a path."""
        return Path(self.output)
