"""Rules: conditions over measurements, and what is done when they begin to hold. Pure: no clock, no I/O.

`read_rules` checks rules and makes them ready; `begin` and `step` run them; `next_wake_ns` says when to look again;
`evaluate_over` tries them on measurements that were recorded.
"""

from microscoped.daemon.rules.actions import (
    AcquireAction,
    Action,
    CameraAction,
    FocusAction,
    InjectAction,
    MoveAction,
    PublishAction,
    RecordAction,
    dose_ms,
)
from microscoped.daemon.rules.engine import adopt, begin, next_wake_ns, step
from microscoped.daemon.rules.errors import (
    BadRulesError,
    BoundRuleError,
    ExpressionError,
    NameRuleError,
    OrderError,
    RuleProblem,
    RulesError,
    SyntaxRuleError,
    TypeRuleError,
)
from microscoped.daemon.rules.language import STANDARD, Catalogue, Expression, parse
from microscoped.daemon.rules.model import Budget, Rule, RuleSet
from microscoped.daemon.rules.over import evaluate, evaluate_over
from microscoped.daemon.rules.program import CompiledRule, Program, compile_rules, read_rules
from microscoped.daemon.rules.state import (
    ActionEnded,
    Cause,
    Decision,
    DecisionKind,
    LightGiven,
    Measurement,
    Obstacle,
    Phase,
    RulesInput,
    RulesState,
    RuleView,
    TimePassed,
)

__all__ = [
    "STANDARD",
    "AcquireAction",
    "Action",
    "ActionEnded",
    "BadRulesError",
    "BoundRuleError",
    "Budget",
    "CameraAction",
    "Catalogue",
    "Cause",
    "CompiledRule",
    "Decision",
    "DecisionKind",
    "Expression",
    "ExpressionError",
    "FocusAction",
    "InjectAction",
    "LightGiven",
    "Measurement",
    "MoveAction",
    "NameRuleError",
    "Obstacle",
    "OrderError",
    "Phase",
    "Program",
    "PublishAction",
    "RecordAction",
    "Rule",
    "RuleProblem",
    "RuleSet",
    "RuleView",
    "RulesError",
    "RulesInput",
    "RulesState",
    "SyntaxRuleError",
    "TimePassed",
    "TypeRuleError",
    "adopt",
    "begin",
    "compile_rules",
    "dose_ms",
    "evaluate",
    "evaluate_over",
    "next_wake_ns",
    "parse",
    "read_rules",
    "step",
]
