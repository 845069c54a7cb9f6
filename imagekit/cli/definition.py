"""``imagekit init`` and ``imagekit config``: the definition, to start from and to look at."""

from pathlib import Path

import click

from imagekit.cli.options import find_project, json_option
from imagekit.cli.output import print_json, print_table

_SECRET = "(not shown)"


@click.command()
@click.option("--force", is_flag=True, help="Replace an imagekit.toml that is there.")
def init(*, force: bool) -> None:
    """Write a commented imagekit.toml into this directory and print its path.

    Every key stands there with its default, commented out: what you do not change, you need not read.
    """
    from imagekit.definition import FILE_NAME, render_starter
    from imagekit.durable import replace_file
    from imagekit.errors import Refused

    path = Path.cwd() / FILE_NAME
    if path.exists() and not force:
        raise Refused(f"{path} is there already", hint="edit it, or replace it with --force")
    replace_file(path, render_starter().encode())
    click.echo(str(path))


@click.command()
@json_option
def config(*, as_json: bool) -> None:
    """Show every value of the definition and of the cluster's settings, and where each comes from.

    Of a secret only the origin is shown. The cluster stands there when something names one.
    """
    import json

    from imagekit.definition import describe_project
    from imagekit.settings import describe_cluster

    project = find_project()
    document = describe_project(project)
    cluster = describe_cluster(project.cluster, [image.vm_id for image in project.images.values()])
    if as_json:
        print_json({**document, "cluster": cluster})
        return
    values = document["values"]
    assert isinstance(values, dict)
    print_table(
        ("KEY", "VALUE", "ORIGIN"),
        [
            (key, _SECRET if key == "cluster.token_secret" else json.dumps(entry["value"]), str(entry["origin"]))
            for key, entry in {**values, **(cluster or {})}.items()
        ],
    )
