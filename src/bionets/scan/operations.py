"""The table of the operations of a graph, with their forms in LLVM IR and in Triton.

The table holds forward operations only. Derivatives come from PyTorch's autograd, which `trace` records. If autograd
calls a separate backward operation (tanh, sigmoid, gelu), `trace/lowering` translates it, like every torch operation,
into operations of this table; `cpu/elements.py` and `gpu/printer.py` print them.

LLVM: an instruction for floats ("fadd"), for integers and bools ("add"), "llvm.sqrt" for a function of LLVM, "@exp" for
a function of `cpu/math.py`, "" if the operation is not defined. Triton: an expression; {0}, {1} are the inputs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """`domain`: the arguments at which tests evaluate the operation: any, positive, between -1 and 1, or above 1."""

    inputs: int
    floats: str
    triton: str
    integers: str = ""
    domain: str = "any"


def _function(name: str, domain: str = "any") -> Operation:
    return Operation(1, f"@{name}", f"{name}({{0}})", domain=domain)


OPERATIONS: dict[str, Operation] = {
    "neg": Operation(1, "fneg", "negate({0})", "neg"),
    "abs": Operation(1, "llvm.fabs", "tl.abs({0})", "abs"),
    "sign": Operation(1, "sign", "sign({0})", "sign"),
    "sqrt": Operation(1, "llvm.sqrt", "square_root({0})", domain="positive"),
    "round": Operation(1, "llvm.rint", "round_even({0})"),
    "floor": Operation(1, "llvm.floor", "tl.floor({0})"),
    "ceil": Operation(1, "llvm.ceil", "tl.ceil({0})"),
    "trunc": Operation(1, "llvm.trunc", "trunc({0})"),
    "exp": _function("exp"),
    "exp2": Operation(1, "@exp2", "tl.exp2({0})"),
    "expm1": _function("expm1"),
    "log": Operation(1, "@log", "tl.log({0})", domain="positive"),
    "log2": Operation(1, "@log2", "tl.log2({0})", domain="positive"),
    "log10": Operation(1, "@log10", "tl.log({0}) * 0.4342944819032518", domain="positive"),
    "log1p": _function("log1p", "positive"),
    "sin": Operation(1, "@sin", "tl.sin({0})"),
    "cos": Operation(1, "@cos", "tl.cos({0})"),
    "tan": Operation(1, "@tan", "divide(tl.sin({0}), tl.cos({0}))", domain="unit"),
    "asin": _function("asin", "unit"),
    "acos": _function("acos", "unit"),
    "atan": _function("atan"),
    "sinh": _function("sinh"),
    "cosh": _function("cosh"),
    "tanh": _function("tanh"),
    "asinh": _function("asinh"),
    "acosh": _function("acosh", "above 1"),
    "atanh": _function("atanh", "unit"),
    "sigmoid": _function("sigmoid"),
    "erf": Operation(1, "@erf", "tl.erf({0})"),
    "erfc": _function("erfc"),
    "add": Operation(2, "fadd", "{0} + {1}", "add"),
    "sub": Operation(2, "fsub", "{0} - {1}", "sub"),
    "mul": Operation(2, "fmul", "{0} * {1}", "mul"),
    "div": Operation(2, "fdiv", "divide({0}, {1})"),
    "fmod": Operation(2, "@fmod", "modulus({0}, {1})"),
    "pow": Operation(2, "@pow", "power({0}, {1})", domain="positive"),
    "atan2": Operation(2, "@atan2", "atan2({0}, {1})"),
    "hypot": Operation(2, "@hypot", "hypot({0}, {1})"),
    "maximum": Operation(2, "maximum", "maximum({0}, {1})", "maximum"),
    "minimum": Operation(2, "minimum", "minimum({0}, {1})", "minimum"),
    "copysign": Operation(2, "llvm.copysign", "copy_sign({0}, {1})"),
    "fma": Operation(3, "fma", "tl.fma({0}, {1}, {2})"),
    **{
        op: Operation(2, f"fcmp {op}", f"{{0}} {sign} {{1}}", f"icmp {op}")
        for op, sign in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items()
    },
    "and": Operation(2, "", "{0} & {1}", "and"),
    "or": Operation(2, "", "{0} | {1}", "or"),
    "xor": Operation(2, "", "{0} ^ {1}", "xor"),
    "not": Operation(1, "", "{0} == 0", "not"),
    "where": Operation(3, "select", "tl.where({0}, {1}, {2})", "select"),
    "cast": Operation(1, "cast", "{0}.to({kind})", "cast"),
}

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
