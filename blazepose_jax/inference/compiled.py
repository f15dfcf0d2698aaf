"""Compilation of the pipeline's programs."""

from collections.abc import Callable
from functools import cache, cached_property, partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

import jax
from jax.extend.core import get_opaque_trace_state

Args = ParamSpec("Args")
Result = TypeVar("Result")

# On a CPU, one picture at a time, XLA's other matrix products make the nets take 1.1 (Heavy), 1.25
# (detector), 1.3 (Full) or 1.5 times (Lite) as long. A training step is slower by these, so that
# they are no flag of the process.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
_OUTSIDE = get_opaque_trace_state()


class Compiled(Generic[Args, Result]):
    """``jax.jit`` for inference: with ``CPU_OPTIONS`` on a CPU.

    Within another program, a gradient or ``vmap`` it is plain ``jax.jit``, as XLA takes options for
    whole programs alone.
    """

    def __init__(
        self,
        function: Callable[Args, Result],
        *,
        static_argnames: str | tuple[str, ...] = (),
        donate_argnames: str | tuple[str, ...] = (),
    ):
        """Prepare; the first call compiles. The arguments are those of ``jax.jit``."""
        update_wrapper(self, function)
        self._jit = partial(
            jax.jit, function, static_argnames=static_argnames, donate_argnames=donate_argnames
        )

    def __call__(self, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """Call the function."""
        whole = get_opaque_trace_state() == _OUTSIDE
        is_fast = whole and jax.default_backend() == "cpu"
        return (self._for_cpu if is_fast else self._plain)(*args, **kwargs)

    def programs(self) -> int:
        """How many programs are compiled and kept."""
        return self._plain._cache_size() + self._for_cpu._cache_size()

    @cached_property
    def _plain(self) -> Any:
        return self._jit()

    @cached_property
    def _for_cpu(self) -> Any:
        return self._jit(compiler_options=known_options(tuple(CPU_OPTIONS.items())))


@cache
def known_options(options: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The options if this XLA knows them, else none: names of experiments come and go."""
    try:
        jax.jit(lambda: 0, compiler_options=dict(options))()
    except jax.errors.JaxRuntimeError:
        return {}
    return dict(options)
