"""The lint of Packer templates: every mistake that ``packer validate`` lets through, told before minutes are spent."""

from imagekit.build.packer.lint.judge import format_mistake, lint_template, list_rules, render_rules
from imagekit.build.packer.lint.rule import Level, Mistake, Rule

__all__ = ["Level", "Mistake", "Rule", "format_mistake", "lint_template", "list_rules", "render_rules"]
