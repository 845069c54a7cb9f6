"""imagekit builds images, proves them clean, keeps them as versions and delivers them.

The flow, one room for each step:

    imagekit.toml ──► build ──► verify ──► store ──► deliver
     definition      a disk     a report   a version   a card, a template, a clone

``definition`` and ``settings`` say what and where; ``pipeline`` is the flow as a screen of verbs; ``cli`` is the only
room that prints, asks, or draws a bar. ``machine``, ``disk`` and ``host`` are what the four steps stand on.
"""

__version__ = "0.1.0"
