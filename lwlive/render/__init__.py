"""Rendering: the walk written to disk at full quality, frame by frame, without a show.

    flags, preset -> Settings -> Plan -> Sampler -> Frames (on disk) -> movie

Settings are everything that decides what a frame looks like, so they are stored beside the frames
and compared when a render is continued. A plan tells for each frame its place on the walk.
"""
