"""Read YAML that an untrusted image brings: bounded in size, nesting and aliases before anything is built from it."""

from typing import Any

_BYTES = 1 << 20
_DEPTH = 50
_ALIASES = 200
_EVENTS = 100_000


class YamlInvalid(ValueError):
    """The text is no YAML, or asks for more than a configuration file needs; one short sentence."""


def read_yaml(text: str) -> Any:  # noqa: ANN401 - YAML has any shape
    """Return what ``text`` means; raises :class:`YamlInvalid`.

    The stream of events is counted first: a merge key over nested aliases could otherwise grow without bound.
    """
    import yaml  # here: not every image has a YAML file

    if len(text) > _BYTES:
        raise YamlInvalid("larger than 1 MiB")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = aliases = 0
    try:
        for count, event in enumerate(yaml.parse(text, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > _DEPTH or aliases > _ALIASES or count > _EVENTS:
                raise YamlInvalid("nested, repeated or long beyond reason")
        return yaml.load(text, Loader=loader)
    except YamlInvalid:
        raise
    except yaml.MarkedYAMLError as problem:
        line = f" in line {problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise YamlInvalid(f"{problem.problem or 'not YAML'}{line}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, UnicodeError) as problem:
        raise YamlInvalid(f"not YAML ({type(problem).__name__})") from None
