# Where people run imagekit. Images are built on aarch64-linux, or by a machine that can build for it.
[
  "x86_64-linux"
  "aarch64-linux"
  "x86_64-darwin"
  "aarch64-darwin"
]
