"""Loads and stores of vectors of which only the first elements are within the row."""

from bionets.scan.cpu.values import SIZES, Value, element, like, select, suffix


def _mask(kind: str, left: Value) -> Value:
    """The mask of the elements of a vector that are within the row."""
    function, numbers = left.function, like(kind, "i32")
    count = int(kind[1:].partition(" ")[0])
    few = select(left < count, left, count).convert("trunc", "i32")
    order = Value(function, numbers, f"<{', '.join(f'i32 {number}' for number in range(count))}>")
    return order < function.broadcast(few, numbers)


def load_part(kind: str, address: Value, left: Value) -> Value:
    function = address.function
    lanes = int(kind[1:].partition(" ")[0])

    def part() -> Value:
        mask, align = _mask(kind, left), function.constant("i32", SIZES[element(kind)])
        zero = function.constant(kind, 0)
        return function.call_external(f"llvm.masked.load.{suffix(kind)}.p0", kind, address, align, mask, zero)

    if function.module.target.masked_loads:
        return part()
    return function.if_else(left >= lanes, lambda: function.load(kind, address), part)


def store_part(value: Value, address: Value, left: Value) -> None:
    function, kind = value.function, value.kind
    lanes = int(kind[1:].partition(" ")[0])

    def part() -> None:
        mask, align = _mask(kind, left), function.constant("i32", SIZES[element(kind)])
        function.call_external(f"llvm.masked.store.{suffix(kind)}.p0", "void", value, address, align, mask)

    if function.module.target.masked_stores:
        part()
        return
    whole = left >= lanes
    with function.if_true(whole):
        function.store(value, address)
    with function.if_true(~whole):
        part()
