"""Functions: what those of torch do to numbers, by name, as far as a trail through them must know it.

kind(func)                # "mul", "softmax", "T"; "" for those that are let pass
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: two tensors meet number by number
MEETING = {
    "add", "add_", "__add__", "__radd__", "__iadd__", "sub", "sub_", "subtract", "rsub", "__rsub__", "__sub__",
    "__isub__", "mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__", "div", "div_", "divide", "true_divide",
    "__truediv__", "__rdiv__", "__rtruediv__", "pow", "__pow__", "__rpow__", "maximum", "minimum", "fmax", "fmin",
    "where", "eq", "ne", "lt", "le", "gt", "ge", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "xlogy",
    "logaddexp", "hypot", "lerp", "isclose", "logical_and", "logical_or", "squared_difference", "addcmul", "addcdiv",
}  # fmt: skip
#: losses of torch that meet number by number and then reduce
LOSSES = {
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "gaussian_nll_loss", "kl_div",
    "soft_margin_loss", "hinge_embedding_loss", "dist",
}  # fmt: skip
#: of a number by itself
SINGLE = {
    "abs", "abs_", "absolute", "square", "sqrt", "log", "log1p", "log2", "log10", "cosh", "neg", "negative", "__neg__",
    "clamp", "clamp_", "clamp_min", "clamp_max", "clip", "relu", "relu_", "softplus", "sigmoid", "tanh", "logsigmoid",
    "log_sigmoid", "float", "double", "half", "bfloat16", "to", "type", "type_as", "sign", "detach", "clone",
    "contiguous", "expm1", "atan", "erf", "round", "logical_not", "__abs__", "data", "leaky_relu", "hardtanh", "int",
    "long", "bool", "nan_to_num",
}  # fmt: skip
#: of all numbers, or of those along some dimensions
LINEAR = {"sum", "mean", "nansum", "nanmean"}
REDUCING = {"norm", "linalg_norm", "linalg_vector_norm", "vector_norm", "max", "min", "amax", "amin", "median", "std",
            "var"}  # fmt: skip
#: the same numbers in another order or shape
VIEWS = {
    "t", "T", "mT", "H", "transpose", "permute", "unsqueeze", "squeeze", "view", "reshape", "flatten", "__getitem__",
    "expand", "expand_as", "unbind", "split", "chunk", "narrow", "select", "movedim", "swapaxes", "index_select",
    "stack", "cat", "concat", "ravel", "view_as", "reshape_as", "take", "roll", "flip",
}  # fmt: skip
#: of rows, by weights that are given beside them
LAYERS = {"linear", "conv1d", "conv2d", "conv3d"}
#: from tensors to numbers of Python or numpy, and back
EXITS = {"item", "tolist", "numpy", "__array__", "__float__", "__int__", "__index__"}
ENTRIES = {"tensor", "as_tensor", "asarray", "from_numpy", "new_tensor", "scalar_tensor"}
WHOLE = {"long", "int", "short", "byte", "char", "to", "type"}
DROPOUTS = {"dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_"}
STEEP = {"sqrt", "sqrt_", "pow", "__pow__", "std", "rsqrt", "acos", "asin", "arccos", "arcsin", "log", "div",
         "__truediv__", "reciprocal", "xlogy"}  # fmt: skip
ADDING = {"add", "add_", "__add__", "__radd__", "__iadd__", "sub", "sub_", "__sub__", "__rsub__", "rsub", "__isub__"}
SCALING = {"mul", "mul_", "__mul__", "__rmul__", "__imul__", "div", "div_", "__truediv__"}

_GETTERS = {"data", "T", "mT", "H"}
_PASSED = {
    "size", "dim", "stride", "is_complex", "is_floating_point", "requires_grad_", "_set_grad_enabled", "numel",
    "backward", "is_contiguous", "data_ptr", "__len__", "__bool__", "__repr__", "__format__", "__hash__",
    "register_hook", "zero_", "__iter__", "retain_grad", "ndimension", "element_size", "untyped_storage", "storage",
    "is_same_size", "pin_memory", "__reduce_ex__", "__deepcopy__", "__setstate__", "__setitem__", "copy_", "is_cuda",
    "share_memory_", "_record_function_enter_new", "_record_function_exit", "normal_", "uniform_", "fill_",
    "get_device",
    "is_shared", "storage_offset", "manual_seed", "isfinite", "isnan", "isinf", "allclose", "equal", "is_nonzero",
    "sparse_dim", "_is_view", "rand_like", "randn_like", "zeros_like", "ones_like", "empty_like", "new_zeros",
    "new_ones", "new_empty", "new_full", "zeros", "ones", "empty", "rand", "randn", "arange", "linspace", "randperm",
    "randint", "multinomial", "bernoulli", "is_inference", "shape", "_version",
}  # fmt: skip
_kinds: dict[Any, str] = {}


def kind(func: Callable[..., Any]) -> str:
    """Its name, or nothing when it is let pass."""
    found = _kinds.get(func)
    if found is None:
        name = getattr(func, "__name__", "")
        if name in ("__get__", "__set__", "__delete__"):
            name = str(getattr(getattr(func, "__self__", None), "__name__", ""))
            found = name if name in _GETTERS and func.__name__ == "__get__" else ""
        else:
            found = "" if name in _PASSED or "RecordFunction" in str(name) else name
        _kinds[func] = found
    return found


def asked(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, word: str) -> Any:
    """An argument, by its place or by its name."""
    return args[place] if len(args) > place else kwargs.get(word)
