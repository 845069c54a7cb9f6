"""A disk image on a card: what a block device is, whether it may be written, writing it, reading it back.

The order of a run, each step in a module of its own::

    sysfs      what the device is                       (facts, as values)
    usage      what this machine does with its disks    (mounts, swap, what is built on what)
    refuse     every reason not to write to it
    hold       open it so that nobody else can use it; is it still the same device?
    write      everything but the first MiB
    readback   what is on the medium now
    run        these in order, and the first MiB, with the partition table, last
"""
