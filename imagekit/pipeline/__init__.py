"""The flow as verbs over the rooms: build → verify → prove by booting → store, then a clone of what was stored."""

from imagekit.pipeline.build import ImageUnfit, build_image, is_proven
from imagekit.pipeline.clone import make_local_clone
from imagekit.pipeline.options import BuildOptions, choose_definition
from imagekit.pipeline.plan import plan_build
from imagekit.pipeline.verify import (
    choose_accelerator,
    find_disk,
    make_policy,
    prove_disk,
    recall_policy,
    verify_built,
    verify_stored,
)

__all__ = [
    "BuildOptions",
    "ImageUnfit",
    "build_image",
    "choose_accelerator",
    "choose_definition",
    "find_disk",
    "is_proven",
    "make_local_clone",
    "make_policy",
    "plan_build",
    "prove_disk",
    "recall_policy",
    "verify_built",
    "verify_stored",
]
