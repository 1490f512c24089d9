"""The expressions of recipes: Jinja2's syntax, sandboxed over plain data, with exact decimals. This is their door.

compile_condition("order.total.amount > 100").evaluate({"order": order})      -> bool
compile_value("{{ order.total.amount * 0.19 }}").evaluate({"order": order})   -> Decimal
render(compile_tree({"to": "{{ order.customer.email }}"}), {"order": order})  -> {"to": "..."}
"""

from app.expressions.compiled import (
    Expression,
    Tree,
    compile_condition,
    compile_expression,
    compile_template,
    compile_tree,
    compile_value,
    evaluate,
    expressions,
    render,
)
from app.expressions.errors import EvaluationError, ExpressionError, hint, nearest

__all__ = [
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "Tree",
    "compile_condition",
    "compile_expression",
    "compile_template",
    "compile_tree",
    "compile_value",
    "evaluate",
    "expressions",
    "hint",
    "nearest",
    "render",
]
