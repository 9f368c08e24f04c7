"""The borders of photographs and videos: files in, files out.

decode.py           any image file, checked before it is decoded, as bytes
read.py             a photograph: upright, its size and focal length, a square box of it
video.py            frames of a video in, a video out
meshes.py           OBJ, PLY, GLB and STL
mano_parameters.py  pose and shape under the names of smplx and MANO, and back
arrays.py           the hands of a video as one .npz
"""
