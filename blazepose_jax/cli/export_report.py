"""Export reports: how far an export lies from JAX, as text and as plain data."""

import dataclasses
import math

from blazepose_jax.cli.export_cost import PckCost
from blazepose_jax.cli.export_formats import Export
from blazepose_jax.cli.export_request import ExportRequest
from blazepose_jax.export.exported import ExportedNetwork


def print_report(export: Export) -> None:
    """Print what was written, and how far it lies from JAX."""
    for kind, network in export.networks.items():
        _print_network(network, export.cost if kind == "pose" else None)
    size = "" if export.size is None else f", {export.size:,} bytes"
    page = "" if export.page is None else f", and {export.page}, which describes it"
    print(f"wrote {export.path}{size}{page}")
    if export.note:
        print(export.note)


def _print_network(network: ExportedNetwork, cost: PckCost | None) -> None:
    size = (
        f", {len(network.data):,} bytes, {sum(network.operators.values())} operators"
        if network.data
        else ""
    )
    print(f"{network.graph.kind} ({network.graph.model}){size}; against JAX on real crops:")
    if network.graph.decode:
        print(f"  x and y of its landmarks: {network.graph.decode}")
    for row in network.differences:
        print(f"  {row.output:<12} mean {row.mean:.2g}, largest {row.largest:.2g} {row.unit}")
    if cost:
        print(
            f"  PCK@0.2 {cost.file} where float32 in JAX has {cost.jax} ({cost.people}"
            f" people, standard error of the difference {cost.standard_error:.2f})"
        )


def as_json(request: ExportRequest, export: Export) -> dict[str, object]:
    """The report as plain data."""
    return {
        "output": export.path.name,
        "precision": request.precision,
        "backend": request.backend,
        "pck@0.2": dataclasses.asdict(export.cost) if export.cost else None,
        "parts": {
            kind: {
                "model": network.graph.model,
                "decode": network.graph.decode or None,
                "bytes": len(network.data),
                "operators": network.operators,
                "differences": [_finite(dataclasses.asdict(row)) for row in network.differences],
            }
            for kind, network in export.networks.items()
        },
    }


def _finite(row: dict[str, object]) -> dict[str, object]:
    """A row without what JSON does not know: None for a number that is not finite."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
