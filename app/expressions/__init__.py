"""The expressions of recipes: Jinja2's syntax, sandboxed over plain data, with exact decimals. This is their door.

compile_condition("order.total.amount > 100").evaluate({"order": order})      -> bool
compile_value("{{ order.total.amount * 0.19 }}").evaluate({"order": order})   -> Decimal
render(compile_tree({"to": "{{ order.customer.email }}"}), {"order": order})  -> {"to": "..."}
"""

from app.expressions.analysis import Analysis, Finding, Use, analyse, paths
from app.expressions.certain import asked, certain
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
    say,
    spoken,
)
from app.expressions.errors import EvaluationError, ExpressionError, hint, nearest
from app.expressions.shapes import Shape, joined, list_of, object_of, shape_of, shape_of_value, unfit

__all__ = [
    "Analysis",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "Finding",
    "Shape",
    "Tree",
    "Use",
    "analyse",
    "asked",
    "certain",
    "compile_condition",
    "compile_expression",
    "compile_template",
    "compile_tree",
    "compile_value",
    "evaluate",
    "expressions",
    "hint",
    "joined",
    "list_of",
    "nearest",
    "object_of",
    "paths",
    "render",
    "say",
    "shape_of",
    "shape_of_value",
    "spoken",
    "unfit",
]
