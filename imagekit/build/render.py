"""Texts that go into an image, from the templates beside its module; an undefined name is an error, never a blank."""

from imagekit.errors import DefinitionInvalid


def render_template(name: str, **values: object) -> str:
    """Render ``templates/NAME.j2`` strictly; ``packer/NAME`` is the one in the package beside this module.

    Raises :class:`DefinitionInvalid` when a value that the template needs was not given.
    """
    import jinja2  # here: 60 ms that --help should not pay

    ours = jinja2.PackageLoader("imagekit.build", "templates")
    packer = jinja2.PackageLoader("imagekit.build.packer", "templates")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([ours, jinja2.PrefixLoader({"packer": packer})]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # configuration files, not HTML
    )
    try:
        return environment.get_template(f"{name}.j2").render(**values)
    except jinja2.UndefinedError as problem:
        raise DefinitionInvalid(f"the template {name} needs a value: {problem}") from problem
