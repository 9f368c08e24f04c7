"""Builds handlib's open hand from MakeHuman's CC0 base mesh: `python tools/build_open_hand.py WHEEL`.

The steps, one module each and in this order: `makehuman` reads the files, `population` draws adult bodies and cuts
their right hands off, `rest` places the joints and lays the hands flat, `weights` binds the skin, `decimate` and
`numbering` make the mesh of 778 vertices, `shapes` finds the shape space and the joint regressor, `poses` and `prior`
the poses, `correctives` the pose blend shapes and `colors` what is painted. Lengths are meters from `rest` on. Nothing
here is needed to use the hand.
"""
